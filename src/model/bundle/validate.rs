//! Reading and validating `bundle.json`.

use std::collections::BTreeMap;

use super::listed_files;
use super::manifest::{
    DECODER, ENCODER, FORMAT, MEMORY_ATTENTION, MEMORY_ENCODER, MEMORY_WEIGHTS, Manifest, PROMPT_ENCODER,
};
use super::memory_section::MemorySection;
use super::variant::Variant;
use crate::model::error::Error;
use crate::model::precision::Precision;
use crate::model::provider::Provider;
use crate::pixels::Resize;

/// `kind` of a bundle whose model takes phrases. Bundles without a kind make masks.
pub const TEXT_KIND: &str = "text";

/// Largest side of the encoder's square picture: a larger one is a mistake, and would take gigabytes.
pub const MAX_IMAGE_SIZE: usize = 8192;
pub const MAX_CHANNELS: usize = 4096;
pub const MAX_CELLS: usize = 1024;
pub const MAX_LOW_RES: usize = 4096;
pub const MAX_CANDIDATES: usize = 64;
/// Most frames and pointers of a memory: more than any model was trained for.
const MAX_FRAMES: usize = 16;
const MAX_POINTERS: usize = 32;
/// Most numbers in one spatial memory. SAM 2 has 262144.
const MAX_NUMBERS: usize = 1 << 24;

/// A field of `bundle.json` with an invalid value.
pub struct Fault {
    pub field: &'static str,
    pub found: String,
    pub expected: String,
}

pub type Validity = Result<(), Fault>;

pub fn fault(field: &'static str, found: impl Into<String>, expected: impl Into<String>) -> Validity {
    Err(Fault { field, found: found.into(), expected: expected.into() })
}

/// Checks texts. They go into ROS messages, whose strings end at a zero byte.
pub fn check_texts(texts: &[(&'static str, &String)]) -> Validity {
    match texts.iter().find(|(_, text)| text.chars().any(char::is_control)) {
        Some((field, text)) => fault(field, format!("{text:?}"), "text without control characters"),
        None => Ok(()),
    }
}

/// Checks mean and standard deviation of the channels.
pub fn check_norm(mean: &[f32; 3], std: &[f32; 3]) -> Validity {
    if mean.iter().any(|v| !v.is_finite()) {
        return fault("mean", format!("{mean:?}"), "three finite numbers");
    }
    if std.iter().any(|v| !v.is_finite() || *v <= 0.0) {
        return fault("std", format!("{std:?}"), "three positive numbers");
    }
    Ok(())
}

impl Manifest {
    /// Parses and validates a description; `file` is its name in messages.
    ///
    /// # Errors
    /// [`Error::BundleSyntax`] for a text that is not a description, [`Error::NewerFormat`] for a format that this version
    /// does not read, [`Error::BundleField`] for the first field with an invalid value.
    pub fn parse(text: &[u8], file: &str) -> Result<Manifest, Error> {
        let syntax = |e: serde_json::Error| Error::BundleSyntax { file: file.to_owned(), reason: e.to_string() };
        // The format number is read first and alone, because a newer format may have renamed all other fields.
        let json: serde_json::Value = serde_json::from_slice(text).map_err(syntax)?;
        let format = json.get("format").and_then(serde_json::Value::as_u64);
        let found = format.ok_or_else(|| Error::BundleSyntax {
            file: file.to_owned(),
            reason: "no whole number `format`".to_owned(),
        })?;
        if found > FORMAT {
            return Err(Error::NewerFormat { file: file.to_owned(), found, newest: FORMAT });
        }
        if json.get("kind").and_then(serde_json::Value::as_str) == Some(TEXT_KIND) {
            return Err(Error::BundleField {
                file: file.to_owned(),
                field: "kind",
                found: "text, a model that finds objects by phrases".to_owned(),
                expected: "a model that makes masks; text models belong to text.model, or --text-model".to_owned(),
            });
        }
        let mut manifest: Manifest = serde_json::from_value(json).map_err(syntax)?;
        if manifest.variants.is_empty() {
            manifest.variants.push(Variant {
                precision: Precision::Fp32,
                encoder: ENCODER.to_owned(),
                decoder: DECODER.to_owned(),
                u8_encoder: None,
                memory_attention: manifest.memory.map(|_| MEMORY_ATTENTION.to_owned()),
                memory_encoder: manifest.memory.map(|_| MEMORY_ENCODER.to_owned()),
                providers: Provider::ALL.to_vec(),
                parity: manifest.parity.clone(),
                calibration: BTreeMap::new(),
            });
        }
        manifest.validate().map_err(|Fault { field, found, expected }| Error::BundleField {
            file: file.to_owned(),
            field,
            found,
            expected,
        })?;
        Ok(manifest)
    }

    fn validate(&self) -> Validity {
        self.validate_picture()?;
        self.validate_masks()?;
        self.validate_variants()?;
        self.validate_memory()?;
        self.validate_files()
    }

    /// Checks texts, and all that becomes the encoder's picture.
    fn validate_picture(&self) -> Validity {
        if !(16..=MAX_IMAGE_SIZE).contains(&self.image_size) {
            return fault("image_size", self.image_size.to_string(), format!("16 to {MAX_IMAGE_SIZE}"));
        }
        if let Some(side) = self.prompt_size {
            if !(16..=MAX_IMAGE_SIZE).contains(&side) {
                return fault("prompt_size", side.to_string(), format!("16 to {MAX_IMAGE_SIZE}"));
            }
            if self.memory.is_some() && side != self.image_size {
                let found = format!("{side} for image_size {}", self.image_size);
                return fault("prompt_size", found, "image_size, in a bundle with memory");
            }
        }
        check_texts(&[
            ("name", &self.name),
            ("family", &self.family),
            ("source", &self.source),
            ("licence", &self.licence),
        ])?;
        if !["letterbox", "stretch"].contains(&self.resize.as_str()) {
            return fault("resize", self.resize.clone(), "letterbox or stretch");
        }
        check_norm(&self.mean, &self.std)?;
        let [1, 1..=MAX_CHANNELS, 1..=MAX_CELLS, 1..=MAX_CELLS] = self.embedding_shape[..] else {
            let expected = format!("[1, C, h, w], C up to {MAX_CHANNELS}, h and w up to {MAX_CELLS}");
            return fault("embedding_shape", format!("{:?}", self.embedding_shape), expected);
        };
        Ok(())
    }

    /// Checks prompts, and the decoder's masks.
    fn validate_masks(&self) -> Validity {
        if !self.mask_threshold.is_finite() {
            return fault("mask_threshold", self.mask_threshold.to_string(), "a finite number");
        }
        if !["external", "fused"].contains(&self.prompt_encoder.as_str()) {
            return fault("prompt_encoder", self.prompt_encoder.clone(), "external or fused");
        }
        if !(1..=MAX_LOW_RES).contains(&self.low_res_size) {
            return fault("low_res_size", self.low_res_size.to_string(), format!("1 to {MAX_LOW_RES}"));
        }
        if self.candidates == 0 && !self.single_mask {
            return fault("candidates", "0 without a single mask", "at least one mask");
        }
        if let Some(rule) = self.dynamic_multimask {
            if !(rule.delta.is_finite() && rule.delta >= 0.0 && (0.0..=1.0).contains(&rule.threshold)) {
                return fault("dynamic_multimask", rule.to_string(), "a delta from 0 and a threshold from 0 to 1");
            }
            if !self.single_mask || self.candidates == 0 {
                let found = format!("{} candidates, single mask: {}", self.candidates, self.single_mask);
                return fault("dynamic_multimask", found, "a single mask and candidates to replace it");
            }
        }
        if self.low_res_limit.is_some_and(|limit| !(limit.is_finite() && limit > 0.0)) {
            return fault("low_res_limit", format!("{:?}", self.low_res_limit), "a positive number");
        }
        if let Some((field, found)) = self.everything.and_then(|defaults| defaults.fault()) {
            return fault(field, found, "1 to 256 clicks along each side, thresholds from 0 to 1");
        }
        if self.box_as_points && !self.external() {
            return fault("box_as_points", "with prompts fused into the decoder", "prompt_encoder external");
        }
        if self.candidates > MAX_CANDIDATES {
            return fault("candidates", self.candidates.to_string(), format!("at most {MAX_CANDIDATES}"));
        }
        if !self.prompts.iter().any(|kind| ["point", "box", "mask"].contains(&kind.as_str())) {
            return fault("prompts", format!("{:?}", self.prompts), "one or more of point, box, mask");
        }
        Ok(())
    }

    fn validate_variants(&self) -> Validity {
        for (i, variant) in self.variants.iter().enumerate() {
            if self.variants[..i].iter().any(|earlier| earlier.precision == variant.precision) {
                return fault("variants", format!("{} twice", variant.precision), "each precision once");
            }
        }
        if self.variants.iter().all(|v| v.precision != Precision::Fp32) {
            return fault("variants", "without fp32", "fp32 among them");
        }
        if self.resize() == Resize::Stretch && self.variants.iter().any(|v| v.u8_encoder.is_some()) {
            let found = "u8_encoder with resize stretch, whose pictures are not whole levels";
            return fault("variants", found, "u8_encoder with resize letterbox only");
        }
        Ok(())
    }

    /// Checks the memory, and what the other fields must be in a bundle with memory.
    fn validate_memory(&self) -> Validity {
        let Some(MemorySection { frames, pointers, shape: [tokens, channels] }) = self.memory else {
            let with_graphs = |v: &&Variant| v.memory_attention.is_some() || v.memory_encoder.is_some();
            return match self.variants.iter().find(with_graphs) {
                Some(variant) => fault(
                    "variants",
                    format!("{} with memory graphs", variant.precision),
                    "none of them without the field memory, which has their sizes",
                ),
                None => Ok(()),
            };
        };
        if !(2..=MAX_FRAMES).contains(&frames) {
            return fault("memory.frames", frames.to_string(), format!("2 to {MAX_FRAMES}"));
        }
        if !(2..=MAX_POINTERS).contains(&pointers) {
            return fault("memory.pointers", pointers.to_string(), format!("2 to {MAX_POINTERS}"));
        }
        const MAX_TOKENS: usize = MAX_CELLS * MAX_CELLS;
        let fits = (1..=MAX_TOKENS).contains(&tokens) && (1..=MAX_CHANNELS).contains(&channels);
        if !fits || tokens * channels > MAX_NUMBERS {
            let expected =
                format!("[N, C], N up to {MAX_TOKENS}, C up to {MAX_CHANNELS}, {MAX_NUMBERS} numbers together");
            return fault("memory.shape", format!("[{tokens}, {channels}]"), expected);
        }
        if !self.external() || !self.box_as_points {
            let found = format!("{}, box_as_points {}", self.prompt_encoder, self.box_as_points);
            return fault("prompt_encoder", found, "external, box_as_points true, in a bundle with memory");
        }
        if !self.single_mask || self.candidates == 0 {
            let found = format!("{} with single_mask {}", self.candidates, self.single_mask);
            return fault("candidates", found, "candidates and a single mask in a bundle with memory");
        }
        // The convolution that shrinks a given mask has stride 4, and its output has the size of a mask prompt.
        let logits = self.low_res_size;
        if self.image_size != 4 * logits || self.embedding_shape[2..].iter().any(|cells| 4 * cells != logits) {
            let (size, shape) = (self.image_size, &self.embedding_shape);
            let found = format!("{logits} for image_size {size} and embedding_shape {shape:?}");
            return fault(
                "low_res_size",
                found,
                "a quarter of image_size and 4 for each cell, in a bundle with memory",
            );
        }
        let without_graphs = |v: &&Variant| v.memory_attention.is_none() || v.memory_encoder.is_none();
        match self.variants.iter().find(without_graphs) {
            Some(variant) => fault(
                "variants",
                format!("{} without memory_attention or memory_encoder", variant.precision),
                "both in each of them, because the field memory is there",
            ),
            None => Ok(()),
        }
    }

    fn validate_files(&self) -> Validity {
        listed_files::check_entries(&self.files).map_err(|(found, expected)| Fault {
            field: "files",
            found,
            expected,
        })?;
        let weights = [self.external().then_some(PROMPT_ENCODER), self.memory.map(|_| MEMORY_WEIGHTS)];
        for name in self.variants.iter().flat_map(Variant::graphs).chain(weights.into_iter().flatten()) {
            if !self.files.contains_key(name) {
                return fault("files", format!("without {name}"), "an entry for it");
            }
        }
        Ok(())
    }
}
