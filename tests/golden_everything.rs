//! The automatic mask generator against Meta's. `export/promptseg_export/golden_everything.py` made the files.

use std::ops::ControlFlow;
use std::path::Path;

use image::RgbImage;
use promptseg::everything::{AutomaticMaskGenerator, Decoder, Encoder, Error, GeneratedMask, Progress, Settings};
use promptseg::model::{self, Candidates, Embedding, LowResMasks};
use promptseg::pixels::{Geometry, Resize, coco_string};
use promptseg::prompt::Prompt;
use safetensors::SafeTensors;
use serde::Deserialize;

/// A file of `tests/golden/everything`.
fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/everything").join(name)).unwrap()
}

#[derive(Deserialize)]
struct Drawn {
    width: u32,
    height: u32,
    side: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    case: String,
    settings: Changes,
    masks: Vec<Record>,
}

/// The parameters that differ from the reference's defaults.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Changes {
    points_per_side: Option<u32>,
    points_per_batch: Option<usize>,
    pred_iou_thresh: Option<f32>,
    stability_score_thresh: Option<f32>,
    stability_score_offset: Option<f32>,
    box_nms_thresh: Option<f64>,
    crop_n_layers: Option<u32>,
    crop_n_points_downscale_factor: Option<u32>,
    min_mask_region_area: Option<u32>,
}

impl Changes {
    fn apply(&self, defaults: Settings) -> Settings {
        Settings {
            points_per_side: self.points_per_side.unwrap_or(defaults.points_per_side),
            points_per_batch: self.points_per_batch.unwrap_or(defaults.points_per_batch),
            pred_iou_thresh: self.pred_iou_thresh.unwrap_or(defaults.pred_iou_thresh),
            stability_score_thresh: self.stability_score_thresh.unwrap_or(defaults.stability_score_thresh),
            stability_score_offset: self.stability_score_offset.unwrap_or(defaults.stability_score_offset),
            box_nms_thresh: self.box_nms_thresh.unwrap_or(defaults.box_nms_thresh),
            crop_n_layers: self.crop_n_layers.unwrap_or(defaults.crop_n_layers),
            crop_n_points_downscale_factor: self
                .crop_n_points_downscale_factor
                .unwrap_or(defaults.crop_n_points_downscale_factor),
            min_mask_region_area: self.min_mask_region_area.unwrap_or(defaults.min_mask_region_area),
            ..defaults
        }
    }
}

/// One record of the reference's generator.
#[derive(Deserialize)]
struct Record {
    counts: String,
    area: u32,
    bbox: [u32; 4],
    predicted_iou: f32,
    stability_score: Option<f32>,
    point: [f64; 2],
    crop_box: [u32; 4],
}

/// Answers the clicks in turn with stored logits.
struct DrawnDecoder {
    logits: Vec<f32>,
    ious: Vec<f32>,
    side: usize,
    next: usize,
}

impl DrawnDecoder {
    fn new(logits: &str, side: u32) -> Self {
        let file = golden("drawn.safetensors");
        let tensors = SafeTensors::deserialize(&file).unwrap();
        let half = |bytes: &[u8]| half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        let logits = tensors.tensor(logits).unwrap().data().chunks_exact(2).map(half).collect();
        let single = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let ious = tensors.tensor("ious").unwrap().data().chunks_exact(4).map(single).collect();
        DrawnDecoder { logits, ious, side: side as usize / 4, next: 0 }
    }
}

impl Decoder for DrawnDecoder {
    fn low_res_masks(
        &mut self,
        _: &Embedding,
        prompts: &[Prompt],
        candidates: Candidates,
    ) -> Result<Vec<LowResMasks>, model::Error> {
        assert_eq!(candidates, Candidates::Multi);
        let cells = 3 * self.side * self.side;
        let answer = |click: usize| {
            let ious = self.ious[3 * click..3 * (click + 1)].to_vec();
            LowResMasks::from_parts(ious, self.logits[cells * click..cells * (click + 1)].to_vec(), self.side)
        };
        let first = self.next;
        self.next += prompts.len();
        (first..self.next).map(answer).collect()
    }

    fn low_res_side(&self) -> usize {
        self.side
    }

    fn mask_threshold(&self) -> f32 {
        0.0
    }
}

/// Keeps the size of each crop, and nothing else.
struct DrawnEncoder {
    side: u32,
}

impl Encoder for DrawnEncoder {
    fn encode(&mut self, crop: &RgbImage) -> Result<Embedding, model::Error> {
        Embedding::from_parts(Vec::new(), Geometry::new(crop.width(), crop.height(), self.side, Resize::Letterbox))
    }
}

fn compare(case: &str, found: &[GeneratedMask], expected: &[Record]) {
    assert_eq!(found.len(), expected.len(), "{case}: number of masks");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let name = format!("{case}, mask {index}");
        assert_eq!(found.area, expected.area, "{name}: area");
        assert_eq!(coco_string(&found.mask.counts), expected.counts, "{name}: pixels");
        assert_eq!(found.bbox.xywh(), expected.bbox, "{name}: box");
        assert!((found.predicted_iou - expected.predicted_iou).abs() <= 1e-4, "{name}: predicted IoU");
        let stability = expected.stability_score.unwrap_or_default();
        assert!((found.stability_score - stability).abs() <= 1e-4, "{name}: stability {}", found.stability_score);
        let (dx, dy) = (found.point[0] - expected.point[0], found.point[1] - expected.point[1]);
        assert!(dx.abs() <= 1e-4 && dy.abs() <= 1e-4, "{name}: click at {:?}", found.point);
        let crop = found.crop;
        // The reference writes a crop as [x, y, width, height], too.
        assert_eq!([crop.x, crop.y, crop.width, crop.height], expected.crop_box, "{name}: crop");
    }
}

fn drawn() -> Drawn {
    serde_json::from_slice(&golden("drawn.json")).unwrap()
}

fn generate(
    drawn: &Drawn,
    case: &Case,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<GeneratedMask>, Error> {
    let logits = if case.case == "one_pixel" { "one_pixel" } else { "logits" };
    let generator = AutomaticMaskGenerator::new(case.settings.apply(Settings::default())).unwrap();
    let (mut encoder, mut decoder) = (DrawnEncoder { side: drawn.side }, DrawnDecoder::new(logits, drawn.side));
    generator.generate(&mut encoder, &mut decoder, &RgbImage::new(drawn.width, drawn.height), progress)
}

#[test]
fn masks_of_drawn_logits_are_those_of_the_reference() {
    let drawn = drawn();
    assert_eq!(drawn.cases.len(), 7);
    for case in &drawn.cases {
        let masks = generate(&drawn, case, &mut |_| ControlFlow::Continue(())).unwrap();
        compare(&case.case, &masks, &case.masks);
    }
    let count = |name: &str| drawn.cases.iter().find(|case| case.case == name).unwrap().masks.len();
    // The cases reach what they are made for.
    assert!(count("two_crop_layers") > count("defaults") && count("nothing") == 0);
    let of = |name: &str| &drawn.cases.iter().find(|case| case.case == name).unwrap().masks;
    assert!(of("one_pixel").iter().filter(|mask| mask.area == 1).count() >= 10);
    assert!(of("loose").iter().any(|mask| mask.stability_score.is_none()));
    assert!(of("two_crop_layers").iter().any(|mask| mask.crop_box != [0, 0, drawn.width, drawn.height]));
}

#[test]
fn a_generation_reports_its_progress_and_can_be_cancelled() {
    let drawn = drawn();
    let case = drawn.cases.iter().find(|case| case.case == "small_batches").unwrap();
    let mut seen = Vec::new();
    generate(&drawn, case, &mut |progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(seen.len(), 8, "36 clicks, 5 at a time");
    assert_eq!((seen[0].decoded, seen[7].decoded, seen[7].points), (5, 36, 36));
    let crops = drawn.cases.iter().find(|case| case.case == "two_crop_layers").unwrap();
    let mut batches = 0;
    let cancelled = generate(&drawn, crops, &mut |_| {
        batches += 1;
        if batches == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(cancelled, Err(Error::Cancelled)) && batches == 2);
}
