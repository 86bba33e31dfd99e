//! Group `track`: how objects are followed.

use super::defaults::{engine, session};
use crate::model::network::MAX_CONDITIONING;
use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::{Flag, Float, Integer};
use crate::node::config::definition::TakesEffect::{Now, WithConfigure};

/// Definitions, in the order of `config/promptseg.yaml`.
pub const TRACK: &[Definition] = &[
    Definition {
        name: "track.memory",
        formerly: Some("track_memory"),
        description: "Whether the memory of a model that has one (SAM 2, EdgeTAM) is loaded, by which 'track' follows objects; false saves load time and RAM, and 'track' follows by masks as with any other model.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().memory, store: |c, v| c.model.session.memory = v },
    },
    Definition {
        name: "track.max_objects",
        formerly: Some("track_max_objects"),
        description: "Most objects that a model with memory follows at a time; each holds about 6 MB and costs its time on every frame.",
        takes_effect: Now,
        kind: Integer {
            default: || engine().track.max_objects as i64,
            min: 1,
            max: 256,
            store: |c, v| c.engine.track.max_objects = v as usize,
        },
    },
    Definition {
        name: "track.memories",
        formerly: Some("track_memories"),
        description: "Earlier frames that condition a model with memory for each object, beside the prompted frames; fewer are faster and lose objects more often.",
        takes_effect: Now,
        kind: Integer {
            default: || engine().track.recent as i64,
            min: 0,
            max: 6,
            store: |c, v| c.engine.track.recent = v as usize,
        },
    },
    Definition {
        name: "track.prompted_frames",
        formerly: Some("track_prompted_frames"),
        description: "Prompted frames of each object that condition a model with memory: the first, and the last ones.",
        takes_effect: Now,
        kind: Integer {
            default: || engine().track.conditioning as i64,
            min: 1,
            max: MAX_CONDITIONING as i64,
            store: |c, v| c.engine.track.conditioning = v as usize,
        },
    },
    Definition {
        name: "track.fill_holes",
        formerly: Some("track_fill_holes"),
        description: "Largest hole that is filled in objects that a model with memory follows, in cells of the low-resolution mask (256 a side).",
        takes_effect: Now,
        kind: Integer {
            default: || engine().track.fill_holes as i64,
            min: 0,
            max: 4096,
            store: |c, v| c.engine.track.fill_holes = v as usize,
        },
    },
    Definition {
        name: "track.no_overlap",
        formerly: Some("track_no_overlap"),
        description: "Whether masks of objects that a model with memory follows never overlap: a pixel belongs to the object with the highest logit.",
        takes_effect: Now,
        kind: Flag { default: || engine().track.separate, store: |c, v| c.engine.track.separate = v },
    },
    Definition {
        name: "track.min_iou",
        formerly: Some("track_min_iou"),
        description: "With persistence 'track' and a model without memory: below this predicted IoU an object is lost.",
        takes_effect: Now,
        kind: Float {
            default: || engine().track_min_iou.into(),
            min: 0.0,
            max: 1.0,
            store: |c, v| c.engine.track_min_iou = v as f32,
        },
    },
    Definition {
        name: "track.max_area_jump",
        formerly: Some("track_max_area_jump"),
        description: "With persistence 'track' and a model without memory: an object whose area changes by more than this factor in one frame is lost.",
        takes_effect: Now,
        kind: Float {
            default: || engine().track_max_area_jump.into(),
            min: 1.0,
            max: 1000.0,
            store: |c, v| c.engine.track_max_area_jump = v as f32,
        },
    },
];
