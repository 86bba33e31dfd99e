//! Group `depth`: depth images, and the outputs in metres.

use std::time::Duration;

use crate::depth::DepthSettings;
use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::{Float, Integer, Text};
use crate::node::config::definition::TakesEffect::Now;
use crate::node::config::groups::{CloudForm, DepthTransport, PosePoint};

/// Returns the defaults of the measurement, which the table repeats.
fn measurement() -> DepthSettings {
    DepthSettings::default()
}

/// Definitions, in the order of `config/promptseg.yaml`.
pub const DEPTH: &[Definition] = &[
    Definition {
        name: "depth.transport",
        formerly: None,
        description: "Type of the depth images: 'raw' (sensor_msgs/Image on 'depth'), 'compressedDepth' (sensor_msgs/CompressedImage on 'depth/compressedDepth', as image_transport publishes it: PNG).",
        takes_effect: Now,
        kind: Text {
            default: "raw",
            choices: &["raw", "compressedDepth"],
            store: |c, v| {
                c.depth.transport = match v {
                    "compressedDepth" => DepthTransport::CompressedDepth,
                    _ => DepthTransport::Raw,
                };
            },
        },
    },
    Definition {
        name: "depth.subscribe",
        formerly: None,
        description: "When depth images are received: 'auto' (while '~/detections_3d', '~/cloud' or '~/pose' has a subscriber, and for some seconds after a request of '~/get_cloud'), 'always' (also without a subscriber, so that '~/get_cloud' answers at once).",
        takes_effect: Now,
        kind: Text { default: "auto", choices: &["auto", "always"], store: |c, v| c.depth.always = v == "always" },
    },
    Definition {
        name: "depth.tolerance",
        formerly: None,
        description: "Largest difference of the stamps of an image and its depth image, in seconds; the nearest depth image is taken.",
        takes_effect: Now,
        kind: Float {
            default: || 0.02,
            min: 0.0,
            max: 1.0,
            store: |c, v| c.depth.tolerance = Duration::from_secs_f64(v),
        },
    },
    Definition {
        name: "depth.timeout",
        formerly: None,
        description: "Longest wait of a result for its depth image and for the transform to 'depth.frame', in seconds. Masks do not wait.",
        takes_effect: Now,
        kind: Float {
            default: || 0.2,
            min: 0.0,
            max: 10.0,
            store: |c, v| c.depth.timeout = Duration::from_secs_f64(v),
        },
    },
    Definition {
        name: "depth.keep_megabytes",
        formerly: None,
        description: "Megabytes of depth images that are kept for images that are still being encoded; the oldest are dropped.",
        takes_effect: Now,
        kind: Integer {
            default: || 128,
            min: 1,
            max: 65_536,
            store: |c, v| c.depth.keep_bytes = v as usize * 1_000_000,
        },
    },
    Definition {
        name: "depth.frame",
        formerly: None,
        description: "TF frame of '~/detections_3d', '~/cloud', '~/pose' and '~/get_cloud', with z up (such as 'base_link' or 'map'): boxes then stand upright. Empty: the optical frame of the image.",
        takes_effect: Now,
        kind: Text { default: "", choices: &[], store: |c, v| v.clone_into(&mut c.depth.frame) },
    },
    Definition {
        name: "depth.cloud",
        formerly: None,
        description: "Form of '~/cloud': 'dense' (the points of the objects), 'organised' (one point for each pixel of the image, NaN outside the objects).",
        takes_effect: Now,
        kind: Text {
            default: "dense",
            choices: &["dense", "organised"],
            store: |c, v| c.depth.cloud = if v == "organised" { CloudForm::Organised } else { CloudForm::Dense },
        },
    },
    Definition {
        name: "depth.voxel_size",
        formerly: None,
        description: "Side of the voxels of a dense '~/cloud', in metres: each object has at most one point in a voxel. 0: all points.",
        takes_effect: Now,
        kind: Float { default: || 0.0, min: 0.0, max: 10.0, store: |c, v| c.depth.voxel_size = v },
    },
    Definition {
        name: "depth.pose",
        formerly: None,
        description: "Point of the current object on '~/pose': 'centroid' (of its visible surface), 'top' (its highest point in 'depth.frame'; without 'depth.frame' the point nearest to the camera).",
        takes_effect: Now,
        kind: Text {
            default: "centroid",
            choices: &["centroid", "top"],
            store: |c, v| c.depth.pose = if v == "top" { PosePoint::Top } else { PosePoint::Centroid },
        },
    },
    Definition {
        name: "depth.border",
        formerly: None,
        description: "Pixels along the border of a mask that are not measured where the model's uncertainty is not known (masks of '~/get_cloud' from before the request) or leaves too few pixels; also the uncertainty of the position across the view, in pixels.",
        takes_effect: Now,
        kind: Integer {
            default: || measurement().border.into(),
            min: 0,
            max: 100,
            store: |c, v| c.depth.measurement.border = v as u32,
        },
    },
    Definition {
        name: "depth.edge_ratio",
        formerly: None,
        description: "Difference of the depths of neighbouring pixels that separates two surfaces, as a fraction of the depth; a noisier camera needs more.",
        takes_effect: Now,
        kind: Float { default: || 0.02, min: 0.001, max: 1.0, store: |c, v| c.depth.measurement.edge_ratio = v as f32 },
    },
    Definition {
        name: "depth.min_points",
        formerly: None,
        description: "Fewest pixels with a depth of an object that is measured.",
        takes_effect: Now,
        kind: Integer {
            default: || measurement().min_points.into(),
            min: 1,
            max: 1_000_000,
            store: |c, v| c.depth.measurement.min_points = v as u32,
        },
    },
];
