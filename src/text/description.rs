//! `bundle.json` of a text model, and the files that it lists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::error::Error;
use crate::model::bundle::{Fault, Validity, check_norm, check_texts, fault};
use crate::model::{self, DESCRIPTION, FORMAT, FileEntry, ListedFiles, TEXT_KIND};

pub const IMAGE_TOWER: &str = "image_tower.onnx";
pub const CLASS_HEAD: &str = "class_head.onnx";
pub const TEXT_TOWER: &str = "text_tower.onnx";
pub const TOKENIZER: &str = "tokenizer.json";

const FILES: [&str; 4] = [IMAGE_TOWER, CLASS_HEAD, TEXT_TOWER, TOKENIZER];
/// Families that this version reads.
const FAMILIES: [&str; 1] = ["owlv2"];
const MAX_SIDE: usize = 4096;
const MAX_PATCHES: usize = 1 << 16;
const MAX_CHANNELS: usize = 4096;
const MAX_TOKENS: usize = 1024;

/// Content of `bundle.json`. Unknown fields are ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct Fields {
    pub name: String,
    pub family: String,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub licence: String,
    /// Side of the square picture that the image tower takes, in pixels.
    pub image_size: usize,
    /// Mean of each channel, on the scale from 0 to 255.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, on the scale from 0 to 255.
    pub std: [f32; 3],
    /// Level of the padding below and to the right of the image, from 0 to 255.
    pub padding: f32,
    /// Number of boxes that the image tower proposes.
    pub patches: usize,
    /// Number of values of the features of a phrase.
    pub channels: usize,
    /// Number of tokens that the text tower takes, with start, end and padding.
    pub tokens: usize,
    pub pad_token: u32,
    /// Default of the least score of a box.
    pub min_score: f32,
    /// Default of the largest IoU of two boxes of one phrase.
    pub nms_iou: f32,
    files: BTreeMap<String, FileEntry>,
}

/// The bundle of a text model.
#[derive(Debug, Clone)]
pub struct TextBundle {
    pub folder: PathBuf,
    pub fields: Fields,
    pub files: ListedFiles,
    /// Hash of all files, whether the folder has the text tower or not.
    pub hash: Arc<str>,
}

impl TextBundle {
    /// Reads and checks the description of a bundle. `path` is its folder, or its `bundle.json`.
    ///
    /// # Errors
    /// [`Error::NoTextModel`] for another kind of folder or bundle, [`Error::Field`] for the first field with an invalid value.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let no_model = |found: String| Error::NoTextModel { path: path.to_owned(), found };
        let is_description = path.file_name().is_some_and(|name| name == DESCRIPTION);
        let folder = if is_description { path.parent().unwrap_or(Path::new("")) } else { path };
        if !path.exists() {
            return Err(no_model("there is no such folder".to_owned()));
        }
        if !folder.join(DESCRIPTION).is_file() {
            return Err(no_model(format!("it has no {DESCRIPTION}")));
        }
        let text = ListedFiles::description(folder, DESCRIPTION)?;
        let json: serde_json::Value =
            serde_json::from_slice(&text).map_err(|e| no_model(format!("{DESCRIPTION}: {e}")))?;
        let of = |field: &str| json.get(field).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let file = folder.join(DESCRIPTION);
        match json.get("format").and_then(serde_json::Value::as_u64) {
            Some(found) if found > FORMAT => {
                let file = file.display().to_string();
                return Err(model::Error::NewerFormat { file, found, newest: FORMAT }.into());
            }
            Some(_) => {}
            None => return Err(no_model(format!("{DESCRIPTION} has no whole number `format`"))),
        }
        if of("kind") != TEXT_KIND {
            return Err(no_model(format!(
                "it is a bundle of the family {}, which makes masks of prompts",
                of("family")
            )));
        }
        let fields: Fields = serde_json::from_value(json).map_err(|e| no_model(format!("{DESCRIPTION}: {e}")))?;
        let invalid = |Fault { field, found, expected }| Error::Field { path: file.clone(), field, found, expected };
        fields.check().map_err(invalid)?;
        let files = ListedFiles::new(folder, fields.files.clone());
        let files = files.map_err(|(found, expected)| invalid(Fault { field: "files", found, expected }))?;
        let hash = files.hash(&FILES).into();
        Ok(TextBundle { folder: folder.to_owned(), fields, files, hash })
    }

    /// Returns the first file of the text tower that the folder does not have; none if it has the whole text tower.
    pub fn missing_text_file(&self) -> Option<&'static str> {
        [TEXT_TOWER, TOKENIZER].into_iter().find(|name| !self.files.has(name))
    }
}

impl Fields {
    /// Checks the values.
    fn check(&self) -> Validity {
        if !FAMILIES.contains(&self.family.as_str()) {
            return fault("family", self.family.clone(), format!("a text model of {}", FAMILIES.join(", ")));
        }
        let sizes = [
            ("image_size", self.image_size, MAX_SIDE),
            ("patches", self.patches, MAX_PATCHES),
            ("channels", self.channels, MAX_CHANNELS),
            ("tokens", self.tokens, MAX_TOKENS),
        ];
        if let Some((field, found, most)) = sizes.into_iter().find(|(_, found, most)| !(1..=*most).contains(found)) {
            return fault(field, found.to_string(), format!("1 to {most}"));
        }
        check_texts(&[("name", &self.name), ("source", &self.source), ("licence", &self.licence)])?;
        check_norm(&self.mean, &self.std)?;
        if !(0.0..=255.0).contains(&self.padding) {
            return fault("padding", self.padding.to_string(), "0 to 255");
        }
        let shares = [("min_score", self.min_score), ("nms_iou", self.nms_iou)];
        if let Some((field, found)) = shares.into_iter().find(|(_, found)| !(0.0..=1.0).contains(found)) {
            return fault(field, found.to_string(), "0 to 1");
        }
        match FILES.iter().find(|name| !self.files.contains_key(**name)) {
            Some(name) => fault("files", format!("without {name}"), "an entry for it"),
            None => Ok(()),
        }
    }
}
