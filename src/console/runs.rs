//! Masks as run lengths along the rows, which the page draws, and which its brush sends.

use serde::{Deserialize, Serialize};

use crate::pixels::{Mask, MaskInput, PixelRect};

/// A mask as the lengths of its runs, row by row. The first run is outside the mask; its length may be 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    /// Left, top, width and height of the rectangle that the runs fill, in pixels of the image.
    pub rect: [u32; 4],
    pub counts: Vec<u32>,
}

impl Runs {
    /// Encodes the tight box of a mask; `None` for an empty mask.
    pub fn new(mask: &Mask) -> Option<Self> {
        let PixelRect { x, y, width, height } = mask.bbox?;
        let (mut counts, mut run, mut inside) = (Vec::new(), 0u32, false);
        for pixel in &mask.cropped {
            if (*pixel != 0) != inside {
                counts.push(run);
                (run, inside) = (0, !inside);
            }
            run += 1;
        }
        counts.push(run);
        Some(Runs { rect: [x, y, width, height], counts })
    }

    /// Decodes the mask of a brush on an image of that size.
    ///
    /// # Errors
    /// The rectangle lies outside the image, or the runs do not fill it.
    pub fn to_input(&self, (width, height): (u32, u32)) -> Result<MaskInput, String> {
        let [left, top, columns, rows] = self.rect;
        let ends = |from: u32, length: u32| u64::from(from) + u64::from(length);
        if columns == 0 || rows == 0 || ends(left, columns) > u64::from(width) || ends(top, rows) > u64::from(height) {
            return Err(format!(
                "a mask of {columns}x{rows} pixels at ({left}, {top}), expected a rectangle within {width}x{height}"
            ));
        }
        let total: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let expected = u64::from(columns) * u64::from(rows);
        if total != expected {
            return Err(format!("a mask with runs of {total} pixels, expected {expected} ({columns}x{rows})"));
        }
        let mut data = vec![0u8; width as usize * height as usize];
        let mut at = 0;
        for (i, count) in self.counts.iter().enumerate() {
            let end = at + *count as usize;
            if i % 2 == 1 {
                fill(&mut data, width as usize, self.rect, at..end);
            }
            at = end;
        }
        Ok(MaskInput::Binary { width, height, data })
    }
}

/// Sets a run of pixels, counted row by row within a rectangle, inside an image with rows of `stride` pixels.
fn fill(data: &mut [u8], stride: usize, [left, top, columns, _]: [u32; 4], run: std::ops::Range<usize>) {
    let (left, top, columns) = (left as usize, top as usize, columns as usize);
    let mut at = run.start;
    while at < run.end {
        let (row, column) = (at / columns, at % columns);
        let end = run.end.min((row + 1) * columns);
        let start = (top + row) * stride + left + column;
        data[start..start + (end - at)].fill(255);
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_along_the_rows_of_the_tight_box() {
        let data = vec![0, 0, 0, 0, /**/ 0, 7, 0, 9, /**/ 0, 0, 1, 0];
        let mask = Mask::from_data(4, 3, &data).unwrap();
        let runs = Runs::new(&mask).unwrap();
        assert_eq!((runs.rect, runs.counts.as_slice()), ([1, 1, 3, 2], &[0, 1, 1, 1, 1, 1, 1][..]));
        assert_eq!(runs.to_input((4, 3)), Ok(MaskInput::Binary { width: 4, height: 3, data: mask.full() }));
        assert_eq!(Runs::new(&Mask::empty(4, 3)), None);
    }

    #[test]
    fn a_run_may_span_several_rows() {
        let full = Mask::from_data(3, 4, &[1; 12]).unwrap();
        let runs = Runs::new(&full).unwrap();
        assert_eq!(runs.counts, [0, 12]);
        let Ok(MaskInput::Binary { data, .. }) = runs.to_input((5, 4)) else { panic!("refused") };
        let expected: Vec<u8> = (0..20).map(|i| if i % 5 < 3 { 255 } else { 0 }).collect();
        assert_eq!(data, expected);
    }

    #[test]
    fn masks_that_do_not_fit_are_refused_before_memory_is_allocated() {
        for (rect, counts, reason) in [
            ([0, 0, 0, 4], vec![], "0x4"),
            ([2, 0, 3, 1], vec![0, 3], "at (2, 0)"),
            ([u32::MAX, 0, u32::MAX, 1], vec![1], "within 4x3"),
            ([0, 0, 4, 3], vec![1, 2], "runs of 3 pixels, expected 12"),
            ([0, 0, 4, 3], vec![u32::MAX, u32::MAX, u32::MAX], "expected 12"),
        ] {
            let error = Runs { rect, counts }.to_input((4, 3)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
