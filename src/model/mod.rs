//! Bundles, ONNX layouts, sessions and execution providers, the image encoder and the mask decoder.
//!
//! [`Model::open`] turns one path into a [`Model`]: the description ([`ModelInfo`]) and two halves, [`ImageEncoder`]
//! and [`MaskDecoder`], each with a session of its own so that they can live on two threads. What passes between them
//! is an [`Embedding`].

pub mod bundle;
mod candidates;
mod decoder;
mod embedding;
mod encoder;
mod error;
mod file;
mod info;
mod inputs;
mod layout;
mod open;
mod options;
mod probe;
pub mod runtime;
mod session;
mod variant;

pub use bundle::{Bundle, Manifest};
pub use candidates::{Candidates, DynamicMultimask};
pub use decoder::{Candidate, DecodeOptions, DecodeTimings, Decoded, Decodes, MaskDecoder};
pub use embedding::{Embedding, EncodeTimings};
pub use encoder::ImageEncoder;
pub use error::Error;
pub use info::ModelInfo;
pub use layout::{DecoderLayout, EncoderLayout, Family, FusedInputs, PictureForm, PromptInput, Signature, TensorSpec};
pub use open::Model;
pub use options::{Provider, ProviderReport, Refused, SessionOptions};
pub use variant::{Precision, Variant};
