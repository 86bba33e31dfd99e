//! Task that handles the messages of one subscription.

use std::sync::Arc;

use futures::StreamExt as _;

use crate::engine::Refusal;
use crate::node::ros::subscriptions::Messages;
use crate::node::slot::{ActiveCamera, CameraSlot};

/// Handles every message of a stream on a task of its own, and logs refusals: r2r keeps ten messages and drops the newest,
/// so that a stream is drained at once. Messages that come while the node is not active are dropped.
pub fn drain<T: Send + 'static>(
    mut messages: Messages<T>,
    slot: &Arc<CameraSlot>,
    input: &'static str,
    handle: impl Fn(&ActiveCamera, T) -> Result<(), Refusal> + Send + 'static,
) {
    let slot = Arc::clone(slot);
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            let Some(camera) = slot.get() else { continue };
            if let Some(Err(refusal)) = camera.engine.guard(input, || handle(&camera, message)) {
                camera.refusals.warn(input, &refusal);
            }
        }
    });
}
