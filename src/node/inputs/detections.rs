//! Messages of upstream detectors; which of their boxes are taken is up to [`Filter`].

use r2r::builtin_interfaces::msg::Time;
use r2r::vision_msgs::msg::{Detection2D, Detection2DArray};

use crate::engine::detected::{Filter, Found, hull};
use crate::engine::{Detections, Refusal};
use crate::node::camera::Shared;
use crate::node::config::values::Parameters;
use crate::node::ros::convert;

/// Hands the boxes that pass the filters to the engine, for the frame of that stamp. `source`: the topic.
///
/// # Errors
/// Too many messages are waiting.
pub fn hand_on(shared: &Shared, source: &'static str, stamp: &Time, found: Vec<Found>) -> Result<(), Refusal> {
    let filter = Filter::from(&shared.parameters());
    let count = found.len();
    let boxes = filter.pass(found);
    shared.engine.count_filtered(count - boxes.len());
    shared.engine.detections(Detections { source, at: convert::stamp(stamp).into(), boxes })
}

impl From<&Parameters> for Filter {
    fn from(parameters: &Parameters) -> Self {
        Filter {
            min_score: parameters.float("detection_min_score"),
            classes: parameters.texts("detection_classes").to_vec(),
            most: parameters.integer("max_detections").max(0) as usize,
        }
    }
}

pub fn of_vision(message: &Detection2DArray) -> Vec<Found> {
    let found = |d: &Detection2D| {
        // NaN is the worst, as in the filter.
        let score = |s: f64| if s.is_nan() { f64::NEG_INFINITY } else { s };
        let best = d.results.iter().max_by(|a, b| score(a.hypothesis.score).total_cmp(&score(b.hypothesis.score)));
        let center = &d.bbox.center;
        Found {
            bbox: hull((center.position.x, center.position.y), center.theta, (d.bbox.size_x, d.bbox.size_y)),
            class: best.map(|r| r.hypothesis.class_id.clone()).unwrap_or_default(),
            class_number: None,
            score: best.map(|r| r.hypothesis.score),
            tag: d.id.clone(),
        }
    };
    message.detections.iter().map(found).collect()
}

/// yolo_ros: the class is its name, or its number where it has no name.
#[cfg(yolo_msgs)]
pub fn of_yolo(message: &r2r::yolo_msgs::msg::DetectionArray) -> Vec<Found> {
    let found = |d: &r2r::yolo_msgs::msg::Detection| {
        let (center, size) = (&d.bbox.center, &d.bbox.size);
        Found {
            bbox: hull((center.position.x, center.position.y), center.theta, (size.x, size.y)),
            class: if d.class_name.is_empty() { d.class_id.to_string() } else { d.class_name.clone() },
            class_number: Some(d.class_id),
            score: Some(d.score),
            tag: d.id.clone(),
        }
    };
    message.detections.iter().map(found).collect()
}
