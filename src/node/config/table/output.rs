//! Group `output`: form of the published results.

use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::{Flag, Integer, Text};
use crate::node::config::definition::TakesEffect::Now;
use crate::node::config::groups::{HypothesisScore, MaskEncoding};

/// Definitions, in the order of `config/promptseg.yaml`.
pub const OUTPUT: &[Definition] = &[
    Definition {
        name: "output.mask_encoding",
        formerly: Some("mask_encoding"),
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
        name: "output.detections_score",
        formerly: Some("detections_score"),
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
        name: "output.publish_empty",
        formerly: Some("publish_empty"),
        description: "Publish empty '~/mask', '~/labels', '~/masks' and '~/detections' for each encoded frame without objects, so that subscribers can tell a frame without objects from a node that does not run.",
        takes_effect: Now,
        kind: Flag { default: || false, store: |c, v| c.outputs.publish_empty = v },
    },
    Definition {
        name: "output.overlay_quality",
        formerly: Some("overlay_quality"),
        description: "JPEG quality of '~/overlay/compressed'.",
        takes_effect: Now,
        kind: Integer { default: || 85, min: 1, max: 100, store: |c, v| c.outputs.overlay_quality = v as u8 },
    },
];
