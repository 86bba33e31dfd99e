//! Parts of a run, which are labelled apart and joined.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// One of `count` parts of about the same length; the first has number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    pub number: usize,
    pub count: usize,
}

impl Slice {
    /// Returns the frames of the slice among `frames` frames.
    pub fn range(self, frames: usize) -> Range<usize> {
        let border = |number: usize| (frames as u128 * number as u128 / self.count.max(1) as u128) as usize;
        border(self.number.saturating_sub(1))..border(self.number)
    }
}

impl FromStr for Slice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}', expected K/N with K from 1 to N, such as 2/4");
        let (number, count) = text.split_once('/').ok_or_else(wrong)?;
        let slice = Slice { number: number.parse().map_err(|_| wrong())?, count: count.parse().map_err(|_| wrong())? };
        if (1..=slice.count).contains(&slice.number) { Ok(slice) } else { Err(wrong()) }
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_have_each_frame_once() {
        for (frames, count) in [(10, 3), (2, 4), (0, 2), (7, 1)] {
            let slices = (1..=count).map(|number| Slice { number, count });
            let all: Vec<usize> = slices.flat_map(|slice| slice.range(frames)).collect();
            assert_eq!(all, (0..frames).collect::<Vec<_>>(), "{frames} frames in {count} slices");
        }
        assert_eq!("2/4".parse(), Ok(Slice { number: 2, count: 4 }));
        for wrong in ["0/4", "5/4", "2", "a/4", "1/0", "-1/4"] {
            assert!(wrong.parse::<Slice>().unwrap_err().contains("expected K/N"), "{wrong}");
        }
    }
}
