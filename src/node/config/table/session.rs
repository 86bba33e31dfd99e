//! Group `session`: options of all ONNX Runtime sessions.

use super::defaults::session;
use crate::model::Arena;
use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::{Flag, Integer, Text};
use crate::node::config::definition::TakesEffect::WithConfigure;

/// Definitions, in the order of `config/promptseg.yaml`.
pub const SESSION: &[Definition] = &[
    Definition {
        name: "session.threads",
        formerly: Some("threads"),
        description: "Threads of one ONNX session on the CPU; 0 takes one for each physical core that the process may use.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().threads as i64,
            min: 0,
            max: 1024,
            store: |c, v| c.model.session.threads = v as usize,
        },
    },
    Definition {
        name: "session.spinning",
        formerly: Some("spinning"),
        description: "Threads wait busily for the next operator as long as a run takes, not for 20 microseconds: up to 10 % faster where nothing else runs; with a camera's driver and other nodes on the same cores up to twice as slow.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().spinning, store: |c, v| c.model.session.spinning = v },
    },
    Definition {
        name: "session.arena",
        formerly: Some("arena"),
        description: "How the memory of sessions grows: 'exact' (by the requested size), 'doubling' (default of ONNX Runtime: MobileSAM with 16 objects takes 1651 MB instead of 726 MB), 'off' (no memory is kept between runs; the peak of 'tiny' is 280 MB instead of 180 MB).",
        takes_effect: WithConfigure,
        kind: Text {
            default: "exact",
            choices: &Arena::CHOICES,
            store: |c, v| c.model.session.arena = v.parse().unwrap_or_default(),
        },
    },
    Definition {
        name: "session.max_objects",
        formerly: Some("max_objects"),
        description: "Most objects in one run of the decoder: larger batches are cut. TensorRT's engine accepts no larger batch.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().max_objects as i64,
            min: 1,
            max: 1024,
            store: |c, v| c.model.session.max_objects = v as usize,
        },
    },
];
