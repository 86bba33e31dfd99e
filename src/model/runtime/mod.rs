//! Sessions of ONNX Runtime: loading of the library, options, execution providers, and engines of TensorRT on disk.
//!
//! * `library`: the loaded libonnxruntime; `availability`: the providers that it has.
//! * `options`: [`SessionOptions`]; `threads`: the number of physical cores.
//! * `graph_file`, `external_weights`: the files of a graph; `graph_cut`: a graph without unused outputs.
//! * `session`: opens a graph on the first provider that can run it; `execution`: options of one session on one provider;
//!   `tensorrt`, `engine_cache`: engines and their key; `shape_profile`, `profile`: shapes that engines are built for.
//! * `report`: which provider runs, and which were refused; `failure`: errors with advice.
//! * `binding`: tensors on a GPU; `tensor`: tensors of a declared type; `shrinking`: returning memory to the system.

mod availability;
pub(super) mod binding;
pub(super) mod engine_cache;
mod execution;
mod external_weights;
pub(super) mod failure;
mod graph_cut;
pub(super) mod graph_file;
mod library;
mod options;
pub(super) mod profile;
mod report;
pub(super) mod session;
pub(super) mod shape_profile;
pub(super) mod shrinking;
pub(super) mod tensor;
mod tensorrt;
mod threads;

pub use availability::TensorRt;
pub use library::{build_info, environment, renew_arena};
pub use options::{Arena, GpuOptions, MEGABYTE, SessionOptions};
pub use report::{ProviderRefusal, ProviderReport};
