//! The fields of `bundle.json`: those of all text models, and those of each family.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Value;

use crate::model::FileEntry;
use crate::model::bundle::{Validity, check_norm, check_texts, fault};

pub const IMAGE_TOWER: &str = "image_tower.onnx";
pub const CLASS_HEAD: &str = "class_head.onnx";
pub const DETECTOR: &str = "detector.onnx";
pub const TEXT_TOWER: &str = "text_tower.onnx";
pub const TOKENIZER: &str = "tokenizer.json";

/// Names of the families that this version reads.
const FAMILIES: [&str; 2] = ["owlv2", "sam3"];
const MAX_SIDE: usize = 4096;
const MAX_PROPOSALS: usize = 1 << 16;
const MAX_QUERIES: usize = 4096;
const MAX_CHANNELS: usize = 4096;
const MAX_TOKENS: usize = 1024;

/// Content of `bundle.json`. Unknown fields are ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct Fields {
    pub name: String,
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
    /// Number of values of the features of a phrase, or of each of its tokens.
    pub channels: usize,
    /// Number of tokens that the text tower takes, with start, end and padding.
    pub tokens: usize,
    pub pad_token: u32,
    /// Default of the least score of an object.
    pub min_score: f32,
    /// Largest difference of each output from the reference implementation, as a fraction of its range.
    #[serde(default)]
    pub parity: BTreeMap<String, f64>,
    pub files: BTreeMap<String, FileEntry>,
    #[serde(skip)]
    pub family: Family,
}

/// Fields of the families.
#[derive(Debug, Clone)]
pub enum Family {
    /// Phrases to boxes.
    Owlv2(Owlv2Fields),
    /// SAM 3's image model: phrases to masks.
    Sam3(Sam3Fields),
    /// A family that this version does not read, by its name.
    Unknown(String),
}

/// Fields of OWLv2.
#[derive(Debug, Clone, Deserialize)]
pub struct Owlv2Fields {
    /// Level of the padding below and to the right of the image, from 0 to 255.
    pub padding: f32,
    /// Number of boxes that the image tower proposes.
    pub patches: usize,
    /// Default of the largest IoU of two boxes of one phrase.
    pub nms_iou: f32,
}

/// Fields of SAM 3's image model.
#[derive(Debug, Clone, Deserialize)]
pub struct Sam3Fields {
    /// Sides of the feature maps of the image tower, in cells.
    pub levels: [usize; 3],
    /// Number of masks that the detector proposes for a phrase.
    pub queries: usize,
    /// Side of the masks that the detector computes, in cells.
    pub mask_size: usize,
    /// A pixel belongs to a mask above this, from 0 to 1.
    pub mask_threshold: f32,
}

impl Default for Family {
    fn default() -> Self {
        Family::Unknown(String::new())
    }
}

impl Family {
    pub fn name(&self) -> &str {
        match self {
            Family::Owlv2(_) => FAMILIES[0],
            Family::Sam3(_) => FAMILIES[1],
            Family::Unknown(name) => name,
        }
    }

    /// Returns the names of the files that a bundle must list.
    pub fn files(&self) -> [&'static str; 4] {
        let network = if matches!(self, Family::Sam3(_)) { DETECTOR } else { CLASS_HEAD };
        [IMAGE_TOWER, network, TEXT_TOWER, TOKENIZER]
    }
}

impl Fields {
    /// Reads the fields of a description.
    ///
    /// # Errors
    /// A field is missing, or has another type.
    pub fn read(json: &Value) -> Result<Self, serde_json::Error> {
        let fields = Fields::deserialize(json)?;
        let name = json.get("family").and_then(Value::as_str);
        let family = match name.ok_or_else(|| serde_json::Error::custom("missing field `family`"))? {
            "owlv2" => Family::Owlv2(Owlv2Fields::deserialize(json)?),
            "sam3" => Family::Sam3(Sam3Fields::deserialize(json)?),
            other => Family::Unknown(other.to_owned()),
        };
        Ok(Fields { family, ..fields })
    }

    /// Checks the values.
    pub fn check(&self) -> Validity {
        self.check_family()?;
        let sizes = [
            ("image_size", self.image_size, MAX_SIDE),
            ("channels", self.channels, MAX_CHANNELS),
            ("tokens", self.tokens, MAX_TOKENS),
        ];
        check_sizes(&sizes)?;
        check_texts(&[("name", &self.name), ("source", &self.source), ("licence", &self.licence)])?;
        check_norm(&self.mean, &self.std)?;
        check_shares(&[("min_score", self.min_score)])?;
        match self.family.files().iter().find(|name| !self.files.contains_key(**name)) {
            Some(name) => fault("files", format!("without {name}"), "an entry for it"),
            None => Ok(()),
        }
    }

    fn check_family(&self) -> Validity {
        match &self.family {
            Family::Owlv2(Owlv2Fields { padding, patches, nms_iou }) => {
                check_sizes(&[("patches", *patches, MAX_PROPOSALS)])?;
                if !(0.0..=255.0).contains(padding) {
                    return fault("padding", padding.to_string(), "0 to 255");
                }
                check_shares(&[("nms_iou", *nms_iou)])
            }
            Family::Sam3(Sam3Fields { levels, queries, mask_size, mask_threshold }) => {
                check_sizes(&levels.map(|side| ("levels", side, MAX_SIDE)))?;
                check_sizes(&[("queries", *queries, MAX_QUERIES), ("mask_size", *mask_size, MAX_SIDE)])?;
                check_shares(&[("mask_threshold", *mask_threshold)])
            }
            Family::Unknown(name) => fault("family", name.clone(), format!("a text model of {}", FAMILIES.join(", "))),
        }
    }
}

fn check_sizes(sizes: &[(&'static str, usize, usize)]) -> Validity {
    match sizes.iter().find(|(_, found, most)| !(1..=*most).contains(found)) {
        Some((field, found, most)) => fault(field, found.to_string(), format!("1 to {most}")),
        None => Ok(()),
    }
}

fn check_shares(shares: &[(&'static str, f32)]) -> Validity {
    match shares.iter().find(|(_, found)| !(0.0..=1.0).contains(found)) {
        Some((field, found)) => fault(field, found.to_string(), "0 to 1"),
        None => Ok(()),
    }
}
