//! Records of the reference's mask generators, and their parameters, from the files of `tests/golden/everything`.

use promptseg::everything::unique::shared_area;
use promptseg::everything::{GeneratedMask, Settings};
use promptseg::pixels::{RunLengths, coco_string};
use serde::Deserialize;

/// The parameters that differ from the reference's defaults.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Changes {
    points_per_side: Option<u32>,
    points_per_batch: Option<usize>,
    pred_iou_thresh: Option<f32>,
    stability_score_thresh: Option<f32>,
    stability_score_offset: Option<f32>,
    mask_threshold: Option<f32>,
    box_nms_thresh: Option<f64>,
    crop_n_layers: Option<u32>,
    crop_nms_thresh: Option<f64>,
    crop_n_points_downscale_factor: Option<u32>,
    min_mask_region_area: Option<u32>,
    use_m2m: Option<bool>,
    multimask_output: Option<bool>,
}

impl Changes {
    pub fn apply(&self, defaults: Settings) -> Settings {
        macro_rules! changed {
            ($($name:ident),+) => {
                Settings { $($name: self.$name.unwrap_or(defaults.$name),)+ mask_threshold: self.mask_threshold, ..defaults }
            };
        }
        changed!(
            points_per_side,
            points_per_batch,
            pred_iou_thresh,
            stability_score_thresh,
            stability_score_offset,
            box_nms_thresh,
            crop_n_layers,
            crop_nms_thresh,
            crop_n_points_downscale_factor,
            min_mask_region_area,
            use_m2m,
            multimask_output
        )
    }
}

/// One record of the reference's generator.
#[derive(Deserialize)]
pub struct Record {
    counts: String,
    pub area: u32,
    bbox: [u32; 4],
    predicted_iou: f32,
    /// None if the reference divides 0 by 0.
    pub stability_score: Option<f32>,
    point: [f64; 2],
    pub crop_box: [u32; 4],
}

/// Largest difference of scores and positions.
const SCORE: f64 = 1e-4;

/// Compares masks with the records of the reference, in order. `least_iou` is the lowest accepted IoU of two masks; with 1
/// every pixel must be equal. Returns the lowest IoU.
pub fn compare(case: &str, found: &[GeneratedMask], expected: &[Record], least_iou: f64) -> f64 {
    assert_eq!(found.len(), expected.len(), "{case}: number of masks");
    let mut lowest = 1.0_f64;
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let name = format!("{case}, mask {index}");
        let iou = overlap(found, expected);
        assert!(iou >= least_iou, "{name}: IoU {iou} of the pixels");
        lowest = lowest.min(iou);
        let area = (f64::from(found.area) - f64::from(expected.area)).abs();
        assert!(area <= (1.0 - least_iou) * f64::from(expected.area), "{name}: area {}", found.area);
        assert_eq!(found.bbox.xywh(), expected.bbox, "{name}: box");
        let is_near = |a: f64, b: f64| (a - b).abs() <= SCORE;
        assert!(is_near(found.predicted_iou.into(), expected.predicted_iou.into()), "{name}: predicted IoU");
        let stability = expected.stability_score.unwrap_or_default();
        // A mask of a few pixels may gain or lose one, unless every pixel must be equal.
        let one_pixel = if least_iou < 1.0 { 1.0 / f64::from(expected.area.max(1)) } else { 0.0 };
        let difference = (f64::from(found.stability_score) - f64::from(stability)).abs();
        assert!(difference <= SCORE.max(one_pixel), "{name}: stability {}", found.stability_score);
        let [x, y] = found.point;
        assert!(is_near(x, expected.point[0]) && is_near(y, expected.point[1]), "{name}: click at {:?}", found.point);
        let crop = found.crop;
        // The reference writes a crop as [x, y, width, height], too.
        assert_eq!([crop.x, crop.y, crop.width, crop.height], expected.crop_box, "{name}: crop");
    }
    lowest
}

fn overlap(found: &GeneratedMask, expected: &Record) -> f64 {
    if coco_string(&found.mask.counts) == expected.counts {
        return 1.0;
    }
    let expected = RunLengths { counts: counts(&expected.counts), ..found.mask };
    let shared = shared_area(&found.mask, &expected) as f64;
    shared / (f64::from(found.area) + f64::from(expected.area()) - shared).max(1.0)
}

/// Decodes COCO's compressed run lengths (`rleFrString` of maskApi.c).
fn counts(text: &str) -> Vec<u32> {
    let (mut counts, mut value, mut shift): (Vec<u32>, i64, u32) = (Vec::new(), 0, 0);
    for byte in text.bytes().map(|byte| i64::from(byte) - 48) {
        value |= (byte & 0x1f) << shift;
        shift += 5;
        if byte & 0x20 != 0 {
            continue;
        }
        if byte & 0x10 != 0 {
            value |= -1 << shift;
        }
        let before = if counts.len() > 2 { counts[counts.len() - 2] } else { 0 };
        counts.push((value + i64::from(before)) as u32);
        (value, shift) = (0, 0);
    }
    counts
}
