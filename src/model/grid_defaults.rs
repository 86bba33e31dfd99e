//! Defaults of the automatic mask generator for a model.

use serde::{Deserialize, Serialize};

/// Defaults of the automatic mask generator for a model: those of the bundle, or of the reference for the model's family.
///
/// A bundle names them in `everything`, each field or some of them, because predicted IoU and stability of a small model are lower
/// than those of SAM.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GridDefaults {
    /// Clicks along each side of an image.
    pub points_per_side: u32,
    /// A mask is kept if its predicted IoU is above this.
    pub pred_iou_thresh: f32,
    /// A mask is kept if its stability score is at least this.
    pub stability_score_thresh: f32,
}

impl Default for GridDefaults {
    /// The defaults of `SamAutomaticMaskGenerator`.
    fn default() -> Self {
        GridDefaults { points_per_side: 32, pred_iou_thresh: 0.88, stability_score_thresh: 0.95 }
    }
}

impl GridDefaults {
    /// Returns the defaults of the reference for a family: those of `SAM2AutomaticMaskGenerator` for SAM 2, EdgeTAM,
    /// EfficientTAM and SAM 3.
    pub fn of_family(family: &str) -> Self {
        if family.starts_with("sam2") || ["edgetam", "efficienttam", "sam3"].contains(&family) {
            GridDefaults { pred_iou_thresh: 0.8, ..GridDefaults::default() }
        } else {
            GridDefaults::default()
        }
    }

    /// Returns the name and the value of a field that is out of range; none if all are in range.
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let thresholds = [
            ("everything.pred_iou_thresh", self.pred_iou_thresh),
            ("everything.stability_score_thresh", self.stability_score_thresh),
        ];
        let outside = thresholds.into_iter().find(|(_, v)| !(0.0..=1.0).contains(v));
        let no_grid = !(1..=256).contains(&self.points_per_side);
        let points = no_grid.then(|| ("everything.points_per_side", self.points_per_side.to_string()));
        points.or(outside.map(|(name, v)| (name, v.to_string())))
    }
}
