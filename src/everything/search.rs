//! Where the generator looks for objects: the grid of the reference, quick modes, and parts of the image.

use std::sync::Arc;

use thiserror::Error;

use crate::pixels::{Mask, PixelRect};
use crate::prompt::{BoxPrompt, PromptError};

/// What the generator prompts the decoder with.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Search {
    /// Every click of the grid, as in the reference.
    #[default]
    Grid,
    /// Every second click of every second row first, then the other clicks on pixels that no mask covers yet. TinySAM
    /// (Shu et al. 2023, section 3.3) searches in this order.
    CoarseToFine,
    /// One box for each object, for instance of a detector, in pixels of the image, without a grid and without crops.
    /// MobileSAMv2 (Zhang et al. 2023) searches in this way.
    Boxes(Vec<BoxPrompt>),
}

/// Part of the image in which the generator clicks.
#[derive(Debug, Clone, PartialEq)]
pub enum Within {
    /// A rectangle. Only a part of it has to lie inside the image.
    Rect(PixelRect),
    /// The pixels inside a mask of the image's size.
    Mask(Arc<Mask>),
}

/// Why there is nothing to look for.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SearchError {
    #[error(
        "the region of {} x {} pixels at ({}, {}) lies outside the image of {width} x {height} pixels; expected a \
         region that overlaps the image", region.width, region.height, region.x, region.y
    )]
    RegionOutside { region: PixelRect, width: u32, height: u32 },
    #[error("the mask of the region has {} x {} pixels, the image {} x {}; expected equal sizes", found.0, found.1, image.0, image.1)]
    RegionSize { found: (u32, u32), image: (u32, u32) },
    #[error("none of the {clicks} clicks lies inside the region; raise points_per_side or enlarge the region")]
    NoClicks { clicks: usize },
    #[error("box {index}: {reason}")]
    Box { index: usize, reason: PromptError },
}

impl Within {
    /// Checks that the part belongs to an image of `width` by `height` pixels.
    ///
    /// # Errors
    /// [`SearchError::RegionOutside`] or [`SearchError::RegionSize`].
    pub(super) fn check(&self, width: u32, height: u32) -> Result<(), SearchError> {
        match self {
            Within::Rect(region)
                if region.width == 0 || region.height == 0 || region.x >= width || region.y >= height =>
            {
                Err(SearchError::RegionOutside { region: *region, width, height })
            }
            Within::Mask(mask) if (mask.width, mask.height) != (width, height) => {
                Err(SearchError::RegionSize { found: (mask.width, mask.height), image: (width, height) })
            }
            _ => Ok(()),
        }
    }

    /// Returns whether a position in the image lies inside.
    pub(super) fn contains(&self, [x, y]: [f64; 2]) -> bool {
        match self {
            Within::Rect(region) => {
                let spans = |start: u32, length: u32, position: f64| {
                    position >= f64::from(start) && position < f64::from(start) + f64::from(length)
                };
                spans(region.x, region.width, x) && spans(region.y, region.height, y)
            }
            // Positions of the grid are not negative.
            Within::Mask(mask) => mask.contains(x as u32, y as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_contains_the_positions_of_its_pixels() {
        let region = Within::Rect(PixelRect { x: 2, y: 1, width: 3, height: u32::MAX });
        assert!(region.contains([2.0, 1.0]) && region.contains([4.9, 900.0]));
        assert!(!region.contains([5.0, 1.0]) && !region.contains([1.9, 1.0]) && !region.contains([3.0, 0.5]));
        let mask = Mask::from_data(3, 2, &[0, 1, 0, 0, 0, 1]).unwrap();
        let region = Within::Mask(Arc::new(mask));
        assert!(region.contains([1.5, 0.5]) && region.contains([2.9, 1.9]));
        assert!(!region.contains([0.5, 0.5]) && !region.contains([3.0, 1.0]));
    }

    #[test]
    fn a_region_outside_the_image_and_a_mask_of_another_size_are_refused() {
        let region = |x, y, width, height| Within::Rect(PixelRect { x, y, width, height }).check(640, 480);
        assert_eq!(region(600, 400, 100, 100), Ok(()), "a part lies inside");
        let message = region(640, 0, 10, 20).unwrap_err().to_string();
        assert!(message.contains("10 x 20 pixels at (640, 0)") && message.contains("640 x 480"), "{message}");
        assert!(region(0, 480, 1, 1).is_err() && region(5, 5, 0, 9).is_err());
        let mask = Within::Mask(Arc::new(Mask::empty(320, 480))).check(640, 480);
        assert!(mask.unwrap_err().to_string().contains("320 x 480"));
    }
}
