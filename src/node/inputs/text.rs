//! The topic `text`: phrases with commas between them; an empty text ends them.

use std::sync::Arc;

use r2r::std_msgs::msg::String as Text;

use super::drain::drain;
use crate::node::error::NodeError;
use crate::node::ros::qos;
use crate::node::ros::topics::Topics;
use crate::node::slot::CameraSlot;
use crate::node::text::submit_text;

/// Subscribes to the phrases of a camera.
///
/// # Errors
/// The middleware refuses the topic, or an override of its profile is wrong.
pub fn subscribe(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    let texts = topics.subscribe::<Text>("text", qos::PROMPTS)?;
    // The text thread logs the answer.
    drain(texts, slot, "text", |camera, text| submit_text(camera, &text.data).map(drop));
    Ok(())
}
