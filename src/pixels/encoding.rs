//! `sensor_msgs/Image` encodings to RGB.
//!
//! The names are defined in `sensor_msgs/image_encodings.hpp`. The channels of `8UC3` and `8UC4` are in OpenCV's order
//! (BGR, BGRA), as `cv_bridge` publishes them. Samples of 16 bits are scaled to 8 bits by the full range (65535 -> 255,
//! rounded), as in `cv_bridge`. Alpha is dropped.

use image::RgbImage;

use super::bayer::{self, Pattern};
use super::error::{PixelError, check_size};
use super::yuv::{self, Packed422};

/// The fields of a `sensor_msgs/Image`.
#[derive(Debug, Clone, Copy)]
pub struct RawImage<'a> {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from the start of a row to the start of the next; rows may end in padding.
    pub step: u32,
    /// A name of `sensor_msgs/image_encodings.hpp`, such as `rgb8`.
    pub encoding: &'a str,
    /// Byte order of samples wider than a byte.
    pub big_endian: bool,
    /// The rows: exactly `step * height` bytes (1.5 times as many for nv12 and nv21, 3 times for nv24).
    pub data: &'a [u8],
}

/// Encodings that [`decode_raw`] converts.
pub const SUPPORTED_ENCODINGS: &[&str] = &[
    "rgb8",
    "bgr8",
    "rgba8",
    "bgra8",
    "mono8",
    "8UC1",
    "8UC3",
    "8UC4",
    "rgb16",
    "bgr16",
    "rgba16",
    "bgra16",
    "mono16",
    "16UC1",
    "yuv422",
    "uyvy",
    "yuv422_yuy2",
    "yuyv",
    "nv12",
    "nv21",
    "nv24",
    "bayer_rggb8",
    "bayer_bggr8",
    "bayer_gbrg8",
    "bayer_grbg8",
    "bayer_rggb16",
    "bayer_bggr16",
    "bayer_gbrg16",
    "bayer_grbg16",
];

/// Memory layout of an encoding.
#[derive(Debug, Clone, Copy)]
enum Layout {
    /// Interleaved samples of `bytes` bytes each; `rgb` are the indices of red, green and blue among the `channels`.
    Interleaved {
        channels: usize,
        bytes: usize,
        rgb: [usize; 3],
    },
    Packed422(Packed422),
    /// A plane of luma, then a plane of interleaved chroma: for each pixel (`full`), or for each 2x2 pixels.
    TwoPlanes {
        v_first: bool,
        full: bool,
    },
    Bayer {
        pattern: Pattern,
        bytes: usize,
    },
}

fn layout_of(encoding: &str) -> Option<Layout> {
    let interleaved = |channels, bytes, rgb| Some(Layout::Interleaved { channels, bytes, rgb });
    match encoding {
        "mono8" | "8UC1" => interleaved(1, 1, [0, 0, 0]),
        "rgb8" => interleaved(3, 1, [0, 1, 2]),
        "bgr8" | "8UC3" => interleaved(3, 1, [2, 1, 0]),
        "rgba8" => interleaved(4, 1, [0, 1, 2]),
        "bgra8" | "8UC4" => interleaved(4, 1, [2, 1, 0]),
        "mono16" | "16UC1" => interleaved(1, 2, [0, 0, 0]),
        "rgb16" => interleaved(3, 2, [0, 1, 2]),
        "bgr16" => interleaved(3, 2, [2, 1, 0]),
        "rgba16" => interleaved(4, 2, [0, 1, 2]),
        "bgra16" => interleaved(4, 2, [2, 1, 0]),
        "yuv422" | "uyvy" => Some(Layout::Packed422(Packed422::UYVY)),
        "yuv422_yuy2" | "yuyv" => Some(Layout::Packed422(Packed422::YUYV)),
        "nv12" => Some(Layout::TwoPlanes { v_first: false, full: false }),
        "nv21" => Some(Layout::TwoPlanes { v_first: true, full: false }),
        "nv24" => Some(Layout::TwoPlanes { v_first: false, full: true }),
        _ => {
            let mosaic = encoding.strip_prefix("bayer_")?;
            let (name, bytes) =
                mosaic.strip_suffix('8').map(|n| (n, 1)).or_else(|| Some((mosaic.strip_suffix("16")?, 2)))?;
            Some(Layout::Bayer { pattern: Pattern::from_name(name)?, bytes })
        }
    }
}

/// Converts an image message to RGB. `step` and byte order are taken into account.
///
/// # Errors
/// * [`PixelError::UnknownEncoding`] if the encoding is none of [`SUPPORTED_ENCODINGS`].
/// * [`PixelError::Empty`], [`PixelError::TooLarge`], [`PixelError::OddSize`], [`PixelError::MosaicTooSmall`] for a
///   size that the encoding cannot have.
/// * [`PixelError::StepTooSmall`], [`PixelError::SizeMismatch`] if the step or the amount of data does not fit the
///   size.
pub fn decode_raw(raw: &RawImage) -> Result<RgbImage, PixelError> {
    let layout = layout_of(raw.encoding).ok_or_else(|| PixelError::UnknownEncoding {
        encoding: raw.encoding.to_owned(),
        expected: SUPPORTED_ENCODINGS.join(", "),
    })?;
    check_size(raw.width, raw.height)?;
    match layout {
        Layout::Interleaved { channels, bytes, rgb } => decode_interleaved(raw, channels, bytes, rgb),
        Layout::Packed422(order) => decode_packed(raw, order),
        Layout::TwoPlanes { v_first, full } => decode_planes(raw, v_first, full),
        Layout::Bayer { pattern, bytes } => decode_mosaic(raw, pattern, bytes),
    }
}

fn decode_interleaved(raw: &RawImage, channels: usize, bytes: usize, rgb: [usize; 3]) -> Result<RgbImage, PixelError> {
    let row_bytes = check_rows(raw, u64::from(raw.width) * (channels * bytes) as u64, u64::from(raw.height))?;
    let mut out = RgbImage::new(raw.width, raw.height);
    for (row, out_row) in rows(raw, row_bytes).zip(rows_mut(&mut out)) {
        match bytes {
            1 => interleaved8(row, channels, rgb, out_row),
            _ => interleaved16(row, channels, rgb, raw.big_endian, out_row),
        }
    }
    Ok(out)
}

fn decode_packed(raw: &RawImage, order: Packed422) -> Result<RgbImage, PixelError> {
    check_even(raw, raw.width, "width")?;
    let row_bytes = check_rows(raw, u64::from(raw.width) * 2, u64::from(raw.height))?;
    let mut out = RgbImage::new(raw.width, raw.height);
    for (row, out_row) in rows(raw, row_bytes).zip(rows_mut(&mut out)) {
        yuv::row_422(row, order, out_row);
    }
    Ok(out)
}

fn decode_planes(raw: &RawImage, v_first: bool, full: bool) -> Result<RgbImage, PixelError> {
    let height = u64::from(raw.height);
    if !full {
        check_even(raw, raw.width, "width")?;
        check_even(raw, raw.height, "height")?;
    }
    let row_bytes = check_rows(raw, u64::from(raw.width), if full { height * 3 } else { height * 3 / 2 })?;
    let step = raw.step as usize;
    let (luma, chroma) = raw.data.split_at(step * raw.height as usize);
    let mut out = RgbImage::new(raw.width, raw.height);
    for (y, (row, out_row)) in luma.chunks_exact(step).zip(rows_mut(&mut out)).enumerate() {
        if full {
            yuv::row_444(&row[..row_bytes], &chroma[y * 2 * step..], v_first, out_row);
        } else {
            yuv::row_420(&row[..row_bytes], &chroma[y / 2 * step..], v_first, out_row);
        }
    }
    Ok(out)
}

fn decode_mosaic(raw: &RawImage, pattern: Pattern, bytes: usize) -> Result<RgbImage, PixelError> {
    let RawImage { width, height, .. } = *raw;
    if width < 2 || height < 2 {
        return Err(PixelError::MosaicTooSmall { encoding: raw.encoding.to_owned(), width, height });
    }
    let row_bytes = check_rows(raw, u64::from(width) * bytes as u64, u64::from(height))?;
    let mut out = RgbImage::new(width, height);
    if bytes == 1 {
        bayer::demosaic(raw.data, raw.step as usize, pattern, &mut out);
    } else {
        let eight_bits: Vec<u8> = rows(raw, row_bytes)
            .flat_map(|row| row.as_chunks::<2>().0.iter().map(|s| to_eight_bits(*s, raw.big_endian)))
            .collect();
        bayer::demosaic(&eight_bits, width as usize, pattern, &mut out);
    }
    Ok(out)
}

/// Checks that `size`, the width or the height of the image, is even.
fn check_even(raw: &RawImage, size: u32, dimension: &'static str) -> Result<(), PixelError> {
    let RawImage { width, height, .. } = *raw;
    if size.is_multiple_of(2) {
        return Ok(());
    }
    Err(PixelError::OddSize { encoding: raw.encoding.to_owned(), width, height, dimension })
}

/// Checks that `step` and the amount of data fit `rows` rows of `row_bytes` bytes. Returns `row_bytes`.
pub(crate) fn check_rows(raw: &RawImage, row_bytes: u64, rows: u64) -> Result<usize, PixelError> {
    if u64::from(raw.step) < row_bytes {
        return Err(PixelError::StepTooSmall {
            step: raw.step,
            needed: row_bytes,
            width: raw.width,
            encoding: raw.encoding.to_owned(),
        });
    }
    let expected = u64::from(raw.step) * rows;
    if raw.data.len() as u64 != expected {
        return Err(PixelError::SizeMismatch {
            found: raw.data.len(),
            expected,
            rows,
            step: raw.step,
            encoding: raw.encoding.to_owned(),
        });
    }
    Ok(row_bytes as usize)
}

/// Returns the rows without their padding. [`check_rows`] must have accepted the image.
pub(crate) fn rows<'a>(raw: &RawImage<'a>, row_bytes: usize) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    raw.data.chunks_exact((raw.step as usize).max(1)).map(move |row| &row[..row_bytes])
}

fn rows_mut(image: &mut RgbImage) -> impl Iterator<Item = &mut [u8]> {
    let row = image.width() as usize * 3;
    image.chunks_exact_mut(row)
}

fn interleaved8(row: &[u8], channels: usize, [r, g, b]: [usize; 3], out: &mut [u8]) {
    match channels {
        1 => {
            for (o, s) in out.as_chunks_mut::<3>().0.iter_mut().zip(row) {
                *o = [*s; 3];
            }
        }
        3 if r == 0 => out.copy_from_slice(row),
        3 => {
            for (o, s) in out.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<3>().0) {
                *o = [s[2], s[1], s[0]];
            }
        }
        _ => {
            for (o, s) in out.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<4>().0) {
                *o = [s[r], s[g], s[b]];
            }
        }
    }
}

fn interleaved16(row: &[u8], channels: usize, rgb: [usize; 3], big_endian: bool, out: &mut [u8]) {
    let samples = row.as_chunks::<2>().0;
    for (o, s) in out.as_chunks_mut::<3>().0.iter_mut().zip(samples.chunks_exact(channels)) {
        *o = rgb.map(|channel| to_eight_bits(s[channel], big_endian));
    }
}

/// Scales a sample by the full range: 0 -> 0, 65535 -> 255, rounded to the nearest.
fn to_eight_bits(sample: [u8; 2], big_endian: bool) -> u8 {
    let value = if big_endian { u16::from_be_bytes(sample) } else { u16::from_le_bytes(sample) };
    ((u32::from(value) + 128) / 257) as u8
}

#[cfg(test)]
#[path = "encoding_tests.rs"]
mod tests;
