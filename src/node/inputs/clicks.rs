//! Clicks: in pixels on `point`, `pixel` and the topics of rqt_image_view, in metres on `clicked_point`.

use std::sync::Arc;

use nalgebra::Point3;
use r2r::geometry_msgs::msg::{Point as PointMsg, PointStamped};

use super::drain::drain;
use crate::engine::{FrameRef, Interaction, Refusal};
use crate::node::config::PromptInput;
use crate::node::error::NodeError;
use crate::node::ros::topics::Topics;
use crate::node::ros::{convert, qos};
use crate::node::slot::{ActiveCamera, CameraSlot};
use crate::prompt::Point;

/// Subscribes to the clicks of a camera.
///
/// # Errors
/// The middleware refuses a topic, or an override of a profile is wrong.
pub fn subscribe(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    // rqt_image_view publishes a click on the picture of topic T on T_mouse_left. Two of the three names are one topic if a
    // rule maps `point` to that of rqt_image_view.
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
        drain(points, slot, input, |camera, p| {
            let click = click_interaction(camera, PromptInput::Point);
            camera.engine.interact(click(FrameRef::Newest, p.x, p.y))
        });
    }
    let pixels = topics.subscribe::<PointStamped>("pixel", qos::PROMPTS)?;
    drain(pixels, slot, "pixel", |camera, p| {
        let click = click_interaction(camera, PromptInput::Pixel);
        camera.engine.interact(click(convert::stamp(&p.header.stamp).into(), p.point.x, p.point.y))
    });
    let points = topics.subscribe::<PointStamped>("clicked_point", qos::PROMPTS)?;
    drain(points, slot, "clicked_point", clicked_point);
    Ok(())
}

/// Hands a click in metres to the engine. Its pixel is computed later; its label, mode and persistence are those of now.
fn clicked_point(camera: &ActiveCamera, message: PointStamped) -> Result<(), Refusal> {
    let (header, p) = (convert::header(&message.header), message.point);
    let rectified = camera.config().is_rectified(&camera.image_topic);
    let click = click_interaction(camera, PromptInput::ClickedPoint);
    let click = camera.pointing.click(header, Point3::new(p.x, p.y, p.z), rectified, click);
    camera.engine.interact(click.inspect_err(|refusal| camera.engine.count_refusal(refusal.kind))?)
}

/// Returns the function that makes a click of a pixel, with the label, mode and persistence of the current parameters.
fn click_interaction(
    camera: &ActiveCamera,
    input: PromptInput,
) -> impl FnOnce(FrameRef, f64, f64) -> Interaction + Send + use<> {
    let config = camera.config();
    let (label, mode, persistence) = (config.clicks.label, config.clicks.mode, config.persistence.of(input));
    move |at, x, y| Interaction::Click { at, point: Point { x: x as f32, y: y as f32, label }, mode, persistence }
}
