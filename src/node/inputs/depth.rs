//! Depth images: `depth`, `depth/compressedDepth`, and their calibration.

use std::sync::Arc;

use r2r::sensor_msgs::msg::{CameraInfo, CompressedImage, Image};

use super::drain::drain;
use crate::node::depth::DepthMessage;
use crate::node::error::NodeError;
use crate::node::ros::topics::Topics;
use crate::node::ros::{convert, qos};
use crate::node::slot::{ActiveCamera, CameraSlot};

/// Subscribes to the depth images of a camera, while they are wanted.
///
/// # Errors
/// The middleware refuses a topic, or an override of a profile is wrong.
pub fn subscribe(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    let demand = &slot.depth_demand;
    let images = topics.subscribe_on_demand::<Image>(&demand.raw, "depth", qos::SENSOR)?;
    drain(images, slot, "depth", |camera, image| {
        push(camera, DepthMessage::Raw(image));
        Ok(())
    });
    let topic = topics.derived("depth", "/compressedDepth");
    let images = topics.subscribe_on_demand::<CompressedImage>(&demand.compressed_depth, &topic, qos::SENSOR)?;
    drain(images, slot, "depth/compressedDepth", |camera, image| {
        push(camera, DepthMessage::Compressed(image));
        Ok(())
    });
    let topic = topics.beside("depth", "camera_info", "depth_camera_info");
    if topics.resolve(&topic) == slot.info_topic {
        // One calibration of image and depth.
        return Ok(());
    }
    let infos = topics.subscribe_on_demand::<CameraInfo>(&demand.any, &topic, qos::SENSOR)?;
    drain(infos, slot, "depth_camera_info", |camera, info| {
        let (stamp, frame_id) = (convert::stamp(&info.header.stamp), info.header.frame_id.clone());
        camera.depth.push_info(stamp, frame_id, convert::camera_info(info));
        Ok(())
    });
    Ok(())
}

fn push(camera: &ActiveCamera, message: DepthMessage) {
    camera.depth.push_image(message, camera.config().depth.keep_bytes);
}
