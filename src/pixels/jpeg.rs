//! JPEG: pictures for `~/overlay/compressed`, and whether a file is whole.

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

use super::error::PixelError;

/// Encodes as baseline JPEG; `quality` is clamped to 1..=100.
///
/// # Errors
/// An image without pixels, or with a side above what JPEG can hold (65535).
pub fn encode_jpeg(image: &RgbImage, quality: u8) -> Result<Vec<u8>, PixelError> {
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return Err(PixelError::Empty { width, height });
    }
    let mut bytes = Vec::with_capacity(image.len() / 8);
    JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100))
        .encode_image(image)
        .map_err(|e| PixelError::Encode(e.to_string()))?;
    Ok(bytes)
}

/// Whether a JPEG file goes on to its end marker. Decoders paint what is missing grey instead of refusing the file.
pub fn jpeg_is_whole(data: &[u8]) -> bool {
    let mut at = 2; // behind the start marker
    loop {
        // The next marker. In coded data 0xff is followed by 0, and restart markers and fill bytes are a part of it.
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
    use super::*;

    #[test]
    fn it_starts_as_a_jpeg_and_quality_costs_bytes() {
        let image = RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, (x ^ y) as u8]));
        let (low, high) = (encode_jpeg(&image, 0).unwrap(), encode_jpeg(&image, 255).unwrap());
        assert!(low.starts_with(&[0xff, 0xd8, 0xff]) && low.len() < high.len());
        assert_eq!(encode_jpeg(&RgbImage::new(0, 3), 80), Err(PixelError::Empty { width: 0, height: 3 }));
    }

    #[test]
    fn a_file_that_was_cut_anywhere_is_not_whole() {
        let image = RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, (x * y) as u8]));
        let mut file = encode_jpeg(&image, 90).unwrap();
        assert!((2..file.len()).all(|cut| !jpeg_is_whole(&file[..cut])));
        assert!(jpeg_is_whole(&file));
        // Cameras append previews, and a preview within the header has an end marker of its own.
        file.extend(b"more");
        assert!(jpeg_is_whole(&file));
        let preview = [&[0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9][..], &file[2..100]].concat();
        assert!(!jpeg_is_whole(&[&[0xff, 0xd8][..], &preview].concat()));
    }
}
