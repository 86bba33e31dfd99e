//! Arguments for the automatic mask generator. The parameters of the reference have the reference's names.

use std::path::PathBuf;
use std::sync::Arc;

use promptseg::everything::Settings;
use promptseg::everything::overlap::{Overlap, Parts, Priority};
use promptseg::everything::search::{Search, Within};
use promptseg::pixels::{Mask, MaskInput, PixelRect};
use promptseg::prompt::BoxPrompt;

use crate::failure::Failure;
use crate::pictures::read_mask;

const GENERATOR: &str = "Generator";
const SEARCH: &str = "Search";

/// Parameters of the generator. `None` is the default of the command.
#[derive(clap::Args)]
#[command(next_help_heading = GENERATOR)]
pub struct GeneratorArguments {
    /// Clicks along each side of the image [default: of the model, 32 or 16 for tiny; proposals: 64].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    points_per_side: Option<u32>,
    /// Clicks in one run of the decoder [default: 64].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    points_per_batch: Option<usize>,
    /// Keep masks with a predicted IoU above this, 0 to 1; 0 keeps all [default: of the model, 0.88 for SAM, 0.8 for SAM 2, 0.7 for tiny; proposals: 0].
    #[arg(long, value_name = "IOU", allow_negative_numbers = true)]
    pred_iou_thresh: Option<f32>,
    /// Keep masks with at least this stability score, 0 to 1; 0 keeps all [default: of the model, 0.95 or 0.85 for tiny; proposals: 0].
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    stability_score_thresh: Option<f32>,
    /// Shift of the mask threshold for the stability score, in logits [default: 1].
    #[arg(long, value_name = "LOGITS", allow_negative_numbers = true)]
    stability_score_offset: Option<f32>,
    /// Of two masks whose boxes overlap with an IoU above this, drop the less certain mask [default: 0.7; proposals: 0.9].
    #[arg(long, value_name = "IOU", allow_negative_numbers = true)]
    box_nms_thresh: Option<f64>,
    /// Layers of crops beside the whole image; layer L has 4^L crops, and each crop is encoded separately [default: 0].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    crop_n_layers: Option<u32>,
    /// As --box-nms-thresh, for masks of different crops; the mask of the smaller crop stays [default: 0.7; proposals: 0.9].
    #[arg(long, value_name = "IOU", allow_negative_numbers = true)]
    crop_nms_thresh: Option<f64>,
    /// Overlap of the crops of the first layer, as a share of the short side of the image [default: 512/1500].
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    crop_overlap_ratio: Option<f64>,
    /// Layer L has points-per-side / N^L clicks along each side of a crop [default: 1].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    crop_n_points_downscale_factor: Option<u32>,
    /// Fill holes and remove islands with fewer pixels than this [default: 0].
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    min_mask_region_area: Option<u32>,
    /// SAM 2: decode every mask a second time, with the mask itself as a prompt.
    #[arg(long)]
    use_m2m: bool,
    /// One mask for each click instead of three.
    #[arg(long)]
    single_mask: bool,
    /// Most memory of one run of the decoder, in megabytes; fewer clicks share a run if they need more [default: 512].
    #[arg(long, value_name = "MB", allow_negative_numbers = true)]
    batch_megabytes: Option<usize>,
    /// Order of the clicks: all, or a quarter of them first and then those on pixels without a mask.
    #[arg(long, value_enum, default_value_t = Order::Grid, help_heading = SEARCH)]
    search: Order,
    /// Click inside this part of the image only: two corners in pixels.
    #[arg(long, value_name = "X0,Y0,X1,Y1", allow_hyphen_values = true, help_heading = SEARCH)]
    region: Option<BoxPrompt>,
    /// Click inside this mask only: a picture of the image's size, black outside and one other colour inside.
    #[arg(long, value_name = "FILE", conflicts_with = "region", help_heading = SEARCH)]
    region_mask: Option<PathBuf>,
    /// Use this box of a detector instead of a grid of clicks: two corners in pixels. Repeatable.
    #[arg(long = "box", value_name = "X0,Y0,X1,Y1", allow_hyphen_values = true, conflicts_with = "search", help_heading = SEARCH)]
    boxes: Vec<BoxPrompt>,
}

/// Order in which a grid is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Order {
    Grid,
    CoarseToFine,
}

/// Arguments for masks that share pixels. Without them masks are told apart by their boxes alone, as in the reference.
#[derive(clap::Args)]
#[command(next_help_heading = "Masks that share pixels")]
pub struct OverlapArguments {
    /// Of two masks with an IoU above this, drop the less certain mask; 0.8 drops near-duplicates [default: none].
    #[arg(long, value_name = "IOU", allow_negative_numbers = true)]
    mask_nms_thresh: Option<f32>,
    /// Keep a mask that lies inside a larger mask, with the id of its whole (`part_of`), or drop the less certain of both.
    #[arg(long, value_enum)]
    parts: Option<PartsChoice>,
    /// A mask is a part if more than this share of its pixels lies inside the larger mask [default: 0.9].
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, requires = "parts")]
    part_thresh: Option<f32>,
    /// Give each pixel to one mask only: the more certain mask, or the larger mask.
    #[arg(long, value_enum, value_name = "FIRST")]
    disjoint: Option<PriorityChoice>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PartsChoice {
    Keep,
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PriorityChoice {
    Certain,
    Large,
}

impl GeneratorArguments {
    /// Returns the files that the arguments name.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.region_mask.iter()
    }

    /// Returns the settings of the generator; `defaults` are used for the arguments that are not given.
    ///
    /// # Errors
    /// A value is out of range, or the mask of the region cannot be read.
    pub fn settings(&self, defaults: Settings) -> Result<Settings, Failure> {
        let search = match self.search {
            _ if !self.boxes.is_empty() => Search::Boxes(self.boxes.clone()),
            Order::Grid => Search::Grid,
            Order::CoarseToFine => Search::CoarseToFine,
        };
        let settings = Settings {
            points_per_side: self.points_per_side.unwrap_or(defaults.points_per_side),
            points_per_batch: self.points_per_batch.unwrap_or(defaults.points_per_batch),
            batch_megabytes: self.batch_megabytes.unwrap_or(defaults.batch_megabytes),
            pred_iou_thresh: self.pred_iou_thresh.unwrap_or(defaults.pred_iou_thresh),
            stability_score_thresh: self.stability_score_thresh.unwrap_or(defaults.stability_score_thresh),
            stability_score_offset: self.stability_score_offset.unwrap_or(defaults.stability_score_offset),
            box_nms_thresh: self.box_nms_thresh.unwrap_or(defaults.box_nms_thresh),
            crop_n_layers: self.crop_n_layers.unwrap_or(defaults.crop_n_layers),
            crop_nms_thresh: self.crop_nms_thresh.unwrap_or(defaults.crop_nms_thresh),
            crop_overlap_ratio: self.crop_overlap_ratio.unwrap_or(defaults.crop_overlap_ratio),
            crop_n_points_downscale_factor: self
                .crop_n_points_downscale_factor
                .unwrap_or(defaults.crop_n_points_downscale_factor),
            min_mask_region_area: self.min_mask_region_area.unwrap_or(defaults.min_mask_region_area),
            use_m2m: self.use_m2m || defaults.use_m2m,
            multimask_output: !self.single_mask && defaults.multimask_output,
            search,
            within: self.within()?,
            ..defaults
        };
        settings.check().map_err(|e| Failure::Usage(e.to_string()))?;
        Ok(settings)
    }

    /// Returns the part of the image in which the generator clicks.
    fn within(&self) -> Result<Option<Within>, Failure> {
        if let Some(file) = &self.region_mask {
            let mask = match read_mask(file)? {
                MaskInput::Binary { width, height, data } => Mask::from_data(width, height, &data),
                MaskInput::Logits { .. } => None,
            };
            let mask = mask.ok_or_else(|| format!("{}: expected a picture with a mask", file.display()))?;
            return Ok(Some(Within::Mask(Arc::new(mask))));
        }
        Ok(self.region.as_ref().map(|region| Within::Rect(whole_pixels(region))))
    }
}

/// Returns the pixels that a box touches, without those left of the image or above it.
fn whole_pixels(region: &BoxPrompt) -> PixelRect {
    // Numbers beyond the range of u32 are clamped.
    let (x, y) = (region.x_min.floor() as u32, region.y_min.floor() as u32);
    let (right, bottom) = (region.x_max.ceil() as u32, region.y_max.ceil() as u32);
    PixelRect { x, y, width: right.saturating_sub(x), height: bottom.saturating_sub(y) }
}

impl OverlapArguments {
    /// Returns settings with these arguments.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn apply(&self, settings: Settings) -> Result<Settings, Failure> {
        let defaults = Overlap::default();
        let parts = match self.parts {
            Some(PartsChoice::Drop) => Parts::Drop,
            Some(PartsChoice::Keep) | None => Parts::Keep,
        };
        let overlap = Overlap {
            // No IoU is above 1.
            iou: self.mask_nms_thresh.unwrap_or(1.0),
            part: self.part_thresh.unwrap_or(defaults.part),
            parts,
        };
        let is_used = self.mask_nms_thresh.is_some() || self.parts.is_some();
        let disjoint = self.disjoint.map(|first| match first {
            PriorityChoice::Certain => Priority::Certain,
            PriorityChoice::Large => Priority::Large,
        });
        let settings = Settings { mask_nms: is_used.then_some(overlap), disjoint, ..settings };
        settings.check().map_err(|e| Failure::Usage(e.to_string()))?;
        Ok(settings)
    }
}
