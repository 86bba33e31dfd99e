//! Group `gpu`: options of TensorRT and CUDA.

use super::defaults::session;
use crate::model::MEGABYTE;
use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::{Flag, Integer};
use crate::node::config::definition::TakesEffect::WithConfigure;

/// Definitions, in the order of `config/promptseg.yaml`.
pub const GPU: &[Definition] = &[
    Definition {
        name: "gpu.device_id",
        formerly: Some("device_id"),
        description: "Number of the GPU for TensorRT and CUDA.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().gpu.device_id.into(),
            min: 0,
            max: 63,
            store: |c, v| c.model.session.gpu.device_id = v as i32,
        },
    },
    Definition {
        name: "gpu.memory_mb",
        formerly: Some("gpu_memory_mb"),
        description: "Most memory of CUDA's arena, MB; 0: all of the GPU's.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || (session().gpu.memory / MEGABYTE) as i64,
            min: 0,
            max: 1_000_000,
            store: |c, v| c.model.session.gpu.memory = v as usize * MEGABYTE,
        },
    },
    Definition {
        name: "gpu.cuda_graphs",
        formerly: Some("cuda_graphs"),
        description: "Replay the image encoder's launches on the GPU as one CUDA graph.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.cuda_graphs, store: |c, v| c.model.session.gpu.cuda_graphs = v },
    },
    Definition {
        name: "gpu.u8_pictures",
        formerly: None,
        description: "Send pictures to the GPU as levels in 8 bits, a quarter of the bytes, if the bundle has an encoder that takes them.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.u8_pictures, store: |c, v| c.model.session.gpu.u8_pictures = v },
    },
    Definition {
        name: "gpu.self_check",
        formerly: Some("self_check"),
        description: "Try a model on TensorRT, CUDA (also with a full batch) and OpenVINO while it is loaded, and compare fp16 and bf16 (also on the CPU of an ARM board) with fp32: a provider or precision that fails is not used.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.self_check, store: |c, v| c.model.session.gpu.self_check = v },
    },
];
