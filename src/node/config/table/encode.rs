//! Group `encode`: which frames are encoded.

use std::time::Duration;

use super::defaults::engine;
use crate::engine::EncodeMode;
use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::{Float, Text};
use crate::node::config::definition::TakesEffect::Now;

/// Definitions, in the order of `config/promptseg.yaml`.
pub const ENCODE: &[Definition] = &[
    Definition {
        name: "encode.mode",
        formerly: Some("encode"),
        description: "Which frames are encoded before a prompt needs them: 'auto' (while somebody subscribes to an output, an object lives on, or a prompt came within 'encode.linger'; the first click after a pause waits for one encoding), 'always' (every frame that the encoder has time for: a click is answered in the decoder's time), 'on_demand' (only while an object lives on; every other click waits for the encoder).",
        takes_effect: Now,
        kind: Text {
            default: "auto",
            choices: &EncodeMode::CHOICES,
            store: |c, v| c.engine.encode = v.parse().unwrap_or_default(),
        },
    },
    Definition {
        name: "encode.linger",
        formerly: Some("encode_linger"),
        description: "Seconds after a prompt during which the mode 'auto' encodes every frame, so that the next click is answered in the decoder's time.",
        takes_effect: Now,
        kind: Float {
            default: || engine().encode_linger.as_secs_f64(),
            min: 0.0,
            max: 86_400.0,
            store: |c, v| c.engine.encode_linger = Duration::from_secs_f64(v),
        },
    },
];
