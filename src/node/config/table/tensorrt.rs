//! Group `tensorrt`: engines of TensorRT.

use super::defaults::session;
use crate::model::{GpuOptions, MEGABYTE};
use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::{Flag, Integer, Text};
use crate::node::config::definition::TakesEffect::WithConfigure;

/// Definitions, in the order of `config/promptseg.yaml`.
pub const TENSORRT: &[Definition] = &[
    Definition {
        name: "tensorrt.fp16",
        formerly: Some("fp16"),
        description: "TensorRT makes an fp32 graph half precision by itself; for models without an fp16 variant.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.fp16, store: |c, v| c.model.session.gpu.fp16 = v },
    },
    Definition {
        name: "tensorrt.int8",
        formerly: Some("int8"),
        description: "TensorRT may compute the quantised operators of graphs without a bundle in 8 bits; an int8 variant needs no permission.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.int8, store: |c, v| c.model.session.gpu.int8 = v },
    },
    Definition {
        name: "tensorrt.engine_cache",
        formerly: Some("engine_cache"),
        description: "Folder of TensorRT's engines, which take minutes to build ('promptseg build-engines' builds them in advance), of the models that OpenVINO compiled, and of the timings of providers; empty: ~/.cache/promptseg/engines; 'none' builds and times at each start.",
        takes_effect: WithConfigure,
        kind: Text {
            default: "",
            choices: &[],
            store: |c, v| c.model.session.gpu.engine_cache = GpuOptions::engine_cache_of(v),
        },
    },
    Definition {
        name: "tensorrt.workspace_mb",
        formerly: Some("tensorrt_workspace_mb"),
        description: "Most scratch memory of TensorRT's operators, MB; 0: TensorRT's own choice.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || (session().gpu.workspace / MEGABYTE) as i64,
            min: 0,
            max: 1_000_000,
            store: |c, v| c.model.session.gpu.workspace = v as usize * MEGABYTE,
        },
    },
    Definition {
        name: "tensorrt.max_tokens",
        formerly: Some("max_tokens"),
        description: "Most prompt tokens of an object that TensorRT's engine accepts: a click is 2, a box 2, each further click 1 more.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().max_tokens as i64,
            min: 3,
            max: 1024,
            store: |c, v| c.model.session.max_tokens = v as usize,
        },
    },
];
