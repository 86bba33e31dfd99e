//! Detections, outputs, and the process.

use crate::node::config::definition::Kind::{Flag, Float, Integer, Text, Texts};
use crate::node::config::definition::TakesEffect::{Now, ReadOnly};
use crate::node::config::definition::{Definition, Items};
use crate::node::config::groups::{HypothesisScore, MaskEncoding};

/// Definitions, in the order of `config/promptseg.yaml`.
pub const OUTPUTS: &[Definition] = &[
    Definition {
        name: "detection_min_score",
        description: "Lowest score of accepted detections.",
        takes_effect: Now,
        kind: Float { default: || 0.0, min: 0.0, max: 1.0, store: |c, v| c.detections.min_score = v },
    },
    Definition {
        name: "detection_classes",
        description: "Classes of accepted detections, by name (yolo_ros: also by number); empty: all.",
        takes_effect: Now,
        kind: Texts { default: &[], items: Items::Any, store: |c, v| c.detections.classes = v.to_vec() },
    },
    Definition {
        name: "max_detections",
        description: "Most detections accepted of one message: those with the highest scores.",
        takes_effect: Now,
        kind: Integer { default: || 300, min: 1, max: 10_000, store: |c, v| c.detections.max_count = v as usize },
    },
    Definition {
        name: "detections_score",
        description: "Score of the hypotheses on '~/detections': 'predicted_iou' (IoU that the model predicts for the mask), 'detection_score' (score of the detector; the predicted IoU for an object without one).",
        takes_effect: Now,
        kind: Text {
            default: "predicted_iou",
            choices: &["predicted_iou", "detection_score"],
            store: |c, v| {
                c.outputs.detections_score = match v {
                    "detection_score" => HypothesisScore::Detection,
                    _ => HypothesisScore::PredictedIou,
                };
            },
        },
    },
    Definition {
        name: "mask_encoding",
        description: "How '~/masks' carries a mask: 'raw' (ObjectMask.mask, pixels of its box), 'rle' (ObjectMask.rle_counts, COCO run lengths: less bandwidth, smaller bags).",
        takes_effect: Now,
        kind: Text {
            default: "raw",
            choices: &["raw", "rle"],
            store: |c, v| {
                c.outputs.mask_encoding = if v == "rle" { MaskEncoding::Rle } else { MaskEncoding::Raw };
            },
        },
    },
    Definition {
        name: "publish_empty",
        description: "Publish empty '~/mask', '~/labels', '~/masks' and '~/detections' for each encoded frame without objects, so that subscribers can tell a frame without objects from a node that does not run.",
        takes_effect: Now,
        kind: Flag { default: || false, store: |c, v| c.outputs.publish_empty = v },
    },
    Definition {
        name: "overlay_quality",
        description: "JPEG quality of '~/overlay/compressed'.",
        takes_effect: Now,
        kind: Integer { default: || 85, min: 1, max: 100, store: |c, v| c.outputs.overlay_quality = v as u8 },
    },
    Definition {
        name: "autostart",
        description: "true: the node configures and activates itself. false: the node waits in 'unconfigured' for a lifecycle manager or `ros2 lifecycle set`.",
        takes_effect: ReadOnly,
        kind: Flag { default: || true, store: |c, v| c.process.autostart = v },
    },
    Definition {
        name: "log_level",
        description: "Lowest level that is logged; empty: the level of '--log-level', or 'info'. RUST_LOG takes precedence.",
        takes_effect: Now,
        kind: Text {
            default: "",
            choices: &["", "error", "warn", "info", "debug", "trace"],
            store: |c, v| c.process.log_level = v.to_owned(),
        },
    },
    Definition {
        name: "metrics_address",
        description: "Address and port of the Prometheus endpoint '/metrics', such as '0.0.0.0:9090'; a port alone is for this machine only; empty: no endpoint.",
        takes_effect: ReadOnly,
        kind: Text { default: "", choices: &[], store: |c, v| c.process.metrics_address = v.to_owned() },
    },
    Definition {
        name: "use_sim_time",
        description: "Take the time from '/clock' instead of the system clock.",
        takes_effect: Now,
        kind: Flag { default: || false, store: |c, v| c.process.use_sim_time = v },
    },
];
