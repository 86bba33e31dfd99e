//! The model, and how it runs.

use crate::model::{Arena, GpuOptions, MEGABYTE, Precision, SessionOptions};
use crate::node::config::definition::Kind::{Flag, Integer, Text, Texts};
use crate::node::config::definition::TakesEffect::WithConfigure;
use crate::node::config::definition::{Definition, Items};

/// Returns the defaults of the sessions, which the table repeats.
fn session() -> SessionOptions {
    SessionOptions::default()
}

/// Definitions, in the order of `config/promptseg.yaml`.
pub const MODEL: &[Definition] = &[
    Definition {
        name: "model",
        description: "Bundle folder, folder with two ONNX files, or the image encoder's ONNX file; 'tiny' is built in.",
        takes_effect: WithConfigure,
        kind: Text { default: "tiny", choices: &[], store: |c, v| c.model.path = v.into() },
    },
    Definition {
        name: "decoder",
        description: "The mask decoder's ONNX file, when 'model' is an image encoder's file; empty otherwise.",
        takes_effect: WithConfigure,
        kind: Text { default: "", choices: &[], store: |c, v| c.model.decoder = (!v.is_empty()).then(|| v.into()) },
    },
    Definition {
        name: "providers",
        description: "ONNX Runtime execution providers in order of preference; the first available one runs.",
        takes_effect: WithConfigure,
        kind: Texts {
            default: &["tensorrt", "cuda", "cpu"],
            items: Items::OneOf(&["tensorrt", "cuda", "cpu"]),
            store: |c, v| c.model.session.providers = v.iter().filter_map(|name| name.parse().ok()).collect(),
        },
    },
    Definition {
        name: "device_id",
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
        name: "threads",
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
        name: "spinning",
        description: "Threads wait busily for the next operator as long as a run takes, not for 20 microseconds: up to 10 % faster where nothing else runs; with a camera's driver and other nodes on the same cores up to twice as slow.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().spinning, store: |c, v| c.model.session.spinning = v },
    },
    Definition {
        name: "arena",
        description: "How the memory of sessions grows: 'exact' (by the requested size), 'doubling' (default of ONNX Runtime, about twice the memory), 'off' (no memory is kept between runs).",
        takes_effect: WithConfigure,
        kind: Text {
            default: "exact",
            choices: &Arena::CHOICES,
            store: |c, v| c.model.session.arena = v.parse().unwrap_or_default(),
        },
    },
    Definition {
        name: "max_objects",
        description: "Most objects in one run of the decoder: larger batches are cut. TensorRT's engine accepts no larger batch.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().max_objects as i64,
            min: 1,
            max: 1024,
            store: |c, v| c.model.session.max_objects = v as usize,
        },
    },
    Definition {
        name: "precision",
        description: "Which of a bundle's variants runs: 'auto' (what the bundle lists for the provider that opens: fp16 on a GPU, int8 on the CPU, else fp32), 'fp32', 'fp16', 'int8'.",
        takes_effect: WithConfigure,
        kind: Text {
            default: "auto",
            choices: &Precision::CHOICES,
            store: |c, v| c.model.session.precision = Precision::choice(v).unwrap_or_default(),
        },
    },
    Definition {
        name: "fp16",
        description: "TensorRT makes an fp32 graph half precision by itself; for models without an fp16 variant.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.fp16, store: |c, v| c.model.session.gpu.fp16 = v },
    },
    Definition {
        name: "int8",
        description: "TensorRT may compute the quantised operators of an int8 graph in 8 bits.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.int8, store: |c, v| c.model.session.gpu.int8 = v },
    },
    Definition {
        name: "engine_cache",
        description: "Folder of TensorRT's engines, which take minutes to build ('promptseg build-engines' builds them in advance); empty: ~/.cache/promptseg/engines; 'none' builds them at each start.",
        takes_effect: WithConfigure,
        kind: Text {
            default: "",
            choices: &[],
            store: |c, v| c.model.session.gpu.engine_cache = GpuOptions::engine_cache_of(v),
        },
    },
    Definition {
        name: "timing_cache",
        description: "Keep the timings of TensorRT's operators in 'engine_cache' too: the next engine is built sooner.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.timing_cache, store: |c, v| c.model.session.gpu.timing_cache = v },
    },
    Definition {
        name: "tensorrt_workspace_mb",
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
        name: "opt_objects",
        description: "Objects of one run that TensorRT's engine is the fastest for.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().opt_objects as i64,
            min: 1,
            max: 1024,
            store: |c, v| c.model.session.opt_objects = v as usize,
        },
    },
    Definition {
        name: "opt_tokens",
        description: "Prompt tokens of an object that TensorRT's engine is the fastest for: a click is 2, a box 2, each further click 1 more.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().opt_tokens as i64,
            min: 1,
            max: 1024,
            store: |c, v| c.model.session.opt_tokens = v as usize,
        },
    },
    Definition {
        name: "max_tokens",
        description: "Most prompt tokens of an object that TensorRT's engine accepts.",
        takes_effect: WithConfigure,
        kind: Integer {
            default: || session().max_tokens as i64,
            min: 3,
            max: 1024,
            store: |c, v| c.model.session.max_tokens = v as usize,
        },
    },
    Definition {
        name: "gpu_memory_mb",
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
        name: "cuda_graphs",
        description: "Replay the image encoder's launches on the GPU as one CUDA graph.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.cuda_graphs, store: |c, v| c.model.session.gpu.cuda_graphs = v },
    },
    Definition {
        name: "self_check",
        description: "Try a model on the GPU while it is loaded, also with a full batch, and compare fp16 with fp32: a provider or precision that fails is not used.",
        takes_effect: WithConfigure,
        kind: Flag { default: || session().gpu.self_check, store: |c, v| c.model.session.gpu.self_check = v },
    },
];
