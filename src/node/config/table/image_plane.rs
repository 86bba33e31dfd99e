//! Group `image_plane`: the image as points that can be clicked in rviz2.

use std::time::Duration;

use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::{Float, Integer};
use crate::node::config::definition::TakesEffect::Now;

/// Definitions, in the order of `config/promptseg.yaml`.
pub const IMAGE_PLANE: &[Definition] = &[
    Definition {
        name: "image_plane.rate",
        formerly: Some("image_plane_rate"),
        description: "Most image planes per second on '~/image_plane'.",
        takes_effect: Now,
        kind: Float {
            default: || 5.0,
            min: 0.1,
            max: 100.0,
            store: |c, v| c.image_plane.period = Duration::from_secs_f64(1.0 / v),
        },
    },
    Definition {
        name: "image_plane.columns",
        formerly: Some("image_plane_columns"),
        description: "Points of a row of '~/image_plane', at most one for each pixel; the rows follow from the shape of the image.",
        takes_effect: Now,
        kind: Integer { default: || 320, min: 2, max: 4096, store: |c, v| c.image_plane.columns = v as u32 },
    },
    Definition {
        name: "image_plane.distance",
        formerly: Some("image_plane_distance"),
        description: "Distance from the camera to '~/image_plane', metres.",
        takes_effect: Now,
        kind: Float { default: || 1.0, min: 0.01, max: 1000.0, store: |c, v| c.image_plane.distance = v },
    },
];
