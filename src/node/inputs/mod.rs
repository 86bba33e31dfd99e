//! Subscriptions of a camera: images, prompts, and boxes of detectors.

mod detections;
pub mod subscribe;
