//! Boxes, masks and whole prompts: `region`, `mask_prompt`, `prompts`.

use std::sync::Arc;

use r2r::promptseg_msgs::msg::PromptArray;
use r2r::sensor_msgs::msg::{Image, RegionOfInterest};

use super::drain::drain;
use crate::engine::{FrameRef, Interaction, ObjectPrompt, Operation, Refusal};
use crate::node::config::PromptInput;
use crate::node::error::NodeError;
use crate::node::ros::topics::Topics;
use crate::node::ros::{convert, qos};
use crate::node::slot::{ActiveCamera, CameraSlot};

/// Subscribes to the boxes, masks and prompts of a camera.
///
/// # Errors
/// The middleware refuses a topic, or an override of a profile is wrong.
pub fn subscribe(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    let regions = topics.subscribe::<RegionOfInterest>("region", qos::PROMPTS)?;
    drain(regions, slot, "region", |camera, roi| {
        let persistence = camera.config().persistence.of(PromptInput::Region);
        camera.engine.interact(Interaction::Region { at: FrameRef::Newest, bbox: convert::region(&roi), persistence })
    });
    let masks = topics.subscribe::<Image>("mask_prompt", qos::PROMPTS)?;
    drain(masks, slot, "mask_prompt", |camera, image| {
        let mask = convert::mask_input(&image).inspect_err(|refusal| camera.engine.count_refusal(refusal.kind))?;
        let at = convert::stamp(&image.header.stamp).into();
        let persistence = camera.config().persistence.of(PromptInput::MaskPrompt);
        camera.engine.interact(Interaction::Mask { at, mask, persistence })
    });
    let prompts = topics.subscribe::<PromptArray>("prompts", qos::PROMPTS)?;
    drain(prompts, slot, "prompts", prompt_array);
    Ok(())
}

fn prompt_array(camera: &ActiveCamera, message: PromptArray) -> Result<(), Refusal> {
    let at = convert::stamp(&message.header.stamp).into();
    let (operation, objects) =
        operation_and_objects(message).inspect_err(|refusal| camera.engine.count_refusal(refusal.kind))?;
    let persistence = camera.config().persistence.of(PromptInput::Prompts);
    camera.engine.interact(Interaction::Prompts { at, operation, objects, persistence })
}

fn operation_and_objects(message: PromptArray) -> Result<(Operation, Vec<ObjectPrompt>), Refusal> {
    let operation = convert::operation(&message)?;
    let objects = match operation {
        Operation::Clear => Vec::new(),
        // Prompts of objects to remove are ignored, also malformed ones.
        Operation::Remove => {
            message.objects.iter().map(|o| ObjectPrompt { id: o.object_id, ..Default::default() }).collect()
        }
        Operation::Set | Operation::Add => convert::object_prompts(message.objects)?,
    };
    Ok((operation, objects))
}
