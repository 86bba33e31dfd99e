//! JPEG by libjpeg-turbo: decodes camera images and files, encodes `~/overlay/compressed`, and finds truncated files.

use image::RgbImage;

use super::error::{PixelError, check_size};
use crate::native::turbojpeg::{self, Layout};

/// Format of a `sensor_msgs/CompressedImage` as image_transport writes it: the picture was rgb8, and OpenCV's JPEG codec reads
/// it as bgr8. Without `bgr8` the subscriber of image_transport swaps red and blue.
pub const JPEG_OF_RGB: &str = "rgb8; jpeg compressed bgr8";

/// Decodes a JPEG file to RGB, with the same pixels as Pillow and OpenCV. `bad` makes an error of the library's
/// message. Grey is copied to the three channels. The orientation in Exif is not applied, as in Pillow: clicks are in
/// stored pixels.
///
/// # Errors
/// The error of `bad` if libjpeg-turbo cannot read the file, [`PixelError::TooLarge`] before memory for the image is
/// allocated. Damaged coded data is not an error for libjpeg, which fills the missing pixels with grey.
pub(super) fn decode_jpeg(file: &[u8], bad: impl Fn(String) -> PixelError) -> Result<RgbImage, PixelError> {
    let decoder = turbojpeg::Decoder::open(file).map_err(&bad)?;
    let (width, height) = decoder.size();
    check_size(width, height)?;
    let layout = decoder.layout();
    let mut pixels = decoder.decode().map_err(&bad)?;
    if layout == Layout::Cmyk {
        pixels = pixels.as_chunks().0.iter().flat_map(rgb_from_cmyk).collect();
    }
    RgbImage::from_raw(width, height, pixels)
        .ok_or_else(|| bad("a picture of another size than its header's".to_owned()))
}

/// Converts a pixel as Pillow does (`cmyk2rgb` of Convert.c), from the inverted inks that Adobe's programs store.
fn rgb_from_cmyk(&[c, m, y, k]: &[u8; 4]) -> [u8; 3] {
    [c, m, y].map(|light| {
        let product = u32::from(255 - light) * u32::from(k) + 128;
        k.saturating_sub((((product >> 8) + product) >> 8) as u8)
    })
}

/// Encodes an image as baseline JPEG. `quality` is clamped to 1..=100.
///
/// # Errors
/// [`PixelError::Empty`], or [`PixelError::Encode`] if a side exceeds the library's limit of 65500 pixels.
pub fn encode_jpeg(image: &RgbImage, quality: u8) -> Result<Vec<u8>, PixelError> {
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return Err(PixelError::Empty { width, height });
    }
    turbojpeg::encode(image.as_raw(), width, height, quality.clamp(1, 100)).map_err(PixelError::Encode)
}

/// Returns whether a JPEG file reaches its end marker. Decoders fill the missing part of a truncated file with grey and
/// do not report an error.
pub fn jpeg_is_whole(data: &[u8]) -> bool {
    let mut at = 2; // after the start marker
    loop {
        // Find the next marker. In coded data 0xff is followed by 0; restart markers and fill bytes belong to coded
        // data.
        let coded = |pair: &[u8]| pair[0] != 0xff || matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff);
        let Some(skip) = data.get(at..).and_then(|rest| rest.windows(2).position(|pair| !coded(pair))) else {
            return false;
        };
        at += skip;
        if data[at + 1] == 0xd9 {
            return true;
        }
        let Some(&[high, low]) = data.get(at + 2..at + 4) else { return false };
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn a_higher_quality_makes_a_larger_jpeg() {
        let image = RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, (x ^ y) as u8]));
        let (low, high) = (encode_jpeg(&image, 0).unwrap(), encode_jpeg(&image, 255).unwrap());
        assert!(low.starts_with(&[0xff, 0xd8, 0xff]) && low.len() < high.len());
        assert_eq!(encode_jpeg(&RgbImage::new(0, 3), 80), Err(PixelError::Empty { width: 0, height: 3 }));
    }

    /// Reads a file of `tests/golden/jpeg`, which `export/golden_jpeg.py` writes.
    fn golden(name: &str) -> Vec<u8> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jpeg");
        std::fs::read(folder.join(name)).unwrap()
    }

    fn decode(file: &[u8]) -> Result<RgbImage, PixelError> {
        decode_jpeg(file, |reason| PixelError::Compressed { format: "jpeg".to_owned(), reason })
    }

    #[test]
    fn every_kind_of_file_has_the_pixels_of_libjpeg_turbo() {
        let expected: serde_json::Value = serde_json::from_slice(&golden("pixels.json")).unwrap();
        let expected = expected.as_object().unwrap();
        let mut wrong = Vec::new();
        for (name, entry) in expected {
            let image = match decode(&golden(&format!("{name}.jpg"))) {
                Ok(image) => image,
                Err(e) => {
                    wrong.push(format!("{name}: {e}"));
                    continue;
                }
            };
            let size = serde_json::json!([image.width(), image.height()]);
            let digest: String = Sha256::digest(image.as_raw()).iter().map(|b| format!("{b:02x}")).collect();
            if size != entry["size"] || entry["sha256"] != digest.as_str() {
                wrong.push(format!("{name}: {size}, first pixel {:?}", image.get_pixel(0, 0).0));
            }
        }
        assert!(expected.len() > 90, "{} files", expected.len());
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), expected.len(), wrong.join("\n"));
    }

    #[test]
    fn damage_that_libjpeg_conceals_is_accepted_and_a_truncated_header_is_an_error() {
        let file = golden("baseline_420_64x48.jpg");
        let whole = decode(&file).unwrap();
        // Cameras put bytes before the end marker: the library warns, and the image is whole.
        let padded = [&file[..file.len() - 2], &[0, 0, 0, 0xff, 0xd9]].concat();
        assert_eq!(decode(&padded).unwrap(), whole);
        // Truncated within the coded data: the present rows are decoded, the others are filled.
        let cut = decode(&file[..file.len() * 3 / 4]).unwrap();
        assert_eq!(cut.dimensions(), (64, 48));
        assert_eq!(cut.rows().next().unwrap().collect::<Vec<_>>(), whole.rows().next().unwrap().collect::<Vec<_>>());
        // Truncated within the header.
        let header = file.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
        for cut in [2, 20, header, header + 4] {
            assert!(matches!(decode(&file[..cut]), Err(PixelError::Compressed { .. })), "{cut}");
        }
    }

    #[test]
    fn an_error_after_a_warning_is_an_error() {
        // Bytes in the place of a marker are a warning. A second frame header is an error, before any row is decoded.
        let file = golden("baseline_444_24x24.jpg");
        let frame = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        let length = 2 + usize::from(u16::from_be_bytes([file[frame + 2], file[frame + 3]]));
        let scan = file.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
        let twice = [&file[..scan], &[1, 2, 3], &file[frame..frame + length], &file[scan..]].concat();
        assert!(matches!(decode(&twice), Err(PixelError::Compressed { .. })));
        // A black image with a warning is an image.
        let black = encode_jpeg(&RgbImage::new(16, 16), 90).unwrap();
        let padded = [&black[..black.len() - 2], &[0, 0, 0, 0xff, 0xd9]].concat();
        assert_eq!(decode(&padded).unwrap(), RgbImage::new(16, 16));
    }

    #[test]
    fn a_header_that_claims_too_much_is_refused_before_decoding() {
        let mut file = golden("baseline_444_24x24.jpg");
        let frame = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        file[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
        assert_eq!(decode(&file), Err(PixelError::TooLarge { width: 60000, height: 60000 }));
    }

    #[test]
    fn a_file_with_too_many_scans_is_refused() {
        // Each scan of a progressive file is decoded over the whole image.
        let file = golden("progressive_444_24x24.jpg");
        let scan = file.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
        let last = &file[scan..file.len() - 2];
        let endless = [&file[..file.len() - 2], &last.repeat(200), &[0xff, 0xd9]].concat();
        let e = decode(&endless).unwrap_err();
        assert!(e.to_string().contains("more than 100 scans"), "{e}");
    }

    #[test]
    fn an_encoded_image_is_decoded_again() {
        let image = RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, 90]));
        let back = decode(&encode_jpeg(&image, 95).unwrap()).unwrap();
        let worst = image.iter().zip(back.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst.is_some_and(|levels| levels <= 8), "{worst:?}");
        assert!(matches!(encode_jpeg(&RgbImage::new(65501, 1), 80), Err(PixelError::Encode(_))));
    }

    #[test]
    fn a_truncated_file_is_not_whole() {
        let image = RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, (x * y) as u8]));
        let mut file = encode_jpeg(&image, 90).unwrap();
        assert!((2..file.len()).all(|cut| !jpeg_is_whole(&file[..cut])));
        assert!(jpeg_is_whole(&file));
        // Cameras append previews. A preview within the header has its own end marker.
        file.extend(b"more");
        assert!(jpeg_is_whole(&file));
        let preview = [&[0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9][..], &file[2..100]].concat();
        assert!(!jpeg_is_whole(&[&[0xff, 0xd8][..], &preview].concat()));
    }
}
