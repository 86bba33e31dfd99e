//! Description of a model: sizes, prompts, rules, from the description of a bundle (`from_bundle`) or from the graphs alone
//! (`from_graphs`).

mod from_bundle;
mod from_graphs;
mod rules;

use super::bundle::Variant;
use super::candidates::DynamicMultimask;
use super::grid_defaults::GridDefaults;
use super::layout::Signature;
use super::memory::MemoryInfo;
use crate::pixels::{InputSpec, Resize};
use crate::prompt::{Label, Prompt};

/// Everything about a model that does not need its sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    pub name: String,
    pub family: String,
    pub source: String,
    pub licence: String,
    /// Name of the decoder's layout.
    pub layout: &'static str,
    /// Side of the encoder's square picture, in pixels.
    pub image_size: usize,
    pub resize: Resize,
    /// Mean of each channel, on the scale from 0 to 255.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, on the scale from 0 to 255.
    pub std: [f32; 3],
    /// Shape of the image embedding, `[1, C, h, w]`.
    pub embedding_shape: Vec<usize>,
    /// Side of the square of low-resolution logits, in cells.
    pub low_res_size: usize,
    /// Threshold of the masks: logits above it are inside.
    pub mask_threshold: f32,
    /// Number of candidate masks for an ambiguous prompt.
    pub candidates: usize,
    /// Whether the decoder's first mask is the mask for clear prompts; the candidates follow.
    pub single_mask: bool,
    /// Whether clear prompts are answered by the best candidate too, instead of the single mask.
    pub multimask_for_several_prompts: bool,
    /// SAM 2: the rule by which the best candidate replaces a single mask that is not stable.
    pub dynamic_multimask: Option<DynamicMultimask>,
    /// SAM 2: the corners of a box come before the points, and a pad token ends every list.
    pub box_as_points: bool,
    /// SAM 2: returned low-resolution logits are clamped to the range from `-low_res_limit` to `low_res_limit`.
    pub low_res_limit: Option<f32>,
    pub takes_points: bool,
    /// Whether the model takes points outside of the object.
    pub takes_background: bool,
    /// Whether the model takes points together with a box only. Without a box some exports give the decoder undefined tokens.
    pub points_need_box: bool,
    pub takes_boxes: bool,
    pub takes_masks: bool,
    /// Most points and box corners of an object.
    pub max_tokens: Option<usize>,
    /// Side of the square in whose pixels the decoder takes coordinates. For most models that is `image_size`.
    pub prompt_side: usize,
    /// Whether several objects share one run of the decoder.
    pub batched: bool,
    /// Defaults of the automatic mask generator.
    pub grid_defaults: GridDefaults,
    /// Description of the memory, if the bundle has one.
    pub memory: Option<MemoryInfo>,
    /// Faults of the graphs that opening the model detected, as sentences for people.
    pub notes: Vec<String>,
    /// Variants of the bundle. Empty for graphs without a bundle.
    pub variants: Vec<Variant>,
    /// Inputs and outputs of the image encoder.
    pub encoder: Signature,
    /// Inputs and outputs of the mask decoder.
    pub decoder: Signature,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Hash of the hashes in the bundle's description, 16 hexadecimal digits. Empty for graphs without a bundle.
    pub hash: String,
}

impl ModelInfo {
    /// Returns size and normalisation of the picture that the encoder takes.
    pub fn input_spec(&self) -> InputSpec {
        InputSpec { side: self.image_size as u32, resize: self.resize, mean: self.mean, std: self.std }
    }

    /// Returns the kinds of prompts that the model takes, in words.
    pub fn takes(&self) -> String {
        let points = match (self.points_need_box, self.takes_background) {
            (true, _) => "points together with a box",
            (false, true) => "points",
            (false, false) => "foreground points",
        };
        let kinds = [(self.takes_points, points), (self.takes_boxes, "boxes"), (self.takes_masks, "masks")];
        let mut takes = kinds.iter().filter(|(takes, _)| *takes).map(|(_, kind)| *kind).collect::<Vec<_>>().join(", ");
        if let Some(most) = self.max_tokens {
            takes.push_str(&format!("; at most {most} points for an object, a box counts as two"));
        }
        takes
    }

    /// Returns why the model cannot decode a grid of clicks, in words; none if it can.
    pub fn grid_refusal(&self) -> Option<String> {
        let name = &self.name;
        if !self.takes_points || self.points_need_box {
            return Some(format!("the model {name} takes {}, and a grid needs points alone", self.takes()));
        }
        let alone =
            "decodes one object at a time, and a grid needs many in one run; export it again with promptseg-export";
        (!self.batched).then(|| format!("the model {name} {alone}"))
    }

    /// Returns the part of a prompt that the model does not take, in words; none if the model takes the whole prompt.
    pub fn refusal(&self, prompt: &Prompt) -> Option<&'static str> {
        let tokens = prompt.points.len() + 2 * usize::from(prompt.bbox.is_some());
        let background = prompt.points.iter().any(|p| p.label == Label::Background);
        [
            (!prompt.points.is_empty() && !self.takes_points, "point prompts"),
            (background && !self.takes_background, "background points"),
            (!prompt.points.is_empty() && prompt.bbox.is_none() && self.points_need_box, "points without a box"),
            (prompt.bbox.is_some() && !self.takes_boxes, "box prompts"),
            (prompt.mask.is_some() && !self.takes_masks, "mask prompts"),
            (self.max_tokens.is_some_and(|most| tokens > most), "that many points"),
        ]
        .into_iter()
        .find_map(|(refused, part)| refused.then_some(part))
    }
}
