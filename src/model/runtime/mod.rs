//! Sessions of ONNX Runtime: loading of the library, options, execution providers, and engines of TensorRT on disk.
//!
//! * `library`: the loaded libonnxruntime; `availability`: the providers that it has.
//! * `options`: [`SessionOptions`]; `threads`: the number of physical cores; `cpu`: instruction sets of the processor.
//! * `graph_file`, `external_weights`: the files of a graph; `graph_cut`: a graph without unused outputs.
//! * `session`: opens a graph on the first provider that can run it; `execution`: options of one session on one provider;
//!   `compiled`, `engine_cache`: engines of TensorRT and OpenVINO and their key; `shape_profile`, `profile`: shapes that
//!   engines are built for; `choice_file`: timings of providers, on disk; `per_graph`: one value for each graph.
//! * `requests`: the providers of the graphs of a model, and what was refused on them; `open_graph`: a graph with an open session.
//! * `report`: which provider runs, and which were refused; `failure`: errors with advice.
//! * `binding`: tensors on a GPU; `tensor`: tensors of a declared type; `shrinking`: returning memory to the system.

mod availability;
pub(super) mod binding;
pub(super) mod choice_file;
mod compiled;
mod cpu;
pub(super) mod engine_cache;
mod execution;
mod external_weights;
pub(super) mod failure;
mod graph_cut;
pub(super) mod graph_file;
mod library;
mod open_graph;
mod options;
pub(super) mod per_graph;
pub(super) mod profile;
mod report;
pub(super) mod requests;
pub(super) mod session;
pub(super) mod shape_profile;
pub(super) mod shrinking;
pub(super) mod tensor;
mod threads;

pub use availability::{TensorRt, gpu_memory_in_use, gpu_name, tensorrt_version};
pub use library::{build_info, environment, renew_arena};
pub(crate) use open_graph::OpenGraph;
pub use options::{Arena, GpuOptions, InferencePrecision, MEGABYTE, OpenVinoOptions, SessionOptions};
pub use report::{ProviderRefusal, ProviderReport};
pub(crate) use requests::Requests;
