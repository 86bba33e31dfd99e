//! Parameters of the automatic mask generator.

use thiserror::Error;

use super::overlap::{Overlap, Priority};
use super::search::{Search, Within};
use crate::model::GridDefaults;
use crate::prompt::{LowResLogits, Prompt};

/// Largest number of clicks that one image may take, over all crops.
pub const MAX_POINTS: u64 = 1 << 16;

/// Largest number of layers of crops. Layer `i` has `4^i` crops, and each crop is encoded separately.
pub const MAX_CROP_LAYERS: u32 = 4;

/// Parameters of the automatic mask generator, with the names of the reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Clicks along each side of the image: 32 are 1024 clicks.
    pub points_per_side: u32,
    /// Positions of the clicks for each layer of crops, in place of a grid: x and y as parts of the width and height of a
    /// crop. `points_per_side` and `crop_n_points_downscale_factor` are not used then.
    pub point_grids: Option<Vec<Vec<[f64; 2]>>>,
    /// Most clicks that are decoded in one go.
    pub points_per_batch: usize,
    /// Most memory of one run of the decoder, in megabytes: fewer than `points_per_batch` clicks are decoded in one go if
    /// they need more. A single click is always decoded.
    pub batch_megabytes: usize,
    /// A mask is kept if its predicted IoU is above this. 0 keeps every mask.
    pub pred_iou_thresh: f32,
    /// A mask is kept if its stability score is at least this. 0 keeps every mask.
    pub stability_score_thresh: f32,
    /// Shift of the mask threshold for the stability score, in logits.
    pub stability_score_offset: f32,
    /// Logits above this are inside a mask. `None`: the threshold of the model.
    pub mask_threshold: Option<f32>,
    /// Of two masks of one crop whose boxes overlap with an IoU above this, the less certain one is dropped.
    pub box_nms_thresh: f64,
    /// Layers of crops beside the whole image: layer `i` cuts the image into `2^i` by `2^i` crops.
    pub crop_n_layers: u32,
    /// The same as `box_nms_thresh` for masks of different crops. The mask of the smaller crop is kept.
    pub crop_nms_thresh: f64,
    /// Overlap of the crops of the first layer, as a part of the image's short side. Later layers overlap less.
    pub crop_overlap_ratio: f64,
    /// Layer `i` has `points_per_side / crop_n_points_downscale_factor^i` clicks along each side of a crop.
    pub crop_n_points_downscale_factor: u32,
    /// Holes and islands of a mask with fewer pixels than this are filled and removed. 0 changes no mask.
    pub min_mask_region_area: u32,
    /// SAM 2 only: decodes every mask a second time, with the mask itself as a prompt beside its click.
    pub use_m2m: bool,
    /// Three masks for each click. `false`: the single mask that the decoder makes for clear prompts.
    pub multimask_output: bool,
    /// What the decoder is prompted with.
    pub search: Search,
    /// Part of the image in which the generator clicks. `None`: the whole image.
    pub within: Option<Within>,
    /// Drops masks that are duplicates by their pixels, and finds parts. `None`, as in the reference: box NMS alone.
    pub mask_nms: Option<Overlap>,
    /// Gives each pixel to one mask, at last. `None`, as in the reference: masks may overlap.
    pub disjoint: Option<Priority>,
}

/// Why settings were refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SettingsError {
    #[error("{name} is 0; expected at least 1")]
    Zero { name: &'static str },
    #[error("{name} is {found}; expected a number from 0 to 1")]
    NotAPart { name: &'static str, found: f64 },
    #[error("stability_score_offset is {found}; expected a finite number of logits, 0 or more")]
    Offset { found: f32 },
    #[error("crop_n_layers is {found}; at most {MAX_CROP_LAYERS} are possible (341 crops)")]
    CropLayers { found: u32 },
    #[error("crop_overlap_ratio is {found}; expected a number from 0 to less than 1")]
    Overlap { found: f64 },
    #[error(
        "{found} clicks (points_per_side {points_per_side}, {crop_n_layers} layers of crops); at most {MAX_POINTS} are \
         possible for one image"
    )]
    TooManyPoints { points_per_side: u32, crop_n_layers: u32, found: u64 },
    #[error(
        "points_per_side {points_per_side} / crop_n_points_downscale_factor {factor} leaves no click for the crops of \
         layer {layer}"
    )]
    LayerWithoutPoints { points_per_side: u32, factor: u32, layer: u32 },
    #[error("point_grids has {found} layers; expected {expected}, one more than crop_n_layers")]
    GridLayers { found: usize, expected: usize },
    #[error("point_grids has ({x}, {y}) in layer {layer}; expected numbers from 0 to less than 1")]
    GridPoint { layer: usize, x: f64, y: f64 },
    #[error("mask_threshold is {found}; expected a finite logit")]
    MaskThreshold { found: f32 },
    #[error("no boxes to search; expected at least 1")]
    NoBoxes,
    #[error("{search} does not work together with {setting}; leave one of them out")]
    Conflict { search: &'static str, setting: &'static str },
}

impl Default for Settings {
    /// The defaults of `SamAutomaticMaskGenerator`.
    fn default() -> Self {
        let GridDefaults { points_per_side, pred_iou_thresh, stability_score_thresh } = GridDefaults::default();
        Settings {
            points_per_side,
            point_grids: None,
            points_per_batch: 64,
            batch_megabytes: 512,
            pred_iou_thresh,
            stability_score_thresh,
            stability_score_offset: 1.0,
            mask_threshold: None,
            box_nms_thresh: 0.7,
            crop_n_layers: 0,
            crop_nms_thresh: 0.7,
            crop_overlap_ratio: 512.0 / 1500.0,
            crop_n_points_downscale_factor: 1,
            min_mask_region_area: 0,
            use_m2m: false,
            multimask_output: true,
            search: Search::Grid,
            within: None,
            mask_nms: None,
            disjoint: None,
        }
    }
}

impl Settings {
    /// The defaults for a model ([`ModelInfo::grid_defaults`](crate::model::ModelInfo::grid_defaults)): for SAM those of
    /// `SamAutomaticMaskGenerator`, for SAM 2 those of `SAM2AutomaticMaskGenerator`.
    pub fn for_model(defaults: GridDefaults) -> Self {
        let GridDefaults { points_per_side, pred_iou_thresh, stability_score_thresh } = defaults;
        Settings { points_per_side, pred_iou_thresh, stability_score_thresh, ..Settings::default() }
    }

    /// Returns a prompt of the kinds that the decoder is prompted with, to check whether a model takes them.
    pub fn example_prompt(&self) -> Prompt {
        let mut prompt = match self.search {
            Search::Boxes(_) => Prompt::bbox(0.0, 0.0, 1.0, 1.0),
            Search::Grid | Search::CoarseToFine => Prompt::point(0.0, 0.0),
        };
        if self.use_m2m {
            prompt.mask = Some(LowResLogits { side: 0, data: [].into() });
        }
        prompt
    }

    /// Clicks along each side of a crop of `layer`; layer 0 is the whole image.
    pub fn points_per_side_of(&self, layer: u32) -> u32 {
        // The reference divides by a power in floating point and truncates, which is the same for these sizes.
        self.points_per_side / self.crop_n_points_downscale_factor.max(1).saturating_pow(layer)
    }

    /// Clicks or boxes for one image, over all crops.
    pub fn points(&self) -> u64 {
        if let Search::Boxes(boxes) = &self.search {
            return boxes.len() as u64;
        }
        let of_crop = |layer: u32| match &self.point_grids {
            Some(grids) => grids.get(layer as usize).map_or(0, |grid| grid.len() as u64),
            None => u64::from(self.points_per_side_of(layer)).pow(2),
        };
        let of_layer = |layer: u32| of_crop(layer).saturating_mul(4u64.pow(layer));
        (0..=self.crop_n_layers).map(of_layer).fold(0, u64::saturating_add)
    }

    /// Checks every parameter.
    ///
    /// # Errors
    /// The first parameter that is out of range, with its value and the range.
    pub fn check(&self) -> Result<(), SettingsError> {
        let counts = [
            ("points_per_side", self.points_per_side as usize),
            ("points_per_batch", self.points_per_batch),
            ("batch_megabytes", self.batch_megabytes),
            ("crop_n_points_downscale_factor", self.crop_n_points_downscale_factor as usize),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(SettingsError::Zero { name });
        }
        let parts = [
            ("pred_iou_thresh", f64::from(self.pred_iou_thresh)),
            ("stability_score_thresh", f64::from(self.stability_score_thresh)),
            ("box_nms_thresh", self.box_nms_thresh),
            ("crop_nms_thresh", self.crop_nms_thresh),
        ];
        let overlap = self.mask_nms.map(|o| [("mask_nms.iou", f64::from(o.iou)), ("mask_nms.part", f64::from(o.part))]);
        let parts = parts.into_iter().chain(overlap.into_iter().flatten());
        if let Some((name, found)) = parts.into_iter().find(|(_, part)| !(0.0..=1.0).contains(part)) {
            return Err(SettingsError::NotAPart { name, found });
        }
        if !self.stability_score_offset.is_finite() || self.stability_score_offset < 0.0 {
            return Err(SettingsError::Offset { found: self.stability_score_offset });
        }
        if self.crop_n_layers > MAX_CROP_LAYERS {
            return Err(SettingsError::CropLayers { found: self.crop_n_layers });
        }
        if !(0.0..1.0).contains(&self.crop_overlap_ratio) {
            return Err(SettingsError::Overlap { found: self.crop_overlap_ratio });
        }
        if let Some(found) = self.mask_threshold.filter(|threshold| !threshold.is_finite()) {
            return Err(SettingsError::MaskThreshold { found });
        }
        self.check_search()?;
        self.check_points()
    }

    /// Checks that the ways to search do not contradict each other.
    fn check_search(&self) -> Result<(), SettingsError> {
        let conflict = |search: &'static str, settings: &[(&'static str, bool)]| {
            let used = settings.iter().find(|(_, is_used)| *is_used);
            used.map_or(Ok(()), |(setting, _)| Err(SettingsError::Conflict { search, setting }))
        };
        let (grids, layers) = (self.point_grids.is_some(), self.crop_n_layers > 0);
        match &self.search {
            Search::Grid => Ok(()),
            Search::CoarseToFine => conflict("a search from coarse to fine", &[("point_grids", grids)]),
            Search::Boxes(boxes) if boxes.is_empty() => Err(SettingsError::NoBoxes),
            Search::Boxes(_) => {
                let within = self.within.is_some();
                conflict(
                    "a search in boxes",
                    &[("point_grids", grids), ("crop_n_layers", layers), ("a region", within)],
                )
            }
        }
    }

    /// Checks the number of clicks, and the positions of `point_grids`.
    fn check_points(&self) -> Result<(), SettingsError> {
        let Settings { points_per_side, crop_n_layers, crop_n_points_downscale_factor: factor, .. } = *self;
        match &self.point_grids {
            Some(grids) => {
                let expected = crop_n_layers as usize + 1;
                if grids.len() != expected {
                    return Err(SettingsError::GridLayers { found: grids.len(), expected });
                }
                let is_part = |position: &f64| (0.0..1.0).contains(position);
                for (layer, grid) in grids.iter().enumerate() {
                    if let Some([x, y]) = grid.iter().find(|point| !point.iter().all(is_part)) {
                        return Err(SettingsError::GridPoint { layer, x: *x, y: *y });
                    }
                }
                if self.points() == 0 {
                    return Err(SettingsError::Zero { name: "the number of points in point_grids" });
                }
            }
            None => {
                if let Some(layer) = (0..=crop_n_layers).find(|layer| self.points_per_side_of(*layer) == 0) {
                    return Err(SettingsError::LayerWithoutPoints { points_per_side, factor, layer });
                }
            }
        }
        let found = self.points();
        if found > MAX_POINTS {
            return Err(SettingsError::TooManyPoints { points_per_side, crop_n_layers, found });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::PixelRect;
    use crate::prompt::BoxPrompt;

    #[test]
    fn clicks_are_counted_over_all_crops() {
        let settings = Settings {
            points_per_side: 32,
            crop_n_layers: 2,
            crop_n_points_downscale_factor: 2,
            ..Settings::default()
        };
        // SA-1B: 32 x 32, 4 crops of 16 x 16, 16 crops of 8 x 8.
        assert_eq!(settings.points(), 1024 + 4 * 256 + 16 * 64);
        assert_eq!(settings.check(), Ok(()));
    }

    #[test]
    fn settings_out_of_range_are_refused_with_their_value() {
        let refused = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(refused(|s| s.points_per_side = 0).contains("points_per_side is 0"));
        assert!(refused(|s| s.points_per_batch = 0).contains("points_per_batch is 0"));
        assert!(refused(|s| s.pred_iou_thresh = 1.5).contains("pred_iou_thresh is 1.5"));
        assert!(refused(|s| s.box_nms_thresh = f64::NAN).contains("box_nms_thresh is NaN"));
        assert!(refused(|s| s.stability_score_offset = -1.0).contains("-1"));
        assert!(refused(|s| s.crop_n_layers = 5).contains("crop_n_layers is 5"));
        assert!(refused(|s| s.crop_overlap_ratio = 1.0).contains("crop_overlap_ratio is 1"));
        assert!(refused(|s| s.points_per_side = 1000).contains("1000000 clicks"));
        let without_points = |s: &mut Settings| {
            (s.points_per_side, s.crop_n_layers, s.crop_n_points_downscale_factor) = (4, 3, 2);
        };
        assert!(refused(without_points).contains("layer 3"));
        assert!(refused(|s| s.mask_threshold = Some(f32::INFINITY)).contains("mask_threshold is inf"));
        assert!(
            refused(|s| s.mask_nms = Some(Overlap { part: 1.5, ..Overlap::default() }))
                .contains("mask_nms.part is 1.5")
        );
        assert!(refused(|s| s.batch_megabytes = 0).contains("batch_megabytes is 0"));
    }

    #[test]
    fn searches_without_a_prompt_and_contradictions_are_refused() {
        let refused = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        let boxes = || Search::Boxes(vec![BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 5.0, y_max: 5.0 }]);
        assert_eq!(Settings { search: boxes(), ..Settings::default() }.points(), 1);
        assert!(refused(|s| s.search = Search::Boxes(Vec::new())).contains("no boxes"));
        let crops = Settings { search: boxes(), crop_n_layers: 1, ..Settings::default() };
        assert!(crops.check().unwrap_err().to_string().contains("boxes does not work together with crop_n_layers"));
        let region = Some(Within::Rect(PixelRect { x: 0, y: 0, width: 1, height: 1 }));
        let region = Settings { search: boxes(), within: region, ..Settings::default() };
        assert!(region.check().unwrap_err().to_string().contains("a region"));
        assert!(refused(|s| s.point_grids = Some(Vec::new())).contains("0 layers; expected 1"));
        assert!(refused(|s| s.point_grids = Some(vec![Vec::new()])).contains("is 0"));
        assert!(refused(|s| s.point_grids = Some(vec![vec![[0.5, 1.0]]])).contains("(0.5, 1) in layer 0"));
        let coarse = |s: &mut Settings| {
            (s.search, s.point_grids) = (Search::CoarseToFine, Some(vec![vec![[0.5, 0.5]]]));
        };
        assert!(refused(coarse).contains("point_grids"));
    }
}
