//! The bundle: one folder with everything that one model needs, described by `bundle.json` and verified by hash.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Error;
use super::candidates::DynamicMultimask;
use crate::pixels::Resize;

/// The newest `format` that this version reads.
pub const FORMAT: u64 = 1;
pub const DESCRIPTION: &str = "bundle.json";
pub const ENCODER: &str = "image_encoder.onnx";
pub const DECODER: &str = "mask_decoder.onnx";
pub const PROMPT_ENCODER: &str = "prompt_encoder.safetensors";

/// Size and hash of one file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Lower-case hexadecimal.
    pub sha256: String,
    pub bytes: u64,
}

/// `bundle.json`. Fields that this version does not know are ignored.
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
    /// `letterbox` (SAM: top-left) or `stretch` (SAM 2).
    pub resize: String,
    /// Per channel, on the 0 to 255 scale.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// Shape of the image embedding, `[1, C, h, w]`.
    pub embedding_shape: Vec<usize>,
    /// Side of the low-resolution mask logits.
    pub low_res_size: usize,
    #[serde(default)]
    pub mask_threshold: f32,
    /// Candidate masks for an ambiguous prompt, beside the single one.
    pub candidates: usize,
    /// Whether there is a mask for clear prompts in front of the candidates.
    pub single_mask: bool,
    /// Whether the best candidate answers clear prompts too, in place of the single mask.
    #[serde(default)]
    pub multimask_for_several_prompts: bool,
    /// SAM 2: the best candidate replaces a single mask that is not stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_multimask: Option<DynamicMultimask>,
    /// SAM 2: the corners of a box come before the points, and a pad token ends every list.
    #[serde(default)]
    pub box_as_points: bool,
    /// SAM 2: the low-resolution logits that are handed out are clamped to this, on either side of 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_res_limit: Option<f32>,
    /// `point`, `box`, `mask`.
    pub prompts: Vec<String>,
    /// `external` (in Rust, weights in `prompt_encoder.safetensors`) or `fused` (in the decoder's graph).
    pub prompt_encoder: String,
    pub files: BTreeMap<String, FileEntry>,
}

/// Where the files of a bundle are.
#[derive(Debug, Clone)]
enum Source {
    Folder(PathBuf),
    Memory(&'static [(&'static str, &'static [u8])]),
}

/// A bundle whose description was read and whose files were verified.
#[derive(Debug, Clone)]
pub struct Bundle {
    pub manifest: Manifest,
    source: Source,
}

impl Bundle {
    /// Reads `folder/bundle.json` and verifies every file that it lists.
    ///
    /// # Errors
    /// Names the file and the two values when a file is missing, has another size or hash, or when the description is
    /// of a newer format or contradicts itself.
    pub fn open(folder: &Path) -> Result<Bundle, Error> {
        let path = folder.join(DESCRIPTION);
        let text = std::fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let manifest = Manifest::parse(&text, &path.display().to_string())?;
        Self::verified(manifest, Source::Folder(folder.to_owned()))
    }

    /// A bundle that is part of the executable: name and content of each file.
    pub fn embedded(files: &'static [(&'static str, &'static [u8])]) -> Result<Bundle, Error> {
        let text = files.iter().find(|(name, _)| *name == DESCRIPTION).map(|(_, content)| *content);
        let text = text.ok_or_else(|| Error::MissingFile { file: format!("embedded {DESCRIPTION}") })?;
        let manifest = Manifest::parse(text, &format!("embedded {DESCRIPTION}"))?;
        Self::verified(manifest, Source::Memory(files))
    }

    fn verified(manifest: Manifest, source: Source) -> Result<Bundle, Error> {
        let bundle = Bundle { manifest, source };
        for (name, entry) in &bundle.manifest.files {
            bundle.verify(name, entry)?;
        }
        Ok(bundle)
    }

    /// The path of a file where the bundle is a folder: ONNX Runtime maps it instead of copying it.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        match &self.source {
            Source::Folder(folder) => Some(folder.join(name)),
            Source::Memory(_) => None,
        }
    }

    /// The content of a file.
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>, Error> {
        match &self.source {
            Source::Folder(folder) => {
                let path = folder.join(name);
                std::fs::read(&path).map(Cow::Owned).map_err(|source| Error::Read { path, source })
            }
            Source::Memory(files) => files
                .iter()
                .find(|(file, _)| *file == name)
                .map(|(_, content)| Cow::Borrowed(*content))
                .ok_or_else(|| Error::MissingFile { file: self.label(name) }),
        }
    }

    /// How messages call a file of this bundle.
    pub fn label(&self, name: &str) -> String {
        match &self.source {
            Source::Folder(folder) => folder.join(name).display().to_string(),
            Source::Memory(_) => format!("embedded {name}"),
        }
    }

    /// Bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.manifest.files.values().map(|f| f.bytes).sum()
    }

    fn verify(&self, name: &str, entry: &FileEntry) -> Result<(), Error> {
        let file = self.label(name);
        let (found, digest) = match &self.source {
            Source::Folder(folder) => hash_file(&folder.join(name), &file, entry.bytes)?,
            Source::Memory(_) => {
                let content = self.read(name)?;
                (content.len() as u64, hex(&Sha256::digest(&content)))
            }
        };
        if found != entry.bytes {
            return Err(Error::FileSize { file, found, expected: entry.bytes });
        }
        if !digest.eq_ignore_ascii_case(&entry.sha256) {
            return Err(Error::FileHash { file, found: digest, expected: entry.sha256.clone() });
        }
        Ok(())
    }
}

impl Manifest {
    /// Parses and checks a description; `file` is its name in messages.
    pub fn parse(text: &[u8], file: &str) -> Result<Manifest, Error> {
        let syntax = |e: serde_json::Error| Error::BundleSyntax { file: file.to_owned(), reason: e.to_string() };
        // The format number alone first: a newer format may have renamed everything else.
        let any: serde_json::Value = serde_json::from_slice(text).map_err(syntax)?;
        let found = any.get("format").and_then(serde_json::Value::as_u64).ok_or_else(|| Error::BundleSyntax {
            file: file.to_owned(),
            reason: "no whole number `format`".to_owned(),
        })?;
        if found > FORMAT {
            return Err(Error::NewerFormat { file: file.to_owned(), found, newest: FORMAT });
        }
        let manifest: Manifest = serde_json::from_value(any).map_err(syntax)?;
        manifest.check(file)?;
        Ok(manifest)
    }

    pub fn resize(&self) -> Resize {
        if self.resize == "stretch" { Resize::Stretch } else { Resize::Letterbox }
    }

    pub fn external(&self) -> bool {
        self.prompt_encoder == "external"
    }

    fn check(&self, file: &str) -> Result<(), Error> {
        let field = |field: &'static str, found: String, expected: &str| {
            Err(Error::BundleField { file: file.to_owned(), field, found, expected: expected.to_owned() })
        };
        if !(16..=8192).contains(&self.image_size) {
            return field("image_size", self.image_size.to_string(), "16 to 8192");
        }
        if !["letterbox", "stretch"].contains(&self.resize.as_str()) {
            return field("resize", self.resize.clone(), "letterbox or stretch");
        }
        if !["external", "fused"].contains(&self.prompt_encoder.as_str()) {
            return field("prompt_encoder", self.prompt_encoder.clone(), "external or fused");
        }
        if self.mean.iter().any(|v| !v.is_finite()) {
            return field("mean", format!("{:?}", self.mean), "three finite numbers");
        }
        if self.std.iter().any(|v| !v.is_finite() || *v <= 0.0) {
            return field("std", format!("{:?}", self.std), "three positive numbers");
        }
        if self.embedding_shape.len() != 4 || self.embedding_shape[0] != 1 || self.embedding_shape.contains(&0) {
            return field("embedding_shape", format!("{:?}", self.embedding_shape), "[1, C, h, w]");
        }
        if !(1..=4096).contains(&self.low_res_size) {
            return field("low_res_size", self.low_res_size.to_string(), "1 to 4096");
        }
        if self.candidates == 0 && !self.single_mask {
            return field("candidates", "0 without a single mask".to_owned(), "at least one mask");
        }
        if let Some(rule) = self.dynamic_multimask {
            if !(rule.delta.is_finite() && rule.delta >= 0.0 && (0.0..=1.0).contains(&rule.threshold)) {
                return field("dynamic_multimask", rule.to_string(), "a delta from 0 and a threshold from 0 to 1");
            }
            if !self.single_mask || self.candidates == 0 {
                let found = format!("{} candidates, single mask: {}", self.candidates, self.single_mask);
                return field("dynamic_multimask", found, "a single mask and candidates to replace it");
            }
        }
        if self.low_res_limit.is_some_and(|limit| !(limit.is_finite() && limit > 0.0)) {
            return field("low_res_limit", format!("{:?}", self.low_res_limit), "a positive number");
        }
        if self.box_as_points && !self.external() {
            return field("box_as_points", "with prompts fused into the decoder".to_owned(), "prompt_encoder external");
        }
        let mut needed = vec![ENCODER, DECODER];
        if self.external() {
            needed.push(PROMPT_ENCODER);
        }
        for name in needed {
            if !self.files.contains_key(name) {
                return field("files", format!("without {name}"), "an entry for it");
            }
        }
        // A name with a folder in it could lead out of the bundle.
        match self.files.keys().find(|name| name.contains(['/', '\\']) || name.starts_with('.')) {
            Some(name) => field("files", format!("`{name}`"), "plain file names"),
            None => Ok(()),
        }
    }
}

/// Size and SHA-256 of a file; one of the wrong size is not read to its end.
fn hash_file(path: &Path, label: &str, expected: u64) -> Result<(u64, String), Error> {
    let read = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Error::MissingFile { file: label.to_owned() },
        _ => Error::Read { path: path.to_owned(), source },
    };
    let mut file = std::fs::File::open(path).map_err(read)?;
    let found = file.metadata().map_err(read)?.len();
    if found != expected {
        return Ok((found, String::new()));
    }
    let mut digest = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(read)? {
            0 => break,
            n => digest.update(&buffer[..n]),
        }
    }
    Ok((found, hex(&digest.finalize())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, b| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{b:02x}");
        text
    })
}
