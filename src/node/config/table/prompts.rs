//! Prompts and the choice of their mask.

use std::time::Duration;

use super::defaults::engine;
use crate::model::Candidates;
use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::{Float, Text};
use crate::node::config::definition::TakesEffect::Now;

/// Definitions, in the order of `config/promptseg.yaml`.
pub const PROMPTS: &[Definition] = &[
    Definition {
        name: "prompt_timeout",
        formerly: None,
        description: "Seconds that a prompt waits for the frame of its stamp.",
        takes_effect: Now,
        kind: Float {
            default: || engine().prompt_timeout.as_secs_f64(),
            min: 0.0,
            max: 60.0,
            store: |c, v| c.engine.prompt_timeout = Duration::from_secs_f64(v),
        },
    },
    Definition {
        name: "candidates",
        formerly: None,
        description: "Which mask is the result: 'auto' (a lone click gets the best of three, clearer prompts the single mask), 'single', 'multi' (always the best of three).",
        takes_effect: Now,
        kind: Text {
            default: "auto",
            choices: &["auto", "single", "multi"],
            store: |c, v| {
                c.engine.candidates = match v {
                    "single" => Candidates::Single,
                    "multi" => Candidates::Multi,
                    _ => Candidates::Auto,
                };
            },
        },
    },
    Definition {
        name: "stability_offset",
        formerly: None,
        description: "Offset of the stability score, in logits: area above threshold + offset over area above threshold - offset.",
        takes_effect: Now,
        kind: Float {
            default: || engine().stability_offset.into(),
            min: 0.0,
            max: 100.0,
            store: |c, v| c.engine.stability_offset = v as f32,
        },
    },
];
