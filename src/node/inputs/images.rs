//! Images and their calibration: `image`, `image/compressed`, `camera_info`.

use std::sync::Arc;

use r2r::sensor_msgs::msg::{CameraInfo, CompressedImage, Image};

use super::drain::drain;
use crate::native::received;
use crate::node::config::ImageTransport;
use crate::node::error::NodeError;
use crate::node::ros::subscriptions::When;
use crate::node::ros::topics::Topics;
use crate::node::ros::{convert, qos};
use crate::node::slot::{ActiveCamera, CameraSlot};

/// Subscribes to the images of a camera, by the transport in use, and to its calibration.
///
/// # Errors
/// The middleware refuses a topic, or an override of a profile is wrong.
pub fn subscribe(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    let raw = When::ActiveWith(ImageTransport::Raw);
    let images = topics.subscribe_when::<Image>(raw, "image", qos::SENSOR)?;
    drain(images, slot, "image", |camera, image| {
        count_lost(camera);
        camera.engine.push_frame(convert::frame(image));
        Ok(())
    });
    let compressed = When::ActiveWith(ImageTransport::Compressed);
    let topic = topics.derived("image", "/compressed");
    let images = topics.subscribe_when::<CompressedImage>(compressed, &topic, qos::SENSOR)?;
    drain(images, slot, "image/compressed", |camera, image| {
        count_lost(camera);
        camera.engine.push_frame(convert::compressed_frame(image));
        Ok(())
    });
    let infos = topics.subscribe::<CameraInfo>("camera_info", qos::SENSOR)?;
    drain(infos, slot, "camera_info", |camera, info| {
        camera.pointing.camera_info(info.header.frame_id.clone(), convert::camera_info(info));
        Ok(())
    });
    Ok(())
}

/// Counts the images that the middleware lost before the current one.
fn count_lost(camera: &ActiveCamera) {
    if let Some(lost) = received::take_lost(&camera.image_topic) {
        camera.engine.count_lost_frames(lost);
    }
}
