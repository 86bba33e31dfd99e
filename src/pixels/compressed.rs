//! `sensor_msgs/CompressedImage`: JPEG and PNG.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader, Limits, RgbImage};

use super::error::{MAX_PIXELS, MAX_SIDE, PixelError, check_size};
use super::jpeg::decode_jpeg;

/// Most memory that a decoder may allocate, in bytes: RGBA of 16 bits at [`MAX_PIXELS`].
const MAX_ALLOC: u64 = MAX_PIXELS * 8;

/// Decodes a JPEG or PNG file to RGB.
///
/// The first bytes of the file determine its kind. `format` (`"jpeg"`, or `"rgb8; jpeg compressed bgr8"` as
/// image_transport writes) appears in errors alone, because publishers disagree about it. The colours of the file are
/// in the order of the standard, whatever encoding `format` names. Grey is copied to the three channels, alpha is
/// dropped, and samples of 16 bits are scaled to 8 bits by the full range.
///
/// # Errors
/// * [`PixelError::UnknownCompression`] if the file is neither JPEG nor PNG, [`PixelError::Compressed`] if it is
///   damaged.
/// * [`PixelError::Empty`], [`PixelError::TooLarge`] by the size in the header, before the pixels are decoded.
pub fn decode_compressed(data: &[u8], format: &str) -> Result<RgbImage, PixelError> {
    Ok(decode_picture(data, format)?.image.into_rgb8())
}

/// Decodes a PNG file of one channel and 16 bits. Returns width, height, and the values row by row. `format` appears in
/// errors alone.
///
/// # Errors
/// As [`decode_compressed`], and [`PixelError::Compressed`] for a file with other channels or bits.
pub(crate) fn decode_grey16(data: &[u8], format: &str) -> Result<(u32, u32, Vec<u16>), PixelError> {
    match decode_picture(data, format)?.image {
        DynamicImage::ImageLuma16(image) => Ok((image.width(), image.height(), image.into_raw())),
        other => {
            let reason = format!("its pixels are {:?}, expected one channel of 16 bits", other.color());
            Err(PixelError::Compressed { format: format.to_owned(), reason })
        }
    }
}

/// A picture with the depth and the channels of its file.
pub(super) struct Picture {
    pub image: DynamicImage,
    /// Whether pixels may differ a little from those that were stored: JPEG.
    pub lossy: bool,
}

/// [`decode_compressed`] before it is made RGB of 8 bits. A JPEG is that already.
pub(super) fn decode_picture(data: &[u8], format: &str) -> Result<Picture, PixelError> {
    let bad = |reason| PixelError::Compressed { format: format.to_owned(), reason };
    match data {
        [0xff, 0xd8, 0xff, ..] => Ok(Picture { image: decode_jpeg(data, bad)?.into(), lossy: true }),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => {
            Ok(Picture { image: decode_png(data, bad)?, lossy: false })
        }
        _ => {
            let start = if data.is_empty() {
                "nothing (it is empty)".to_owned()
            } else {
                data.iter().take(8).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
            };
            Err(PixelError::UnknownCompression { format: format.to_owned(), start })
        }
    }
}

fn decode_png(data: &[u8], bad: impl Fn(String) -> PixelError) -> Result<DynamicImage, PixelError> {
    let bad = |e: image::ImageError| bad(e.to_string());
    let reader = || ImageReader::with_format(Cursor::new(data), ImageFormat::Png);
    let (width, height) = reader().into_dimensions().map_err(bad)?;
    check_size(width, height)?;
    let mut reader = reader();
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    reader.decode().map_err(bad)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Rgb, RgbaImage};

    use super::*;

    fn png(image: DynamicImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    }

    #[test]
    fn the_first_bytes_determine_the_kind_whatever_the_format_is() {
        let image = RgbImage::from_fn(16, 8, |x, y| Rgb([x as u8 * 9, y as u8 * 20, 77]));
        let bytes = png(image.clone().into());
        for format in ["png", "jpeg", "rgb8; jpeg compressed bgr8", ""] {
            assert_eq!(decode_compressed(&bytes, format).unwrap(), image);
        }
        let jpeg = super::super::encode_jpeg(&RgbImage::from_pixel(9, 7, Rgb([200, 40, 90])), 95).unwrap();
        let read = decode_compressed(&jpeg, "rgb8; png compressed").unwrap();
        assert_eq!(read.dimensions(), (9, 7));
        for (found, expected) in read.get_pixel(4, 4).0.into_iter().zip([200u8, 40, 90]) {
            assert!(found.abs_diff(expected) <= 4, "{found} against {expected}");
        }
    }

    #[test]
    fn grey_and_alpha_become_rgb() {
        let grey = png(GrayImage::from_pixel(2, 2, image::Luma([9])).into());
        assert_eq!(decode_compressed(&grey, "png").unwrap().get_pixel(1, 1).0, [9; 3]);
        let alpha = png(RgbaImage::from_pixel(2, 2, image::Rgba([1, 2, 3, 0])).into());
        assert_eq!(decode_compressed(&alpha, "png").unwrap().get_pixel(0, 0).0, [1, 2, 3]);
    }

    #[test]
    fn other_files_are_refused_with_their_first_bytes() {
        let e = decode_compressed(b"\x00\x00\x80?", "16UC1; compressedDepth").unwrap_err();
        assert!(e.to_string().contains("compressedDepth") && e.to_string().contains("00 00 80 3f"), "{e}");
        assert!(decode_compressed(&[], "jpeg").unwrap_err().to_string().contains("empty"));
    }

    #[test]
    fn truncated_and_scrambled_files_never_panic() {
        let image = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 6) as u8, (y * 8) as u8, (x * y) as u8]));
        for file in [png(image.clone().into()), super::super::encode_jpeg(&image, 80).unwrap()] {
            for cut in 0..file.len().min(300) {
                let _ = decode_compressed(&file[..cut], "jpeg");
            }
            for at in 3..file.len().min(600) {
                for flip in [0x01, 0x80, 0xff] {
                    let mut scrambled = file.clone();
                    scrambled[at] ^= flip;
                    let _ = decode_compressed(&scrambled, "jpeg");
                }
            }
            assert!(matches!(decode_compressed(&file[..20], "x"), Err(PixelError::Compressed { .. })));
        }
    }

    #[test]
    fn a_header_that_claims_too_much_is_refused_before_decoding() {
        let mut bytes = png(GrayImage::new(2, 2).into());
        bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(decode_compressed(&bytes, "png"), Err(PixelError::TooLarge { width: 65536, height: 65536 }));
    }

    fn crc32(data: &[u8]) -> u32 {
        !data.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |c, _| (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg()))
        })
    }
}
