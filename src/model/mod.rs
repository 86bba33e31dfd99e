//! Bundles, ONNX layouts, sessions and execution providers, the image encoder and the mask decoder.
//!
//! [`Model::open`] turns one path into a [`Model`]: the description ([`ModelInfo`]) and two halves, [`ImageEncoder`] and
//! [`MaskDecoder`]. Each half has a session of its own, so that both can run on two threads. The encoder makes an
//! [`Embedding`], on which the decoder decodes any number of prompts.
//!
//! Files import each other from the top of this list to the bottom:
//!
//! * `opening`: a path to a loaded model; trial runs of the sessions. `loaded` is the result.
//! * `encoder`, `decoder`, `memory`: the networks of a model, each with its sessions.
//! * [`graph`]: a graph whose tensors the caller names, for models of other kinds.
//! * [`network`]: what a tracker asks of a model with memory.
//! * `info`: everything about a model that does not need its sessions.
//! * `runtime`: sessions of ONNX Runtime, options, execution providers, TensorRT's engines.
//! * [`prompt_encoder`]: points, boxes and masks to prompt embeddings, in Rust.
//! * `picture`: the encoder's picture in the buffers of its session.
//! * `layout`: graphs of all exporters, recognised by their tensors.
//! * [`bundle`]: the folder of a model, `bundle.json`, hashes, variants.
//! * `candidates`, `decoded`, `embedding`, `error`, `grid_defaults`, `provider`, `precision`: the values that pass between them.

pub mod bundle;
mod candidates;
mod decoded;
mod decoder;
mod embedding;
mod encoder;
mod error;
pub mod graph;
mod grid_defaults;
mod info;
mod layout;
mod loaded;
mod memory;
pub mod network;
pub(crate) mod opening;
mod picture;
mod precision;
pub mod prompt_encoder;
mod provider;
pub mod runtime;
pub(crate) mod timing;
mod unknown_name;
mod weights;

pub use bundle::{Bundle, DESCRIPTION, FORMAT, FileEntry, ListedFiles, Manifest, MemorySection, TEXT_KIND, Variant};
pub use candidates::{Candidates, DynamicMultimask};
pub use decoded::{Candidate, DecodeOptions, DecodeTimings, Decoded, Decodes};
pub use decoder::{LowResMasks, MaskDecoder};
pub use embedding::{Embedding, EncodeTimings};
pub use encoder::ImageEncoder;
pub use error::Error;
pub use grid_defaults::GridDefaults;
pub use info::ModelInfo;
pub use layout::{DecoderLayout, EncoderLayout, Family, FusedInputs, PictureForm, PromptInput, Signature, TensorSpec};
pub use loaded::Model;
pub use memory::MemoryInfo;
pub use precision::Precision;
pub use provider::Provider;
pub use runtime::{
    Arena, GpuOptions, InferencePrecision, MEGABYTE, OpenVinoOptions, ProviderRefusal, ProviderReport, SessionOptions,
    TensorRt,
};
pub use unknown_name::UnknownName;
