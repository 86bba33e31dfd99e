//! Images that were passed over, kept by stamp for late prompts.

use std::collections::VecDeque;

use crate::engine::frame::{Frame, Stamp};
use crate::engine::settings::KeepLimits;

/// The last images that a newer image replaced before they were encoded, in order of arrival, limited by number and bytes.
#[derive(Debug, Default)]
pub struct RecentImages {
    images: VecDeque<Frame>,
    bytes: usize,
}

impl RecentImages {
    pub fn push(&mut self, frame: Frame, limits: &KeepLimits) {
        self.bytes += frame.bytes();
        self.images.push_back(frame);
        while self.images.len() > limits.images || (!self.images.is_empty() && self.bytes > limits.bytes) {
            self.remove(0);
        }
    }

    fn remove(&mut self, index: usize) -> Option<Frame> {
        let frame = self.images.remove(index)?;
        self.bytes -= frame.bytes();
        Some(frame)
    }

    pub fn at(&self, stamp: Stamp) -> Option<&Frame> {
        self.images.iter().rev().find(|f| f.header.stamp == stamp)
    }

    /// Removes and returns the image of that stamp, to be encoded.
    pub fn take(&mut self, stamp: Stamp) -> Option<Frame> {
        self.images.iter().rposition(|f| f.header.stamp == stamp).and_then(|i| self.remove(i))
    }

    pub fn count(&self) -> usize {
        self.images.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::testing::frame;

    #[test]
    fn images_are_bounded_by_count_and_bytes() {
        let bytes = frame(1).bytes();
        for (limits, left) in [
            (KeepLimits { images: 2, ..KeepLimits::default() }, 2),
            (KeepLimits { bytes: 3 * bytes, ..KeepLimits::default() }, 3),
            (KeepLimits { images: 0, ..KeepLimits::default() }, 0),
        ] {
            let mut recent = RecentImages::default();
            (1..=9).for_each(|sec| recent.push(frame(sec), &limits));
            assert_eq!((recent.count(), recent.bytes()), (left, left * bytes));
            assert_eq!(recent.take(Stamp { sec: 9, nanosec: 0 }).is_some(), left > 0);
        }
    }
}
