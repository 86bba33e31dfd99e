//! Cameras, encoding and kept frames.

use std::time::Duration;

use crate::engine::{EncodeMode, Settings};
use crate::model::MEGABYTE;
use crate::node::config::definition::Kind::{Float, Integer, Text, Texts};
use crate::node::config::definition::TakesEffect::{Now, ReadOnly, WithConfigure};
use crate::node::config::definition::{Definition, Items};
use crate::node::config::groups::ImageTransport;

/// Returns the defaults of the engine, which the table repeats.
fn engine() -> Settings {
    Settings::default()
}

/// Definitions, in the order of `config/promptseg.yaml`.
pub const FRAMES: &[Definition] = &[
    Definition {
        name: "cameras",
        description: "Names of cameras that share this node and its model: each has inputs below its name ('front/image') and outputs ('~/front/mask'). Empty: one camera, without a name.",
        takes_effect: ReadOnly,
        kind: Texts { default: &[], items: Items::Names, store: |c, v| c.cameras.names = v.to_vec() },
    },
    Definition {
        name: "image_transport",
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
        name: "encode",
        description: "Which frames are encoded before a prompt needs them: 'auto' (while somebody subscribes to an output, an object lives on, or a prompt came within 'encode_linger'; the first click after a pause waits for one encoding), 'always' (every frame that the encoder has time for: a click is answered in the decoder's time), 'on_demand' (only while an object lives on; every other click waits for the encoder).",
        takes_effect: Now,
        kind: Text {
            default: "auto",
            choices: &EncodeMode::CHOICES,
            store: |c, v| c.engine.encode = v.parse().unwrap_or_default(),
        },
    },
    Definition {
        name: "encode_linger",
        description: "Seconds after a prompt during which 'encode: auto' encodes every frame, so that the next click is answered in the decoder's time.",
        takes_effect: Now,
        kind: Float {
            default: || engine().encode_linger.as_secs_f64(),
            min: 0.0,
            max: 86_400.0,
            store: |c, v| c.engine.encode_linger = Duration::from_secs_f64(v),
        },
    },
    Definition {
        name: "keep_frames",
        description: "Encoded frames that are kept by stamp for prompts that come later.",
        takes_effect: Now,
        kind: Integer {
            default: || engine().keep.frames as i64,
            min: 1,
            max: 10_000,
            store: |c, v| c.engine.keep.frames = v as usize,
        },
    },
    Definition {
        name: "keep_megabytes",
        description: "Most memory of the kept encoded frames of all cameras, in MB, and as much again for images; the newest frame of each is always kept.",
        takes_effect: Now,
        kind: Integer {
            default: || (engine().keep.bytes / MEGABYTE) as i64,
            min: 1,
            max: 1_000_000,
            store: |c, v| c.engine.keep.bytes = v as usize * MEGABYTE,
        },
    },
    Definition {
        name: "keep_images",
        description: "Images that were not encoded because a newer image came, kept for prompts with their stamp.",
        takes_effect: Now,
        kind: Integer {
            default: || engine().keep.images as i64,
            min: 0,
            max: 1000,
            store: |c, v| c.engine.keep.images = v as usize,
        },
    },
    Definition {
        name: "prompt_timeout",
        description: "Seconds that a prompt waits for the frame of its stamp.",
        takes_effect: Now,
        kind: Float {
            default: || engine().prompt_timeout.as_secs_f64(),
            min: 0.0,
            max: 60.0,
            store: |c, v| c.engine.prompt_timeout = Duration::from_secs_f64(v),
        },
    },
];
