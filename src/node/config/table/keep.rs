//! Group `keep`: frames and images that are kept.

use super::defaults::engine;
use crate::model::MEGABYTE;
use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::Integer;
use crate::node::config::definition::TakesEffect::Now;

/// Definitions, in the order of `config/promptseg.yaml`.
pub const KEEP: &[Definition] = &[
    Definition {
        name: "keep.frames",
        formerly: Some("keep_frames"),
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
        name: "keep.megabytes",
        formerly: Some("keep_megabytes"),
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
        name: "keep.images",
        formerly: Some("keep_images"),
        description: "Images that were not encoded because a newer image came, kept for prompts with their stamp.",
        takes_effect: Now,
        kind: Integer {
            default: || engine().keep.images as i64,
            min: 0,
            max: 1000,
            store: |c, v| c.engine.keep.images = v as usize,
        },
    },
];
