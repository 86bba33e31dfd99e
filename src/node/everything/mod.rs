//! Masks of everything on request: the service and the action `~/segment_everything`.
//!
//! * `request`: the fields of both as a request to the engine.
//! * `service`, `action`: one answer; progress and cancel.
//! * `goals`: the goals of the action; `clients`: the clients of the service.

mod action;
mod clients;
mod goals;
mod request;
mod service;

use std::sync::Arc;

use super::error::NodeError;
use super::ros::topics::Topics;
use super::slot::CameraSlot;

/// Makes the service and the action of a camera.
///
/// # Errors
/// The middleware refuses a service or a topic.
pub fn serve(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    service::serve(topics, slot)?;
    action::serve(topics, slot)
}
