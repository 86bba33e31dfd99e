//! Subscriptions: each drains its stream at once (r2r keeps ten messages and drops the newest), converts and hands on.

use std::sync::Arc;

use futures::StreamExt;
use nalgebra::Point3;
use r2r::geometry_msgs::msg::{Point as PointMsg, PointStamped};
use r2r::promptseg_msgs::msg::PromptArray;
use r2r::sensor_msgs::msg::{CameraInfo, CompressedImage, Image, RegionOfInterest};
use r2r::vision_msgs::msg::Detection2DArray;

use super::detections;
use crate::engine::{FrameRef, Interaction, Operation, Persistence, Refusal};
use crate::native::received;
use crate::node::camera::{Shared, Slot};
use crate::node::config::values::Parameters;
use crate::node::error::NodeError;
use crate::node::ros::subscriptions::{Messages, When};
use crate::node::ros::topics::Topics;
use crate::node::ros::{convert, qos};
use crate::prompt::{Label, Point};

/// Subscribes to everything that the node listens to.
///
/// # Errors
/// The middleware refuses a topic.
pub fn start(topics: &mut Topics, slot: &Arc<Slot>) -> Result<(), NodeError> {
    let images = topics.subscribe_when::<Image>(When::ActiveWith("raw"), "image", qos::SENSOR)?;
    drain(images, slot, "image", |s, image| {
        count_lost(s);
        s.engine.push_frame(convert::frame(image));
        Ok(())
    });
    let compressed = topics.derived("image", "/compressed");
    let images = topics.subscribe_when::<CompressedImage>(When::ActiveWith("compressed"), &compressed, qos::SENSOR)?;
    drain(images, slot, "image/compressed", |s, image| {
        count_lost(s);
        s.engine.push_frame(convert::compressed_frame(image));
        Ok(())
    });
    // rqt_image_view publishes a click on the picture of topic T on T_mouse_left. Two of these names are one topic where a rule
    // maps `point` to that of rqt_image_view.
    let on_overlay = topics.derived("~/overlay", "_mouse_left");
    let on_image = topics.derived("image", "_mouse_left");
    let mut subscribed = Vec::new();
    for (input, topic) in [("point", "point"), ("image_mouse_left", &on_image), ("~/overlay_mouse_left", &on_overlay)] {
        let name = topics.resolve(topic);
        if subscribed.contains(&name) {
            continue;
        }
        subscribed.push(name);
        let points = topics.subscribe::<PointMsg>(topic, qos::PROMPTS)?;
        drain(points, slot, input, |s, p| click(s, "point", FrameRef::Newest, p.x, p.y));
    }
    let pixels = topics.subscribe::<PointStamped>("pixel", qos::PROMPTS)?;
    drain(pixels, slot, "pixel", |s, p| {
        click(s, "pixel", convert::stamp(&p.header.stamp).into(), p.point.x, p.point.y)
    });
    let clicked = topics.subscribe::<PointStamped>("clicked_point", qos::PROMPTS)?;
    drain(clicked, slot, "clicked_point", clicked_point);
    let infos = topics.subscribe::<CameraInfo>("camera_info", qos::SENSOR)?;
    drain(infos, slot, "camera_info", |s, info| {
        s.pointing.camera_info(info.header.frame_id.clone(), convert::camera_info(info));
        Ok(())
    });
    let regions = topics.subscribe::<RegionOfInterest>("region", qos::PROMPTS)?;
    drain(regions, slot, "region", |s, roi| {
        let persistence = persistence(&s.parameters(), "region");
        s.engine.interact(Interaction::Region { at: FrameRef::Newest, bbox: convert::region(&roi), persistence })
    });
    let masks = topics.subscribe::<Image>("mask_prompt", qos::PROMPTS)?;
    drain(masks, slot, "mask_prompt", |s, image| {
        let mask = convert::mask_input(&image).inspect_err(|refusal| s.engine.count_refusal(refusal.kind))?;
        let at = convert::stamp(&image.header.stamp).into();
        s.engine.interact(Interaction::Mask { at, mask, persistence: persistence(&s.parameters(), "mask_prompt") })
    });
    let boxes = topics.subscribe::<Detection2DArray>("detections", qos::DETECTIONS)?;
    drain(boxes, slot, "detections", |s, message| {
        detections::hand_on(s, "detections", &message.header.stamp, detections::of_vision(&message))
    });
    #[cfg(yolo_msgs)]
    {
        let boxes = topics.subscribe::<r2r::yolo_msgs::msg::DetectionArray>("yolo_detections", qos::DETECTIONS)?;
        drain(boxes, slot, "yolo_detections", |s, message| {
            detections::hand_on(s, "yolo_detections", &message.header.stamp, detections::of_yolo(&message))
        });
    }
    let prompts = topics.subscribe::<PromptArray>("prompts", qos::PROMPTS)?;
    drain(prompts, slot, "prompts", prompt_array);
    Ok(())
}

/// Counts the images that the middleware lost before this one.
fn count_lost(shared: &Shared) {
    if let Some(lost) = received::take_lost(&shared.image_topic) {
        shared.engine.count_lost_frames(lost);
    }
}

/// Handles every message of a stream on a task of its own; what is refused is counted and said. A node that is not active
/// takes none.
fn drain<T: Send + 'static>(
    mut messages: Messages<T>,
    slot: &Arc<Slot>,
    input: &'static str,
    handle: impl Fn(&Shared, T) -> Result<(), Refusal> + Send + 'static,
) {
    let slot = Arc::clone(slot);
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            let Some(shared) = slot.get() else { continue };
            if let Some(Err(refusal)) = shared.engine.guard(input, || handle(&shared, message)) {
                shared.refusals.say(input, &refusal);
            }
        }
    });
}

/// How long what this source prompts lives: `persistence_SOURCE`, or `persistence` where that is empty.
fn persistence(parameters: &Parameters, source: &str) -> Persistence {
    let own = parameters.text(&format!("persistence_{source}"));
    let text = if own.is_empty() { parameters.text("persistence") } else { own };
    text.parse().unwrap_or_default()
}

fn click(shared: &Shared, source: &str, at: FrameRef, x: f64, y: f64) -> Result<(), Refusal> {
    shared.engine.interact(click_of_now(shared, source)(at, x, y))
}

/// A click in metres becomes one in pixels later, but means what the parameters say now.
fn clicked_point(shared: &Shared, message: PointStamped) -> Result<(), Refusal> {
    let (header, p) = (convert::header(&message.header), message.point);
    let rectified = shared.is_rectified(&shared.parameters());
    let click = click_of_now(shared, "clicked_point");
    let click = shared.pointing.click(header, Point3::new(p.x, p.y, p.z), rectified, click);
    shared.engine.interact(click.inspect_err(|refusal| shared.engine.count_refusal(refusal.kind))?)
}

/// What a click of a source at a pixel says by the parameters of this moment.
fn click_of_now(shared: &Shared, source: &str) -> impl FnOnce(FrameRef, f64, f64) -> Interaction + Send + use<> {
    let parameters = shared.parameters();
    let label = match parameters.text("click_label") {
        "background" => Label::Background,
        _ => Label::Foreground,
    };
    let mode = parameters.text("click_mode").parse().unwrap_or_default();
    let persistence = persistence(&parameters, source);
    move |at, x, y| Interaction::Click { at, point: Point { x: x as f32, y: y as f32, label }, mode, persistence }
}

fn prompt_array(shared: &Shared, message: PromptArray) -> Result<(), Refusal> {
    let parsed = convert::operation(&message).and_then(|operation| {
        let objects = match operation {
            Operation::Clear => Vec::new(),
            // Only their ids count.
            Operation::Remove => message
                .objects
                .iter()
                .map(|o| crate::engine::ObjectPrompt { id: o.object_id, ..Default::default() })
                .collect(),
            Operation::Set | Operation::Add => convert::object_prompts(message.objects)?,
        };
        Ok((operation, objects))
    });
    let (operation, objects) = parsed.inspect_err(|refusal| shared.engine.count_refusal(refusal.kind))?;
    let at = convert::stamp(&message.header.stamp).into();
    let persistence = persistence(&shared.parameters(), "prompts");
    shared.engine.interact(Interaction::Prompts { at, operation, objects, persistence })
}
