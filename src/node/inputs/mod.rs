//! Subscriptions of a camera: one file for each kind of input.

mod boxes;
mod clicks;
mod depth;
mod detections;
mod drain;
mod images;
mod prompts;
mod text;

use std::sync::Arc;

use super::error::NodeError;
use super::ros::topics::Topics;
use super::slot::CameraSlot;

/// Subscribes to all inputs of a camera.
///
/// # Errors
/// The middleware refuses a topic, or an override of a profile is wrong.
pub fn subscribe(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    images::subscribe(topics, slot)?;
    clicks::subscribe(topics, slot)?;
    prompts::subscribe(topics, slot)?;
    detections::subscribe(topics, slot)?;
    boxes::subscribe(topics, slot)?;
    text::subscribe(topics, slot)?;
    depth::subscribe(topics, slot)
}
