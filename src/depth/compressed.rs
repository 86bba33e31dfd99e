//! Compressed depth images: those of the image transport `compressedDepth`, and PNG files.
//!
//! The layout is that of compressed_depth_image_transport (image_transport_plugins, src/codec.cpp and rvl_codec.cpp): a
//! header of twelve bytes, then a PNG file of 16 bits, or an image compressed with RVL (Wilson 2017, "Fast Lossless Depth
//! Image Compression").

use super::error::DepthError;
use super::image::DepthImage;
use crate::pixels::{check_size, decode_grey16};

/// Bytes before the compressed image: the kind of compression (int32), and two parameters (float32) of inverse depth.
const HEADER: usize = 12;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

impl DepthImage {
    /// Decodes a `sensor_msgs/CompressedImage` with a depth image. `format` is that of the message, for example
    /// `16UC1; compressedDepth png` (millimetres), `32FC1; compressedDepth png` (inverse depth) or `16UC1; compressedDepth
    /// rvl`. A PNG file of 16 bits without the header of compressedDepth holds millimetres.
    ///
    /// # Errors
    /// [`DepthError::Encoding`] for another encoding, [`DepthError::Compressed`] for data that cannot be decoded,
    /// [`DepthError::Image`] for a damaged PNG file.
    pub fn from_compressed(data: &[u8], format: &str) -> Result<DepthImage, DepthError> {
        if data.starts_with(PNG) {
            return DepthImage::from_png(data);
        }
        let bad = |reason: String| DepthError::Compressed { format: format.to_owned(), reason };
        let (encoding, transport) = format.split_once(';').unwrap_or((format, ""));
        let Some((header, body)) = data.split_at_checked(HEADER) else {
            return Err(bad(format!("{} bytes of data, expected a header of {HEADER} bytes", data.len())));
        };
        let (width, height, values) = match transport.trim() {
            "" | "compressedDepth" | "compressedDepth png" => decode_grey16(body, format)?,
            "compressedDepth rvl" => decode_rvl(body, &bad)?,
            other => {
                return Err(bad(format!(
                    "\"{other}\" is unknown; expected compressedDepth png or compressedDepth rvl"
                )));
            }
        };
        match encoding.trim() {
            "16UC1" | "mono16" => DepthImage::from_millimetres(width, height, &values),
            "32FC1" => {
                let parameter = |at: usize| header[at..].first_chunk().map_or(f32::NAN, |b| f32::from_le_bytes(*b));
                let (a, b) = (parameter(4), parameter(8));
                if !a.is_finite() || !b.is_finite() {
                    return Err(bad(format!(
                        "the parameters of inverse depth are {a} and {b}, expected finite values"
                    )));
                }
                let metres = |value: &u16| if *value == 0 { f32::NAN } else { a / (f32::from(*value) - b) };
                DepthImage::from_metres(width, height, &values.iter().map(metres).collect::<Vec<f32>>())
            }
            other => Err(DepthError::Encoding { encoding: other.to_owned() }),
        }
    }

    /// Decodes a PNG file of 16 bits in millimetres; 0 counts as missing.
    ///
    /// # Errors
    /// [`DepthError::Image`] if the file is not a PNG file of one channel and 16 bits.
    pub fn from_png(file: &[u8]) -> Result<DepthImage, DepthError> {
        let (width, height, millimetres) = decode_grey16(file, "png")?;
        DepthImage::from_millimetres(width, height, &millimetres)
    }
}

/// Decodes an image of RVL: width and height (uint32), then runs of zeros and of differences, as groups of three bits.
fn decode_rvl(data: &[u8], bad: &impl Fn(String) -> DepthError) -> Result<(u32, u32, Vec<u16>), DepthError> {
    let number = |at: usize| data.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b));
    let (Some(width), Some(height)) = (number(0), number(4)) else {
        return Err(bad(format!("{} bytes of RVL, expected width and height", data.len())));
    };
    check_size(width, height)?;
    let pixels = width as usize * height as usize;
    let mut groups = Groups { words: &data[8..], word: 0, left: 0 };
    let mut values = Vec::with_capacity(pixels);
    let mut previous = 0_u16;
    while values.len() < pixels {
        let truncated = || bad(format!("RVL ends after {} of {pixels} pixels", values.len()));
        let zeros = groups.number().ok_or_else(truncated)? as usize;
        let others = groups.number().ok_or_else(truncated)? as usize;
        if zeros + others > pixels - values.len() || zeros + others == 0 {
            let at = values.len();
            return Err(bad(format!("RVL has a run of {zeros} + {others} pixels at pixel {at} of {pixels}")));
        }
        values.resize(values.len() + zeros, 0);
        for _ in 0..others {
            let Some(code) = groups.number() else {
                return Err(bad(format!("RVL ends after {} of {pixels} pixels", values.len())));
            };
            let difference = (code >> 1) as i32 ^ -((code & 1) as i32);
            previous = previous.wrapping_add(difference as u16);
            values.push(previous);
        }
    }
    Ok((width, height, values))
}

/// Numbers as groups of three bits, the lowest group first. The fourth bit of a group is set if another group follows. Eight
/// groups are in a word of 32 bits, the first group in its highest bits.
struct Groups<'a> {
    words: &'a [u8],
    word: u32,
    /// Groups left in the word.
    left: u32,
}

impl Groups<'_> {
    /// Returns the next number; `None` at the end of the data, and for a number of more than 32 bits.
    fn number(&mut self) -> Option<u32> {
        let (mut number, mut shift) = (0_u32, 0);
        loop {
            if self.left == 0 {
                let (word, rest) = self.words.split_first_chunk()?;
                (self.word, self.words, self.left) = (u32::from_le_bytes(*word), rest, 8);
            }
            let group = self.word >> 28;
            self.word <<= 4;
            self.left -= 1;
            number |= (group & 7).checked_shl(shift)?;
            shift += 3;
            if group & 8 == 0 {
                return Some(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageBuffer, ImageFormat, Luma};

    use super::*;

    const VALUES: [u16; 24] = [
        0, 0, 1500, 1501, 1499, 0, /**/ 65535, 1, 1, 0, 0, 0, /**/ 700, 900, 20000, 19999, 8, 0, /**/ 0,
        0, 0, 0, 0, 1234,
    ];

    /// `VALUES` as compressed by `RvlCodec::CompressRVL` of image_transport_plugins.
    const RVL: &str = "23e58f23f39a891303f3ffbfa628ed5e1d91ca8f1c16e9d8000040ae";

    fn png(values: &[u16]) -> Vec<u8> {
        let image = ImageBuffer::<Luma<u16>, _>::from_raw(6, 4, values.to_vec()).unwrap();
        let mut file = Vec::new();
        DynamicImage::ImageLuma16(image).write_to(&mut Cursor::new(&mut file), ImageFormat::Png).unwrap();
        file
    }

    fn rvl() -> Vec<u8> {
        let body = (0..RVL.len()).step_by(2).map(|i| u8::from_str_radix(&RVL[i..i + 2], 16).unwrap());
        [6_u32, 4].iter().flat_map(|v| v.to_le_bytes()).chain(body).collect()
    }

    /// Returns the data of a message: a header with the parameters of inverse depth, and the image.
    fn message(a: f32, b: f32, body: &[u8]) -> Vec<u8> {
        [&[0; 4][..], &a.to_le_bytes(), &b.to_le_bytes(), body].concat()
    }

    fn assert_same(depth: &DepthImage, expected: impl Fn(u16) -> f32) {
        assert_eq!(depth.size(), (6, 4));
        for (z, value) in depth.metres().iter().zip(VALUES) {
            assert!((z.is_nan() && value == 0) || (z - expected(value)).abs() < 1e-5, "{z} for {value}");
        }
    }

    #[test]
    fn both_compressions_of_both_encodings() {
        let millimetres = |v: u16| f32::from(v) / 1e3;
        for format in ["16UC1; compressedDepth png", "16UC1; compressedDepth", "16UC1"] {
            assert_same(&DepthImage::from_compressed(&message(0.0, 0.0, &png(&VALUES)), format).unwrap(), millimetres);
        }
        let rvl = message(0.0, 0.0, &rvl());
        assert_same(&DepthImage::from_compressed(&rvl, "16UC1; compressedDepth rvl").unwrap(), millimetres);
        assert_same(&DepthImage::from_compressed(&png(&VALUES), "16UC1; png compressed ").unwrap(), millimetres);
        // The parameters of the transport for a quantisation of 100 and a largest depth of 10 m.
        let (a, b) = (10_100.0, -1_009.0);
        let inverse = message(a, b, &png(&VALUES));
        let depth = DepthImage::from_compressed(&inverse, "32FC1; compressedDepth png").unwrap();
        assert_same(&depth, |v| a / (f32::from(v) - b));
    }

    #[test]
    fn damaged_data_is_refused_with_the_reason() {
        let refused = |data: &[u8], format: &str| DepthImage::from_compressed(data, format).unwrap_err().to_string();
        let (png, rvl) = (message(1.0, 0.0, &png(&VALUES)), message(0.0, 0.0, &rvl()));
        assert!(refused(&png[..5], "16UC1; compressedDepth png").contains("5 bytes of data"));
        assert!(refused(&png, "16UC1; compressedDepth webp").contains("\"compressedDepth webp\" is unknown"));
        assert!(refused(&png, "rgb8; compressedDepth png").contains("rgb8"));
        assert!(refused(&rvl, "16UC1; compressedDepth png").contains("neither JPEG nor PNG"));
        let message = refused(&message(f32::NAN, 0.0, &png[HEADER..]), "32FC1; compressedDepth png");
        assert!(message.contains("NaN"), "{message}");
        for cut in HEADER..rvl.len() - 4 {
            let message = refused(&rvl[..cut], "16UC1; compressedDepth rvl");
            assert!(message.contains("RVL"), "{cut}: {message}");
        }
        let mut size = rvl.clone();
        size[HEADER..HEADER + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(refused(&size, "16UC1; compressedDepth rvl").contains("at most"));
        for at in HEADER + 8..rvl.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut scrambled = rvl.clone();
                scrambled[at] ^= flip;
                let _ = DepthImage::from_compressed(&scrambled, "16UC1; compressedDepth rvl");
            }
        }
    }

    #[test]
    fn a_png_file_has_one_channel_of_sixteen_bits() {
        let grey = DynamicImage::ImageLuma8(image::GrayImage::new(6, 4));
        let mut file = Vec::new();
        grey.write_to(&mut Cursor::new(&mut file), ImageFormat::Png).unwrap();
        let message = DepthImage::from_png(&file).unwrap_err().to_string();
        assert!(message.contains("16 bits"), "{message}");
    }
}
