//! Depth images: metres along the optical axis, by REP-118.

use std::borrow::Cow;

use super::error::DepthError;
use crate::pixels::{PixelError, RawImage, check_rows, check_size, rows};

/// Metres in a unit of a 16-bit depth image.
const MILLIMETRE: f32 = 1e-3;

/// A depth image: for each pixel the distance from the camera along the optical axis (z of the optical frame, not the
/// length of the ray).
#[derive(Debug, Clone, PartialEq)]
pub struct DepthImage {
    width: u32,
    height: u32,
    /// Metres, row by row; NaN without a measurement.
    metres: Vec<f32>,
    /// Distance between neighbouring values of the encoding, in metres; 0 for floating point.
    quantum: f32,
}

impl DepthImage {
    /// Decodes a depth image message: 32FC1 in metres, or 16UC1 (also named mono16) in millimetres. NaN, infinite values,
    /// zero and negative values count as missing (REP-118: NaN invalid, -Inf too close, +Inf too far, 0 in millimetres
    /// invalid).
    ///
    /// # Errors
    /// [`DepthError::Encoding`] for any other encoding, [`DepthError::Image`] if size, step and data do not fit together.
    pub fn from_raw(raw: &RawImage) -> Result<DepthImage, DepthError> {
        check_size(raw.width, raw.height)?;
        let pixels = raw.width as usize * raw.height as usize;
        let mut metres = Vec::with_capacity(pixels);
        let quantum = match raw.encoding {
            "32FC1" => {
                let row_bytes = check_rows(raw, u64::from(raw.width) * 4, u64::from(raw.height))?;
                for row in rows(raw, row_bytes) {
                    let samples = row.as_chunks::<4>().0.iter();
                    match raw.big_endian {
                        false => metres.extend(samples.map(|s| valid(f32::from_le_bytes(*s)))),
                        true => metres.extend(samples.map(|s| valid(f32::from_be_bytes(*s)))),
                    }
                }
                0.0
            }
            "16UC1" | "mono16" => {
                let row_bytes = check_rows(raw, u64::from(raw.width) * 2, u64::from(raw.height))?;
                for row in rows(raw, row_bytes) {
                    let samples = row.as_chunks::<2>().0.iter();
                    match raw.big_endian {
                        false => metres.extend(samples.map(|s| from_millimetres(u16::from_le_bytes(*s)))),
                        true => metres.extend(samples.map(|s| from_millimetres(u16::from_be_bytes(*s)))),
                    }
                }
                MILLIMETRE
            }
            other => return Err(DepthError::Encoding { encoding: other.to_owned() }),
        };
        Ok(DepthImage { width: raw.width, height: raw.height, metres, quantum })
    }

    /// Makes a depth image of metres, row by row. Values that are not positive and finite count as missing.
    ///
    /// # Errors
    /// [`DepthError::Image`] for a size that images cannot have, [`DepthError::Length`].
    pub fn from_metres(width: u32, height: u32, metres: &[f32]) -> Result<DepthImage, DepthError> {
        check_length(width, height, metres.len())?;
        Ok(DepthImage { width, height, metres: metres.iter().map(|z| valid(*z)).collect(), quantum: 0.0 })
    }

    /// Makes a depth image of millimetres, row by row. 0 counts as missing.
    ///
    /// # Errors
    /// As [`DepthImage::from_metres`].
    pub fn from_millimetres(width: u32, height: u32, millimetres: &[u16]) -> Result<DepthImage, DepthError> {
        check_length(width, height, millimetres.len())?;
        let metres = millimetres.iter().map(|mm| from_millimetres(*mm)).collect();
        Ok(DepthImage { width, height, metres, quantum: MILLIMETRE })
    }

    /// Returns width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Returns the depths in metres, row by row; NaN without a measurement.
    pub fn metres(&self) -> &[f32] {
        &self.metres
    }

    /// Returns the distance between neighbouring values of the encoding, in metres; 0 for floating point.
    pub fn quantum(&self) -> f32 {
        self.quantum
    }

    /// Returns the number of pixels with a depth.
    pub fn valid_pixels(&self) -> usize {
        self.metres.iter().filter(|z| !z.is_nan()).count()
    }

    /// Returns the depth at the size of the camera's image, which may be larger or smaller by a whole factor `k`.
    ///
    /// A depth pixel `(i, j)` of a smaller depth image covers the image's pixels `k i..k i + k` by `k j..k j + k`. Depths
    /// between the centres of depth pixels are interpolated linearly where the four depths around agree within
    /// `edge_ratio`; at edges each pixel has the depth of its depth pixel, so that no depth between foreground and
    /// background is made up. Of a larger depth image each pixel has the median of its `k` x `k` depths, the nearer of the
    /// two middle ones.
    ///
    /// # Errors
    /// [`DepthError::Size`] for any other ratio of the sizes.
    pub fn scaled_to(&self, width: u32, height: u32, edge_ratio: f32) -> Result<Cow<'_, DepthImage>, DepthError> {
        let factor = |large: u32, small: u32| large.checked_div(small).filter(|k| *k > 0 && k * small == large);
        if (width, height) == self.size() {
            return Ok(Cow::Borrowed(self));
        }
        let up = factor(width, self.width).filter(|k| Some(*k) == factor(height, self.height));
        let down = factor(self.width, width).filter(|k| Some(*k) == factor(self.height, height));
        let metres = match (up, down) {
            (Some(k), _) => self.enlarged(k as usize, edge_ratio),
            (None, Some(k)) => self.reduced(k as usize),
            (None, None) => {
                let (image_width, image_height) = (width, height);
                return Err(DepthError::Size { width: self.width, height: self.height, image_width, image_height });
            }
        };
        Ok(Cow::Owned(DepthImage { width, height, metres, quantum: self.quantum }))
    }

    fn enlarged(&self, k: usize, edge_ratio: f32) -> Vec<f32> {
        let (width, height) = (self.width as usize, self.height as usize);
        // The pixel's position among the centres of depth pixels: the depth pixel before it, the next, and the weight
        // of the next.
        let axis = |size: usize| {
            (0..size * k).map(move |i| {
                let position = (i as f32 + 0.5) / k as f32 - 0.5;
                let before = position.floor();
                let last = size as isize - 1;
                let clamped = |i: f32| (i as isize).clamp(0, last) as usize;
                (clamped(before), clamped(before + 1.0), position - before)
            })
        };
        let columns: Vec<(usize, usize, f32)> = axis(width).collect();
        let mut out = Vec::with_capacity(width * height * k * k);
        for (y, (top, bottom, down)) in axis(height).enumerate() {
            let row = |y: usize| &self.metres[y * width..][..width];
            let (own, above, below) = (row(y / k), row(top), row(bottom));
            for (x, (left, right, along)) in columns.iter().enumerate() {
                let corners = [above[*left], above[*right], below[*left], below[*right]];
                let near = corners.iter().fold(f32::INFINITY, |a, b| a.min(*b));
                let far = corners.iter().fold(0.0, |a: f32, b| a.max(*b));
                // NaN among the corners makes the sum NaN.
                let agrees = far - near <= edge_ratio * near && !corners.iter().sum::<f32>().is_nan();
                let blend = |a: f32, b: f32, weight: f32| a + (b - a) * weight;
                out.push(if agrees {
                    blend(blend(corners[0], corners[1], *along), blend(corners[2], corners[3], *along), down)
                } else {
                    own[x / k]
                });
            }
        }
        out
    }

    fn reduced(&self, k: usize) -> Vec<f32> {
        let width = self.width as usize;
        let mut out = Vec::with_capacity(self.metres.len() / (k * k));
        let mut block = Vec::with_capacity(k * k);
        for rows in self.metres.chunks_exact(width * k) {
            for x in (0..width).step_by(k) {
                block.clear();
                block.extend((0..k).flat_map(|y| &rows[y * width + x..][..k]).filter(|z| !z.is_nan()));
                block.sort_unstable_by(f32::total_cmp);
                out.push(block.get(block.len().saturating_sub(1) / 2).copied().unwrap_or(f32::NAN));
            }
        }
        out
    }
}

fn check_length(width: u32, height: u32, found: usize) -> Result<(), DepthError> {
    check_size(width, height).map_err(|e: PixelError| DepthError::Image(e))?;
    let expected = u64::from(width) * u64::from(height);
    if found as u64 != expected {
        return Err(DepthError::Length { found, expected, width, height });
    }
    Ok(())
}

/// Returns the depth, or NaN for a value that is no depth.
fn valid(z: f32) -> f32 {
    if z > 0.0 && z < f32::INFINITY { z } else { f32::NAN }
}

fn from_millimetres(value: u16) -> f32 {
    if value == 0 { f32::NAN } else { f32::from(value) * MILLIMETRE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw<'a>(encoding: &'a str, big_endian: bool, step: u32, data: &'a [u8]) -> RawImage<'a> {
        RawImage { width: 2, height: 2, step, encoding, big_endian, data }
    }

    /// NaN stands for itself.
    fn assert_metres(depth: &DepthImage, expected: &[f32]) {
        let same = |(a, b): (&f32, &f32)| (a.is_nan() && b.is_nan()) || (a - b).abs() < 1e-6;
        assert!(depth.metres().iter().zip(expected).all(same), "{:?}, expected {expected:?}", depth.metres());
        assert_eq!(depth.metres().len(), expected.len());
    }

    #[test]
    fn both_encodings_are_metres_and_missing_depths_are_nan() {
        let nan = f32::NAN;
        let mm: Vec<u8> = [1500_u16, 0, 1, u16::MAX].iter().flat_map(|v| v.to_le_bytes()).collect();
        let depth = DepthImage::from_raw(&raw("16UC1", false, 4, &mm)).unwrap();
        assert_metres(&depth, &[1.5, nan, 0.001, 65.535]);
        assert_eq!((depth.valid_pixels(), depth.quantum()), (3, 0.001));
        assert_eq!(DepthImage::from_raw(&raw("mono16", false, 4, &mm)).unwrap().size(), (2, 2));

        for bad in [nan, f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.0] {
            // Big-endian, with four bytes of padding after each row.
            let row = |a: f32, b: f32| [a.to_be_bytes(), b.to_be_bytes(), [7; 4]].concat();
            let data = [row(0.25, bad), row(bad, 9.0)].concat();
            let depth = DepthImage::from_raw(&raw("32FC1", true, 12, &data)).unwrap();
            assert_metres(&depth, &[0.25, nan, nan, 9.0]);
            assert_eq!(depth.quantum(), 0.0);
        }
    }

    #[test]
    fn what_is_no_depth_image_is_refused() {
        let error = DepthImage::from_raw(&raw("rgb8", false, 6, &[0; 12])).unwrap_err();
        assert!(error.to_string().contains("rgb8") && error.to_string().contains("16UC1"), "{error}");
        let short = DepthImage::from_raw(&raw("16UC1", false, 4, &[0; 7]));
        assert!(matches!(short, Err(DepthError::Image(PixelError::SizeMismatch { .. }))), "{short:?}");
        let length = DepthImage::from_metres(3, 2, &[1.0; 5]).unwrap_err();
        assert_eq!(length.to_string(), "5 depths, expected 6 (3x2 pixels)");
        assert!(matches!(DepthImage::from_millimetres(0, 2, &[]), Err(DepthError::Image(PixelError::Empty { .. }))));
    }

    #[test]
    fn a_smaller_depth_image_is_enlarged_without_depths_between_surfaces() {
        // A slope of 0.01 m a column, and a surface 1 m behind it.
        let depth = DepthImage::from_metres(4, 1, &[1.00, 1.01, 1.02, 2.0]).unwrap();
        let large = depth.scaled_to(8, 2, 0.02).unwrap();
        let row = [1.0, 1.0025, 1.0075, 1.0125, 1.0175, 1.02, 2.0, 2.0];
        assert_metres(&large, &[row, row].concat());
        let holes = DepthImage::from_metres(2, 1, &[1.0, f32::NAN]).unwrap();
        assert_metres(&holes.scaled_to(4, 2, 0.02).unwrap(), &[1.0, 1.0, f32::NAN, f32::NAN].repeat(2));
    }

    #[test]
    fn a_larger_depth_image_is_reduced_to_medians() {
        let nan = f32::NAN;
        let depth = DepthImage::from_metres(4, 2, &[1.0, 2.0, nan, nan, /**/ 1.1, 2.1, nan, 3.0]).unwrap();
        assert_metres(&depth.scaled_to(2, 1, 0.02).unwrap(), &[1.1, 3.0]);
        assert!(matches!(depth.scaled_to(4, 2, 0.02), Ok(Cow::Borrowed(_))));
        for (width, height) in [(6, 3), (8, 2), (4, 1), (3, 2), (0, 0)] {
            let error = depth.scaled_to(width, height, 0.02).unwrap_err();
            assert!(error.to_string().contains("RegisterNode"), "{error}");
        }
    }
}
