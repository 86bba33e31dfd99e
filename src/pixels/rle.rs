//! COCO's run-length encoding, identical to that of pycocotools (cocoapi, common/maskApi.c: `rleEncode` and
//! `rleToString`).

use std::ops::Range;

use super::mask::Mask;

/// Returns the lengths of the runs down the columns. The first run is outside the mask; its length is 0 if the first
/// pixel is inside.
pub fn coco_counts(mask: &Mask) -> Vec<u32> {
    let (mut counts, mut from, mut inside) = (Vec::new(), 0, false);
    let mut change = |at: u32, inside: &mut bool| {
        counts.push(at - from);
        from = at;
        *inside = !*inside;
    };
    if let Some(b) = mask.bbox {
        for x in 0..b.width {
            let top = (b.x + x) * mask.height + b.y;
            for y in 0..b.height {
                if (mask.cropped[(y * b.width + x) as usize] != 0) != inside {
                    change(top + y, &mut inside);
                }
            }
            if inside && b.height < mask.height {
                change(top + b.height, &mut inside);
            }
        }
        let end = (b.x + b.width) * mask.height;
        if inside && b.x + b.width < mask.width {
            change(end, &mut inside);
        }
    }
    // A run that ends with the image is the last.
    let last = mask.width * mask.height - from;
    if last > 0 || counts.is_empty() {
        counts.push(last);
    }
    counts
}

/// Returns the `counts` of COCO's compressed form. Each run is stored as its difference to the run two places before,
/// in groups of five bits from the lowest on, as characters from `0` on. The sixth bit is set if another group follows.
pub fn coco_string(counts: &[u32]) -> String {
    let mut text = String::new();
    for (i, &count) in counts.iter().enumerate() {
        let before = if i > 2 { counts[i - 2] } else { 0 };
        let mut rest = i64::from(count) - i64::from(before);
        loop {
            let group = (rest & 0x1f) as u8;
            rest >>= 5;
            // The highest bit of the last group is the sign.
            let more = if group & 0x10 == 0 { rest != 0 } else { rest != -1 };
            text.push(char::from(b'0' + group + if more { 0x20 } else { 0 }));
            if !more {
                break;
            }
        }
    }
    text
}

/// Returns the run lengths of COCO's compressed form. None for a text that [`coco_string`] does not write: other characters, a
/// number cut off, or a length below 0 or above 2^32 - 1.
pub fn counts_of_coco_string(text: &str) -> Option<Vec<u32>> {
    let (mut counts, mut value, mut shift) = (Vec::<u32>::new(), 0i64, 0);
    for character in text.bytes() {
        let group = i64::from(character.checked_sub(b'0').filter(|group| *group < 0x40)?);
        // Seven groups hold any difference of two lengths.
        if shift > 30 {
            return None;
        }
        value |= (group & 0x1f) << shift;
        shift += 5;
        if group & 0x20 == 0 {
            if group & 0x10 != 0 {
                value |= -1 << shift;
            }
            let before = if counts.len() > 2 { counts[counts.len() - 2] } else { 0 };
            counts.push(u32::try_from(value + i64::from(before)).ok()?);
            (value, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(counts)
}

/// A mask as the lengths of its runs, column by column: small where [`Mask`] has a byte for each pixel of its box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLengths {
    /// Width and height of the image, in pixels.
    pub width: u32,
    pub height: u32,
    /// Lengths of the runs down the columns. The first run is outside the mask.
    pub counts: Vec<u32>,
}

impl RunLengths {
    /// Encodes a mask.
    pub fn of(mask: &Mask) -> Self {
        RunLengths { width: mask.width, height: mask.height, counts: coco_counts(mask) }
    }

    /// Returns the runs inside the mask, as positions of pixels column by column.
    pub fn inside(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = self.counts.iter().scan(0, |end, count| {
            *end += *count as usize;
            Some(*end - *count as usize..*end)
        });
        ends.skip(1).step_by(2)
    }

    /// Returns the number of pixels inside the mask.
    pub fn area(&self) -> u32 {
        self.counts.iter().skip(1).step_by(2).sum()
    }

    /// Decodes the mask; its stability score is 1.
    pub fn to_mask(&self) -> Mask {
        let (width, height) = (self.width as usize, self.height as usize);
        let mut pixels = vec![0u8; width * height];
        // Lengths that somebody else wrote may lead out of the image.
        let end = pixels.len();
        for position in self.inside().flatten().take_while(|position| *position < end) {
            pixels[position % height * width + position / height] = 255;
        }
        Mask::from_data(self.width, self.height, &pixels).unwrap_or_else(|| Mask::empty(self.width, self.height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_down_the_columns_and_begin_outside() {
        // Two columns of three pixels: 0 1 1, 1 0 0.
        let mask = Mask::from_data(2, 3, &[0, 1, 1, 0, 1, 0]).unwrap();
        assert_eq!(coco_counts(&mask), [1, 3, 2]);
        assert_eq!(coco_counts(&Mask::from_data(2, 1, &[1, 0]).unwrap()), [0, 1, 1]);
        assert_eq!(coco_counts(&Mask::from_data(2, 2, &[0; 4]).unwrap()), [4]);
        assert_eq!(coco_counts(&Mask::from_data(2, 2, &[9; 4]).unwrap()), [0, 4]);
    }

    #[test]
    fn long_and_shrinking_runs() {
        assert_eq!(coco_string(&[1, 3, 2]), "132");
        assert_eq!(coco_string(&[16]), "`0", "bit 4 is the sign, so that 16 takes a second group");
        assert_eq!(coco_string(&[0, 5, 9, 3, 8]), "059NO", "differences below zero");
    }

    #[test]
    fn the_text_of_run_lengths_is_read_back_and_other_texts_are_refused() {
        for counts in [vec![1, 3, 2], vec![16], vec![0, 5, 9, 3, 8], vec![0, u32::MAX, 0, 0, 7, u32::MAX], vec![]] {
            assert_eq!(counts_of_coco_string(&coco_string(&counts)), Some(counts));
        }
        for other in ["`", "N", " ", "\u{e9}", "oooooooooooooo0"] {
            assert_eq!(counts_of_coco_string(other), None, "{other}");
        }
    }

    #[test]
    fn runs_decode_to_the_mask_that_they_were_made_of() {
        let mask = Mask::from_data(3, 4, &[0, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1]).unwrap();
        let runs = RunLengths::of(&mask);
        assert_eq!(runs.area(), mask.area);
        assert_eq!(runs.to_mask(), mask);
        let full = Mask::from_data(2, 2, &[1; 4]).unwrap();
        assert_eq!(RunLengths::of(&full).to_mask(), full);
        assert_eq!(RunLengths::of(&Mask::empty(2, 2)).to_mask().area, 0);
    }
}
