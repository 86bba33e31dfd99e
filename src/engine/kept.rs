//! Encoded frames, kept by stamp for the prompts on them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use image::RgbImage;

use super::frame::{Header, PromptedFrame, Stamp};
use super::settings::KeepLimits;
use crate::model::Embedding;

/// An encoded frame. A prompt on a kept frame needs the decoder only.
#[derive(Debug)]
pub struct KeptFrame {
    /// Number of the frame in the order of encoding. Stamps are not unique: a camera without stamps sends zero.
    pub number: u64,
    pub header: Header,
    /// Image that the overlay is drawn on.
    pub image: Arc<RgbImage>,
    pub embedding: Embedding,
    /// Arrival of the image.
    pub arrived: Instant,
    /// Time at which the embedding was computed.
    pub encoded: Instant,
    /// Wait for the encoder and conversion of the pixels, in milliseconds.
    pub wait_ms: f32,
    pub convert_ms: f32,
}

impl KeptFrame {
    /// Returns the number and the image size of the frame.
    pub(super) fn prompted(&self) -> PromptedFrame {
        PromptedFrame { number: self.number, size: self.embedding.image_size() }
    }

    pub fn bytes(&self) -> usize {
        self.embedding.bytes() + self.image.as_raw().len()
    }
}

/// Encoded frames in order of arrival, limited by number and bytes. A clone shares the frames.
#[derive(Debug, Clone, Default)]
pub struct KeptFrames {
    frames: VecDeque<Arc<KeptFrame>>,
}

impl KeptFrames {
    /// Adds the newest frame, in place of a frame of the same stamp. The oldest frames are removed at the limits.
    pub fn insert(&mut self, frame: Arc<KeptFrame>, limits: &KeepLimits) {
        self.insert_beside(frame, limits, 0);
    }

    /// As [`KeptFrames::insert`], except that the `protected` frames before it stay whatever the limits are.
    fn insert_beside(&mut self, frame: Arc<KeptFrame>, limits: &KeepLimits, protected: usize) {
        self.frames.retain(|f| f.header.stamp != frame.header.stamp);
        self.frames.push_back(frame);
        let mut bytes = self.bytes();
        while self.frames.len() > 1 + protected && (self.frames.len() > limits.frames || bytes > limits.bytes) {
            bytes = bytes.saturating_sub(self.frames.pop_front().map_or(0, |f| f.bytes()));
        }
    }

    /// Adds a frame that is older than the newest frame: it was encoded for a late prompt.
    pub fn insert_older(&mut self, frame: Arc<KeptFrame>, limits: &KeepLimits) {
        let newest = self.frames.pop_back();
        self.insert(frame, limits);
        if let Some(newest) = newest {
            self.insert_beside(newest, limits, 1);
        }
    }

    pub fn newest(&self) -> Option<&Arc<KeptFrame>> {
        self.frames.back()
    }

    pub fn at(&self, stamp: Stamp) -> Option<&Arc<KeptFrame>> {
        self.frames.iter().rev().find(|f| f.header.stamp == stamp)
    }

    pub fn numbered(&self, number: u64) -> Option<&Arc<KeptFrame>> {
        self.frames.iter().rev().find(|f| f.number == number)
    }

    /// Returns the frame of the largest stamp that is not above `stamp`.
    pub fn newest_until(&self, stamp: Stamp) -> Option<&Arc<KeptFrame>> {
        // Frames of a larger stamp than the newest frame are from before the clock was set back.
        let until = stamp.min(self.newest()?.header.stamp);
        self.frames.iter().filter(|f| f.header.stamp <= until).max_by_key(|f| f.header.stamp)
    }

    /// Returns the smallest and the largest stamp of the frames, in whatever order they arrived.
    pub fn stamps(&self) -> Option<(Stamp, Stamp)> {
        let stamps = || self.frames.iter().map(|f| f.header.stamp);
        stamps().min().zip(stamps().max())
    }

    pub fn len(&self) -> usize {
        self.frames.len()
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Returns the bytes of all frames now. An embedding on a GPU grows when a part of it is copied to the host.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(|f| f.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::testing::{kept_frame, stamp};

    fn stamps(kept: &KeptFrames) -> Vec<i32> {
        kept.frames.iter().map(|f| f.header.stamp.sec).collect()
    }

    #[test]
    fn the_oldest_frames_make_room_by_count() {
        let mut kept = KeptFrames::default();
        let limits = KeepLimits { frames: 3, ..KeepLimits::default() };
        for sec in 1..=5 {
            kept.insert(kept_frame(sec), &limits);
        }
        assert_eq!(stamps(&kept), [3, 4, 5]);
        assert!(kept.at(Stamp { sec: 2, nanosec: 0 }).is_none());
        assert_eq!(kept.stamps(), Some((stamp(3), stamp(5))));
    }

    #[test]
    fn the_newest_until_a_stamp_is_that_by_its_stamp_whenever_it_came() {
        let mut kept = KeptFrames::default();
        for sec in [10, 12, 14, 16] {
            kept.insert(kept_frame(sec), &KeepLimits::default());
        }
        kept.insert_older(kept_frame(11), &KeepLimits::default());
        let until = |sec| kept.newest_until(Stamp { sec, nanosec: 0 }).map(|f| f.header.stamp.sec);
        assert_eq!([9, 11, 13, 15, 17].map(until), [None, Some(11), Some(12), Some(14), Some(16)]);
    }

    #[test]
    fn after_the_clock_was_set_back_the_newest_is_none_of_before() {
        let mut kept = KeptFrames::default();
        for sec in [15, 16, 2, 4] {
            kept.insert(kept_frame(sec), &KeepLimits::default());
        }
        kept.insert_older(kept_frame(3), &KeepLimits::default());
        let until = |sec| kept.newest_until(Stamp { sec, nanosec: 0 }).map(|f| f.header.stamp.sec);
        assert_eq!([1, 2, 3, 5, 15, 99].map(until), [None, Some(2), Some(3), Some(4), Some(4), Some(4)]);
    }

    #[test]
    fn a_frame_that_was_encoded_for_a_prompt_stays_until_the_next_one() {
        let bytes = kept_frame(1).bytes();
        for limits in [KeepLimits { frames: 1, ..KeepLimits::default() }, KeepLimits { bytes, ..KeepLimits::default() }]
        {
            let mut kept = KeptFrames::default();
            kept.insert(kept_frame(3), &limits);
            kept.insert_older(kept_frame(1), &limits);
            assert_eq!((stamps(&kept), kept.bytes()), (vec![1, 3], 2 * bytes));
            kept.insert_older(kept_frame(2), &limits);
            assert_eq!(stamps(&kept), [2, 3]);
            kept.insert(kept_frame(4), &limits);
            assert_eq!((stamps(&kept), kept.bytes()), (vec![4], bytes));
        }
    }

    #[test]
    fn bytes_are_bounded_but_the_newest_frame_stays() {
        let one = kept_frame(1).bytes();
        let limits = KeepLimits { bytes: 2 * one, ..KeepLimits::default() };
        let mut kept = KeptFrames::default();
        for sec in 1..=5 {
            kept.insert(kept_frame(sec), &limits);
        }
        assert_eq!((stamps(&kept), kept.bytes()), (vec![4, 5], 2 * one));
        kept.insert(kept_frame(6), &KeepLimits { bytes: 1, ..limits });
        assert_eq!((stamps(&kept), kept.bytes()), (vec![6], one));
    }

    #[test]
    fn the_oldest_stamp_is_that_of_the_oldest_frame_whatever_came_first() {
        let mut kept = KeptFrames::default();
        assert_eq!(kept.stamps(), None);
        for sec in [5, 6, 7] {
            kept.insert(kept_frame(sec), &KeepLimits::default());
        }
        kept.insert_older(kept_frame(4), &KeepLimits::default());
        assert_eq!(kept.stamps(), Some((stamp(4), stamp(7))));
        kept.insert(kept_frame(2), &KeepLimits::default());
        assert_eq!(kept.stamps(), Some((stamp(2), stamp(7))));
    }

    #[test]
    fn a_frame_of_the_same_stamp_is_replaced() {
        let mut kept = KeptFrames::default();
        for sec in [1, 2, 1] {
            kept.insert(kept_frame(sec), &KeepLimits::default());
        }
        assert_eq!(stamps(&kept), [2, 1]);
        assert_eq!(kept.bytes(), 2 * kept_frame(1).bytes());
    }
}
