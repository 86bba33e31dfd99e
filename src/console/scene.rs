//! A picture of a camera with the masks on it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::jpeg::Picture;
use crate::engine::{FrameResult, ObjectResult, Stamp};

/// A picture of a camera with the masks on it. The masks change when somebody prompts the frame.
#[derive(Debug)]
pub struct Scene {
    /// Number of the picture in the order in which the console received the pictures of the camera, from 1.
    pub number: u64,
    pub stamp: Stamp,
    /// Arrival of the image.
    pub arrived: Instant,
    pub picture: Picture,
    result: Mutex<Revision>,
}

/// A result on a frame.
#[derive(Debug, Clone)]
pub struct Revision {
    /// Number of results on the frame so far.
    pub number: u64,
    pub result: Arc<FrameResult>,
}

impl Scene {
    pub fn new(number: u64, arrived: Instant, result: FrameResult) -> Self {
        Scene {
            number,
            stamp: result.header.stamp,
            arrived,
            picture: Picture::new(Arc::clone(&result.image)),
            result: Mutex::new(Revision { number: 1, result: Arc::new(result) }),
        }
    }

    /// Returns the newest result on the frame.
    pub fn revision(&self) -> Revision {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the result on the frame. The engine forgets the masks of tracked objects on earlier frames: the masks of
    /// the objects `tracked` stay.
    pub fn replace(&self, mut result: FrameResult, tracked: &BTreeSet<u32>) {
        let mut revision = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missing = |object: &&Arc<ObjectResult>| {
            tracked.contains(&object.id) && !result.objects.iter().any(|new| new.id == object.id)
        };
        let missing: Vec<_> = revision.result.objects.iter().filter(is_missing).cloned().collect();
        result.objects.extend(missing);
        result.objects.sort_by_key(|object| object.id);
        revision.number += 1;
        revision.result = Arc::new(result);
    }

    /// Returns the time since the image arrived.
    pub fn age(&self) -> Duration {
        self.arrived.elapsed()
    }
}
