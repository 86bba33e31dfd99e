//! Errors of loading and running a model. Each has what was found and what was expected.

use std::path::PathBuf;

use thiserror::Error as ThisError;

use super::precision::Precision;
use super::provider::Provider;
use super::unknown_name::UnknownName;
use crate::pixels::PixelError;

/// Error of loading or running a model. The messages are for people: each names the file or the tensor.
#[derive(Debug, ThisError)]
pub enum Error {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },

    #[error("{} is neither a bundle (no bundle.json) nor a known pair of ONNX files: {found}", path.display())]
    NoModel { path: PathBuf, found: String },

    #[error("{file}: not a bundle description: {reason}")]
    BundleSyntax { file: String, reason: String },

    #[error(
        "{file}: bundle format {found}, this version reads up to {newest}; update promptseg or export the bundle again"
    )]
    NewerFormat { file: String, found: u64, newest: u64 },

    #[error("{file}: {field} is {found}, expected {expected}")]
    BundleField { file: String, field: &'static str, found: String, expected: String },

    #[error("{file} is missing from the bundle, though bundle.json lists it")]
    MissingFile { file: String },

    #[error("{file}: {found} bytes, bundle.json says {expected}; the file is truncated or belongs to another bundle")]
    FileSize { file: String, found: u64, expected: u64 },

    #[error("{file}: SHA-256 {found}, bundle.json says {expected}; the file is damaged or belongs to another bundle")]
    FileHash { file: String, found: String, expected: String },

    #[error("{} is {found}, expected a file", path.display())]
    NotAFile { path: PathBuf, found: &'static str },

    #[error("{file} is empty; get it again")]
    EmptyFile { file: String },

    #[error("{file}: {found} bytes, at most {most} are accepted for a file of its kind")]
    TooLarge { file: String, found: u64, most: u64 },

    #[error("{file} is not an ONNX graph: {reason}")]
    NotOnnx { file: String, reason: String },

    #[error("{file} is {found}, expected {expected}; are the two files swapped?")]
    Role { file: String, found: &'static str, expected: &'static str },

    #[error("{file}: tensor `{tensor}` is {found}, expected {expected}")]
    Tensor { file: String, tensor: String, found: String, expected: String },

    #[error("{file}: no tensor `{tensor}` of {expected}; there are {found}")]
    MissingTensor { file: String, tensor: String, expected: String, found: String },

    #[error(
        "{file}: no known layout of {what}.\nfound: {found}\nnearest: {nearest}\n(docs/models.md lists the layouts)"
    )]
    UnknownLayout { file: String, what: &'static str, found: String, nearest: String },

    #[error("{file}: not a safetensors file: {reason}")]
    Weights { file: String, reason: String },

    /// Loading the ONNX Runtime library failed.
    #[error(
        "cannot load ONNX Runtime ({reason}). Two ways to get it: `pip install onnxruntime` into an environment and set \
         ORT_DYLIB_PATH to its onnxruntime/capi/libonnxruntime.so.1.x, or set ORT_DYLIB_PATH to the libonnxruntime.so of your CUDA or Jetson \
         build (1.20 or newer)"
    )]
    Runtime { reason: String },

    #[error("no execution provider left for {file}: {refused}")]
    NoProvider { file: String, refused: String },

    #[error(transparent)]
    UnknownName(#[from] UnknownName),

    #[error("{file} has no {asked} variant; it has {have}")]
    NoVariant { file: String, asked: Precision, have: String },

    /// ONNX Runtime refused a graph or failed while running it.
    #[error("{file}: ONNX Runtime: {reason}")]
    Session { file: String, reason: String },

    /// The memory of the GPU or of the machine is too small for this run.
    #[error(
        "{file}: out of memory on {provider} ({reason}). What helps: precision fp16, fewer session.max_objects, a smaller \
         keep.megabytes or model, a larger gpu.memory_mb if it is set, or providers: [cpu]"
    )]
    OutOfMemory { file: String, provider: Provider, reason: String },

    #[error("the model {model} does not take {kind}; it takes {takes}")]
    PromptKind { model: String, kind: &'static str, takes: String },

    #[error(
        "an object has {found} prompt tokens (a click is 2, a box 2, each further click 1, a mask alone 0), the TensorRT \
         engine of the model {model} takes {least} to {most}; raise tensorrt.max_tokens, or add cuda or cpu to providers, which \
         then decodes such objects"
    )]
    Tokens { model: String, found: usize, least: usize, most: usize },

    #[error("mask prompt of {found}x{found} logits, the model {model} takes {expected}x{expected}")]
    MaskSide { model: String, found: usize, expected: usize },

    #[error(
        "the model {model} has no memory, so it cannot follow an object; use a bundle of SAM 2 or EdgeTAM, and export an old one again"
    )]
    NoMemory { model: String },

    #[error("the embedding was made by another model: {reason}")]
    ForeignEmbedding { reason: String },

    /// An image that cannot be encoded, for instance one without pixels.
    #[error(transparent)]
    Pixels(#[from] PixelError),
}
