//! The bundle: one folder with everything that one model needs, described by `bundle.json` and verified by hash.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::candidates::DynamicMultimask;
use super::memory::Section;
use super::variant::{Precision, Variant};
use super::{Error, Provider, file};
use crate::pixels::Resize;

/// The newest `format` that this version reads.
pub const FORMAT: u64 = 2;
pub const DESCRIPTION: &str = "bundle.json";
pub const ENCODER: &str = "image_encoder.onnx";
pub const DECODER: &str = "mask_decoder.onnx";
pub const PROMPT_ENCODER: &str = "prompt_encoder.safetensors";
pub const MEMORY_ATTENTION: &str = "memory_attention.onnx";
pub const MEMORY_ENCODER: &str = "memory_encoder.onnx";
pub const MEMORY_WEIGHTS: &str = "memory.safetensors";

/// Side of the encoder's square: larger ones are a mistake, and would take gigabytes.
pub(super) const MAX_IMAGE_SIZE: usize = 8192;
pub(super) const MAX_CHANNELS: usize = 4096;
pub(super) const MAX_CELLS: usize = 1024;
pub(super) const MAX_LOW_RES: usize = 4096;
pub(super) const MAX_CANDIDATES: usize = 64;

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
    /// SAM 2: what its memory was made for. Bundles without it follow nothing through a video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Section>,
    /// As the exporter measured it against PyTorch, for bundles without variants.
    #[serde(default)]
    parity: BTreeMap<String, f64>,
    /// fp32 among them. Where the description names none, it is fp32 alone, in [`ENCODER`] and [`DECODER`].
    #[serde(default)]
    pub variants: Vec<Variant>,
    pub files: BTreeMap<String, FileEntry>,
}

/// Where the files of a bundle are.
#[derive(Debug, Clone)]
enum Source {
    Folder(PathBuf),
    Memory(&'static [(&'static str, &'static [u8])]),
}

/// A bundle whose description was read and whose files are there, with the sizes that it says. Hashes are checked when
/// a file is used: of several variants one runs.
#[derive(Debug, Clone)]
pub struct Bundle {
    pub manifest: Manifest,
    source: Source,
    /// Files whose hash was found right.
    verified: RefCell<BTreeSet<String>>,
}

impl Bundle {
    /// Reads `folder/bundle.json` and looks for every file that it lists.
    ///
    /// # Errors
    /// Names the file and the two values when a file is missing or has another size, or when the description is of a
    /// newer format or contradicts itself.
    pub fn open(folder: &Path) -> Result<Bundle, Error> {
        let bundle = Self::describe(folder)?;
        for (name, entry) in &bundle.manifest.files {
            bundle.check_size(name, entry)?;
        }
        Ok(bundle)
    }

    /// The bundle's folder where `path` is one, or its `bundle.json`, or its image encoder in fp32.
    pub fn folder_of(path: &Path) -> Option<PathBuf> {
        if path.file_name().is_some_and(|name| name == DESCRIPTION) {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            return Some(folder.unwrap_or(Path::new(".")).to_owned());
        }
        if path.join(DESCRIPTION).exists() {
            return Some(path.to_owned());
        }
        let beside = path.with_file_name(DESCRIPTION);
        if !path.is_file() || !beside.exists() {
            return None;
        }
        let folder = Self::folder_of(&beside)?;
        // One that is damaged is to be told.
        let encoder = Self::describe(&folder).map_or(true, |bundle| {
            let plain = bundle.manifest.variants.iter().find(|v| v.precision == Precision::Fp32);
            plain.is_some_and(|v| path.file_name().is_some_and(|name| name == v.encoder.as_str()))
        });
        encoder.then_some(folder)
    }

    /// Reads `folder/bundle.json` without a look at the files.
    pub fn describe(folder: &Path) -> Result<Bundle, Error> {
        let path = folder.join(DESCRIPTION);
        let text = file::read(&path, file::MAX_DESCRIPTION)?;
        let manifest = Manifest::parse(&text, &path.display().to_string())?;
        Ok(Bundle { manifest, source: Source::Folder(folder.to_owned()), verified: RefCell::default() })
    }

    /// A bundle that is part of the executable: name and content of each file.
    pub fn embedded(files: &'static [(&'static str, &'static [u8])]) -> Result<Bundle, Error> {
        let text = files.iter().find(|(name, _)| *name == DESCRIPTION).map(|(_, content)| *content);
        let text = text.ok_or_else(|| Error::MissingFile { file: format!("embedded {DESCRIPTION}") })?;
        let manifest = Manifest::parse(text, &format!("embedded {DESCRIPTION}"))?;
        Ok(Bundle { manifest, source: Source::Memory(files), verified: RefCell::default() })
    }

    /// Checks size and hash of a file, and of its weights where it is a graph. Once only.
    ///
    /// # Errors
    /// Names the file and the two values.
    pub fn verify(&self, name: &str) -> Result<(), Error> {
        for (file, entry) in self.manifest.with_weights(name) {
            if !self.verified.borrow().contains(file) {
                self.check_size(file, entry)?;
                self.check_hash(file, entry)?;
                self.verified.borrow_mut().insert(file.clone());
            }
        }
        Ok(())
    }

    /// The folder, or none where the bundle is part of the executable.
    pub fn folder(&self) -> Option<&Path> {
        match &self.source {
            Source::Folder(folder) => Some(folder),
            Source::Memory(_) => None,
        }
    }

    /// The path of a file where the bundle is a folder: ONNX Runtime reads it itself, with the weights beside it.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.folder().map(|folder| folder.join(name))
    }

    /// The verified content of a file.
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>, Error> {
        self.verify(name)?;
        match &self.source {
            Source::Folder(folder) => file::read(&folder.join(name), file::limit(name)).map(Cow::Owned),
            Source::Memory(files) => self.embedded_file(files, name).map(Cow::Borrowed),
        }
    }

    fn embedded_file(
        &self,
        files: &'static [(&'static str, &'static [u8])],
        name: &str,
    ) -> Result<&'static [u8], Error> {
        let found = files.iter().find(|(file, _)| *file == name).map(|(_, content)| *content);
        found.ok_or_else(|| Error::MissingFile { file: self.label(name) })
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

    fn check_size(&self, name: &str, entry: &FileEntry) -> Result<(), Error> {
        let found = match &self.source {
            Source::Folder(folder) => file::size(&folder.join(name)).map_err(|e| match e {
                Error::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                    Error::MissingFile { file: self.label(name) }
                }
                other => other,
            })?,
            Source::Memory(files) => self.embedded_file(files, name)?.len() as u64,
        };
        if found == entry.bytes {
            return Ok(());
        }
        Err(Error::FileSize { file: self.label(name), found, expected: entry.bytes })
    }

    fn check_hash(&self, name: &str, entry: &FileEntry) -> Result<(), Error> {
        let found = match &self.source {
            Source::Folder(folder) => hash_file(&folder.join(name))?,
            Source::Memory(files) => hex(&Sha256::digest(self.embedded_file(files, name)?)),
        };
        if found.eq_ignore_ascii_case(&entry.sha256) {
            return Ok(());
        }
        Err(Error::FileHash { file: self.label(name), found, expected: entry.sha256.clone() })
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
        let mut manifest: Manifest = serde_json::from_value(any).map_err(syntax)?;
        if manifest.variants.is_empty() {
            manifest.variants.push(Variant {
                precision: Precision::Fp32,
                encoder: ENCODER.to_owned(),
                decoder: DECODER.to_owned(),
                memory_attention: manifest.memory.map(|_| MEMORY_ATTENTION.to_owned()),
                memory_encoder: manifest.memory.map(|_| MEMORY_ENCODER.to_owned()),
                providers: vec![Provider::Tensorrt, Provider::Cuda, Provider::Cpu],
                parity: manifest.parity.clone(),
            });
        }
        manifest.check(file)?;
        Ok(manifest)
    }

    pub fn resize(&self) -> Resize {
        if self.resize == "stretch" { Resize::Stretch } else { Resize::Letterbox }
    }

    pub fn external(&self) -> bool {
        self.prompt_encoder == "external"
    }

    /// In which precision a graph is stored: variants may share one.
    pub fn precision_of(&self, graph: &str) -> Option<Precision> {
        let uses = |v: &&Variant| v.graphs().any(|name| name == graph);
        self.variants.iter().filter(uses).map(|v| v.precision).max()
    }

    /// A file and, where it is a graph, what may be its weights: `NAME.*` and `NAME_data`, and since graphs may name
    /// theirs as they like, whatever is neither another graph's nor read by us.
    pub(super) fn with_weights<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a String, &'a FileEntry)> {
        let graphs: BTreeSet<&str> = self.variants.iter().flat_map(Variant::graphs).collect();
        let weights_of = |graph: &str, file: &str| {
            file.strip_prefix(graph).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_']))
        };
        let belongs = move |file: &str| {
            let read = [PROMPT_ENCODER, MEMORY_WEIGHTS].contains(&file);
            let others = || graphs.iter().any(|graph| *graph != name && weights_of(graph, file));
            file == name || graphs.contains(name) && !read && !others()
        };
        self.files.iter().filter(move |(file, _)| belongs(file))
    }

    fn check(&self, file: &str) -> Result<(), Error> {
        let field = |field: &'static str, found: String, expected: &str| {
            Err(Error::BundleField { file: file.to_owned(), field, found, expected: expected.to_owned() })
        };
        if !(16..=MAX_IMAGE_SIZE).contains(&self.image_size) {
            return field("image_size", self.image_size.to_string(), &format!("16 to {MAX_IMAGE_SIZE}"));
        }
        if !self.mask_threshold.is_finite() {
            return field("mask_threshold", self.mask_threshold.to_string(), "a finite number");
        }
        // They are shown to people, and go into messages of ROS, whose strings end at a zero byte.
        for (name, text) in
            [("name", &self.name), ("family", &self.family), ("source", &self.source), ("licence", &self.licence)]
        {
            if text.chars().any(char::is_control) {
                return field(name, format!("{text:?}"), "text without control characters");
            }
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
        let [1, 1..=MAX_CHANNELS, 1..=MAX_CELLS, 1..=MAX_CELLS] = self.embedding_shape[..] else {
            let expected = format!("[1, C, h, w], C up to {MAX_CHANNELS}, h and w up to {MAX_CELLS}");
            return field("embedding_shape", format!("{:?}", self.embedding_shape), &expected);
        };
        if !(1..=MAX_LOW_RES).contains(&self.low_res_size) {
            return field("low_res_size", self.low_res_size.to_string(), &format!("1 to {MAX_LOW_RES}"));
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
        if self.candidates > MAX_CANDIDATES {
            return field("candidates", self.candidates.to_string(), &format!("at most {MAX_CANDIDATES}"));
        }
        if !self.prompts.iter().any(|kind| ["point", "box", "mask"].contains(&kind.as_str())) {
            return field("prompts", format!("{:?}", self.prompts), "one or more of point, box, mask");
        }
        // A name with a folder in it could lead out of the bundle.
        if let Some(name) = self.files.keys().find(|name| name.contains(['/', '\\']) || name.starts_with('.')) {
            return field("files", format!("`{name}`"), "plain file names");
        }
        let variants = &self.variants;
        for (i, variant) in variants.iter().enumerate() {
            if variants[..i].iter().any(|earlier| earlier.precision == variant.precision) {
                return field("variants", format!("{} twice", variant.precision), "each precision once");
            }
        }
        if variants.iter().all(|v| v.precision != Precision::Fp32) {
            return field("variants", "without fp32".to_owned(), "fp32 among them");
        }
        if let Some((name, found, expected)) = Section::fault(self) {
            return field(name, found, &expected);
        }
        let weights = [self.external().then_some(PROMPT_ENCODER), self.memory.map(|_| MEMORY_WEIGHTS)];
        for name in variants.iter().flat_map(Variant::graphs).chain(weights.into_iter().flatten()) {
            if !self.files.contains_key(name) {
                return field("files", format!("without {name}"), "an entry for it");
            }
        }
        for (name, entry) in &self.files {
            let most = file::limit(name);
            if !(1..=most).contains(&entry.bytes) {
                return field("files", format!("{} bytes for {name}", entry.bytes), &format!("1 to {most}"));
            }
            if entry.sha256.len() != 64 || !entry.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
                return field("files", format!("`{}` for {name}", entry.sha256), "a SHA-256 of 64 hexadecimal digits");
            }
        }
        Ok(())
    }
}

pub(super) fn hash_file(path: &Path) -> Result<String, Error> {
    let failed = |source: std::io::Error| Error::Read { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            n => digest.update(&buffer[..n]),
        }
    }
    Ok(hex(&digest.finalize()))
}

/// One hash for several: of one alone its own.
pub(super) fn hash_of(hashes: &[String]) -> String {
    match hashes {
        [one] => one.clone(),
        several => hex(&Sha256::digest(several.join("\n"))),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, b| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{b:02x}");
        text
    })
}
