//! Boxes of upstream detectors: `detections` and `yolo_detections`. `DetectionFilter` selects among them.

use std::sync::Arc;

use r2r::builtin_interfaces::msg::Time;
use r2r::vision_msgs::msg::{Detection2D, Detection2DArray};

use super::drain::drain;
use crate::engine::detections::{RawDetection, upright_box};
use crate::engine::{Detections, Refusal};
use crate::node::error::NodeError;
use crate::node::ros::topics::Topics;
use crate::node::ros::{convert, qos};
use crate::node::slot::{ActiveCamera, CameraSlot};

/// Subscribes to the detections of a camera.
///
/// # Errors
/// The middleware refuses a topic, or an override of a profile is wrong.
pub fn subscribe(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    let messages = topics.subscribe::<Detection2DArray>("detections", qos::DETECTIONS)?;
    drain(messages, slot, "detections", |camera, message| {
        submit(camera, "detections", &message.header.stamp, from_vision_msgs(&message))
    });
    #[cfg(yolo_msgs)]
    {
        let messages = topics.subscribe::<r2r::yolo_msgs::msg::DetectionArray>("yolo_detections", qos::DETECTIONS)?;
        drain(messages, slot, "yolo_detections", |camera, message| {
            submit(camera, "yolo_detections", &message.header.stamp, from_yolo_msgs(&message))
        });
    }
    Ok(())
}

/// Hands the boxes that pass the filter to the engine, for the frame of their stamp. `source`: the topic.
///
/// # Errors
/// Too many messages are waiting.
fn submit(
    camera: &ActiveCamera,
    source: &'static str,
    stamp: &Time,
    detections: Vec<RawDetection>,
) -> Result<(), Refusal> {
    let count = detections.len();
    let boxes = camera.config().detections.apply(detections);
    camera.engine.count_filtered(count - boxes.len());
    camera.engine.detections(Detections { source, at: convert::stamp(stamp).into(), boxes })
}

/// Converts detections of vision_msgs: the class is that of the best hypothesis.
fn from_vision_msgs(message: &Detection2DArray) -> Vec<RawDetection> {
    let convert = |d: &Detection2D| {
        // NaN is the lowest score, as in the filter.
        let score = |s: f64| if s.is_nan() { f64::NEG_INFINITY } else { s };
        let best = d.results.iter().max_by(|a, b| score(a.hypothesis.score).total_cmp(&score(b.hypothesis.score)));
        let center = &d.bbox.center;
        RawDetection {
            bbox: upright_box((center.position.x, center.position.y), center.theta, (d.bbox.size_x, d.bbox.size_y)),
            class: best.map(|r| r.hypothesis.class_id.clone()).unwrap_or_default(),
            class_number: None,
            score: best.map(|r| r.hypothesis.score),
            tag: d.id.clone(),
        }
    };
    message.detections.iter().map(convert).collect()
}

/// Converts detections of yolo_ros: the class is its name, or its number if it has no name.
#[cfg(yolo_msgs)]
fn from_yolo_msgs(message: &r2r::yolo_msgs::msg::DetectionArray) -> Vec<RawDetection> {
    let convert = |d: &r2r::yolo_msgs::msg::Detection| {
        let (center, size) = (&d.bbox.center, &d.bbox.size);
        RawDetection {
            bbox: upright_box((center.position.x, center.position.y), center.theta, (size.x, size.y)),
            class: if d.class_name.is_empty() { d.class_id.to_string() } else { d.class_name.clone() },
            class_number: Some(d.class_id),
            score: Some(d.score),
            tag: d.id.clone(),
        }
    };
    message.detections.iter().map(convert).collect()
}
