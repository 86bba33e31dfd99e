//! Group `detections`: accepted boxes of detectors.

use crate::node::config::definition::Kind::{Float, Integer, Texts};
use crate::node::config::definition::TakesEffect::Now;
use crate::node::config::definition::{Definition, Items};

/// Definitions, in the order of `config/promptseg.yaml`.
pub const DETECTIONS: &[Definition] = &[
    Definition {
        name: "detections.min_score",
        formerly: Some("detection_min_score"),
        description: "Lowest score of accepted detections.",
        takes_effect: Now,
        kind: Float { default: || 0.0, min: 0.0, max: 1.0, store: |c, v| c.detections.min_score = v },
    },
    Definition {
        name: "detections.classes",
        formerly: Some("detection_classes"),
        description: "Classes of accepted detections, by name (yolo_ros: also by number); empty: all.",
        takes_effect: Now,
        kind: Texts { default: &[], items: Items::Any, store: |c, v| c.detections.classes = v.to_vec() },
    },
    Definition {
        name: "detections.max_count",
        formerly: Some("max_detections"),
        description: "Most detections accepted of one message: those with the highest scores.",
        takes_effect: Now,
        kind: Integer { default: || 300, min: 1, max: 10_000, store: |c, v| c.detections.max_count = v as usize },
    },
];
