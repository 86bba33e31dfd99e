//! `bundle.json`: the description of a bundle.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::memory_section::MemorySection;
use super::variant::Variant;
use crate::model::candidates::DynamicMultimask;
use crate::model::error::Error;
use crate::model::grid_defaults::GridDefaults;
use crate::model::precision::Precision;
use crate::pixels::Resize;

/// Newest `format` that this version reads.
pub const FORMAT: u64 = 3;
pub const DESCRIPTION: &str = "bundle.json";
pub const ENCODER: &str = "image_encoder.onnx";
pub const DECODER: &str = "mask_decoder.onnx";
pub const PROMPT_ENCODER: &str = "prompt_encoder.safetensors";
pub const MEMORY_ATTENTION: &str = "memory_attention.onnx";
pub const MEMORY_ENCODER: &str = "memory_encoder.onnx";
pub const MEMORY_WEIGHTS: &str = "memory.safetensors";

/// Size and hash of one file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    pub bytes: u64,
}

impl FileEntry {
    /// Checks the size of a file; `label` is its name in messages.
    ///
    /// # Errors
    /// [`Error::FileSize`] with both sizes.
    pub(super) fn check_size(&self, label: &str, found: u64) -> Result<(), Error> {
        if found == self.bytes {
            return Ok(());
        }
        Err(Error::FileSize { file: label.to_owned(), found, expected: self.bytes })
    }

    /// Checks the hash of a file; `label` is its name in messages.
    ///
    /// # Errors
    /// [`Error::FileHash`] with both hashes.
    pub(super) fn check_hash(&self, label: &str, found: String) -> Result<(), Error> {
        if found.eq_ignore_ascii_case(&self.sha256) {
            return Ok(());
        }
        Err(Error::FileHash { file: label.to_owned(), found, expected: self.sha256.clone() })
    }
}

/// Returns whether a file is a graph, or has a name that begins as that of the graph: `NAME.*` and `NAME_*`.
pub(super) fn is_named_after(graph: &str, file: &str) -> bool {
    file.strip_prefix(graph).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_']))
}

/// Content of `bundle.json`. Unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u64,
    pub name: String,
    pub family: String,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub licence: String,
    /// Side of the square picture that the encoder takes, in pixels.
    pub image_size: usize,
    /// Side of the square in whose pixels the decoder takes coordinates, if it is not `image_size`. Format 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_size: Option<usize>,
    /// `letterbox` (SAM, in the top-left corner) or `stretch` (SAM 2).
    pub resize: String,
    /// Mean of each channel, on the scale from 0 to 255.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, on the scale from 0 to 255.
    pub std: [f32; 3],
    /// Shape of the image embedding, `[1, C, h, w]`.
    pub embedding_shape: Vec<usize>,
    /// Side of the square of low-resolution logits, in cells.
    pub low_res_size: usize,
    #[serde(default)]
    pub mask_threshold: f32,
    /// Number of candidate masks for an ambiguous prompt. The single mask does not count.
    pub candidates: usize,
    /// Whether the decoder's first mask is the mask for clear prompts; the candidates follow.
    pub single_mask: bool,
    /// Whether clear prompts are answered by the best candidate too, instead of the single mask.
    #[serde(default)]
    pub multimask_for_several_prompts: bool,
    /// SAM 2: the rule by which the best candidate replaces a single mask that is not stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_multimask: Option<DynamicMultimask>,
    /// SAM 2: the corners of a box come before the points, and a pad token ends every list.
    #[serde(default)]
    pub box_as_points: bool,
    /// SAM 2: returned low-resolution logits are clamped to the range from `-low_res_limit` to `low_res_limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_res_limit: Option<f32>,
    /// Kinds of prompts that the model takes: `point`, `box`, `mask`.
    pub prompts: Vec<String>,
    /// Place of the prompt encoder: `external` (in Rust, weights in `prompt_encoder.safetensors`) or `fused` (in the
    /// decoder's graph).
    pub prompt_encoder: String,
    /// Defaults of the automatic mask generator. Without them the reference's for the family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub everything: Option<GridDefaults>,
    /// SAM 2: sizes of the memory. A model without memory cannot follow objects through a video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemorySection>,
    /// Differences from PyTorch that the exporter measured, in bundles without variants.
    #[serde(default)]
    pub parity: BTreeMap<String, f64>,
    /// Precisions of the model, fp32 among them. A description without variants has fp32 alone, in [`ENCODER`] and
    /// [`DECODER`].
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// Files of the bundle by name.
    pub files: BTreeMap<String, FileEntry>,
}

impl Manifest {
    /// Returns how an image is fitted into the square picture.
    pub fn resize(&self) -> Resize {
        if self.resize == "stretch" { Resize::Stretch } else { Resize::Letterbox }
    }

    /// Returns the side of the square in whose pixels the decoder of a bundle of this project takes coordinates.
    pub fn prompt_side(&self) -> usize {
        self.prompt_size.unwrap_or(self.image_size)
    }

    /// Returns whether the prompt encoder runs in Rust.
    pub fn external(&self) -> bool {
        self.prompt_encoder == "external"
    }

    /// Returns the precision in which a graph is stored. If variants share the graph, that is the highest of theirs.
    pub fn precision_of(&self, graph: &str) -> Option<Precision> {
        let uses = |v: &&Variant| v.graphs().any(|name| name == graph);
        self.variants.iter().filter(uses).map(|v| v.precision).max()
    }

    /// Returns the entry of a file, and if the file is a graph, the entries of all files that may hold its weights.
    ///
    /// These are `NAME.*` and `NAME_*`, for an encoder that takes levels also those of its variant's encoder. Since a graph may
    /// name its weights freely, they are also all files that belong to no other graph and that promptseg does not read itself.
    pub(in crate::model) fn with_weights<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a FileEntry)> {
        let graphs: BTreeSet<&str> = self.variants.iter().flat_map(Variant::graphs).collect();
        let twin = self.variants.iter().find(|v| v.u8_encoder.as_deref() == Some(name)).map(|v| v.encoder.as_str());
        let belongs = move |file: &str| {
            let safetensors = [PROMPT_ENCODER, MEMORY_WEIGHTS].contains(&file);
            let other = |graph: &str| graph != name && (twin != Some(graph) || graph == file);
            let other_graph = || graphs.iter().any(|graph| other(graph) && is_named_after(graph, file));
            file == name || graphs.contains(name) && !safetensors && !other_graph()
        };
        self.files.iter().filter(move |(file, _)| belongs(file))
    }
}
