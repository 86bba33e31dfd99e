//! Pictures for `~/overlay/compressed`.

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
}
