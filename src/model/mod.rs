//! Bundles, ONNX layouts, sessions and execution providers, the image encoder and the mask decoder.
//!
//! [`Model::open`] turns one path into a [`Model`]: the description ([`ModelInfo`]) and two halves, [`ImageEncoder`]
//! and [`MaskDecoder`], each with a session of its own so that they can live on two threads. What passes between them
//! is an [`Embedding`].

mod binding;
pub mod bundle;
mod candidates;
mod cores;
mod decoded;
mod decoder;
mod device;
mod embedding;
mod encoder;
mod engines;
mod error;
mod execution;
mod file;
mod info;
mod inputs;
mod layout;
mod memory;
pub mod network;
mod open;
mod options;
mod probe;
mod profile;
pub mod prompt_encoder;
mod provider;
mod runner;
pub mod runtime;
mod session;
mod shrinking;
mod trial;
mod variant;
mod weights;

pub use bundle::{Bundle, Manifest};
pub use candidates::{Candidates, DynamicMultimask};
pub use decoded::{Candidate, DecodeOptions, DecodeTimings, Decoded, Decodes};
pub use decoder::MaskDecoder;
pub use device::TensorRt;
pub use embedding::{Embedding, EncodeTimings};
pub use encoder::ImageEncoder;
pub use error::Error;
pub use info::ModelInfo;
pub use layout::{DecoderLayout, EncoderLayout, Family, FusedInputs, PictureForm, PromptInput, Signature, TensorSpec};
pub use memory::{MemoryInfo, Section as MemorySection};
pub use open::Model;
pub use options::{Arena, GpuOptions, MEGABYTE, SessionOptions};
pub use provider::{Provider, ProviderReport, Refused};
pub use variant::{Precision, Variant};
