//! Cameras and their images.

use crate::node::config::definition::Kind::{Text, Texts};
use crate::node::config::definition::TakesEffect::{Now, ReadOnly, WithConfigure};
use crate::node::config::definition::{Definition, Items};
use crate::node::config::groups::ImageTransport;

/// Definitions, in the order of `config/promptseg.yaml`.
pub const CAMERAS: &[Definition] = &[
    Definition {
        name: "cameras",
        formerly: None,
        description: "Names of cameras that share this node and its model: each has inputs below its name ('front/image') and outputs ('~/front/mask'). Empty: one camera, without a name.",
        takes_effect: ReadOnly,
        kind: Texts { default: &[], items: Items::Names, store: |c, v| c.cameras.names = v.to_vec() },
    },
    Definition {
        name: "image_transport",
        formerly: None,
        description: "'raw' subscribes to 'image', 'compressed' to 'image/compressed' (JPEG, PNG).",
        takes_effect: WithConfigure,
        kind: Text {
            default: "raw",
            choices: &["raw", "compressed"],
            store: |c, v| {
                c.cameras.image_transport =
                    if v == "compressed" { ImageTransport::Compressed } else { ImageTransport::Raw };
            },
        },
    },
    Definition {
        name: "projection",
        formerly: None,
        description: "How clicks in metres become pixels: 'raw' (R, K and D of camera_info), 'rectified' (P), 'auto' (rectified when the name of the image topic contains 'rect').",
        takes_effect: Now,
        kind: Text {
            default: "auto",
            choices: &["auto", "raw", "rectified"],
            store: |c, v| c.cameras.projection = v.to_owned(),
        },
    },
];
