//! Modes of the mask generator beyond the reference, through its settings, on drawn logits; and refusals.

#[path = "support/drawn.rs"]
mod drawn;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use drawn::{DrawnDecoder, DrawnEncoder};
use image::RgbImage;
use promptseg::everything::unique::shared_area;
use promptseg::everything::{
    AutomaticMaskGenerator, Decoder, Encoder, Error, GeneratedMask, Overlap, Parts, Priority, Progress, Search,
    SearchError, Settings, Within,
};
use promptseg::model::{self, Candidates, Embedding, LowResMasks};
use promptseg::pixels::{Mask, PixelRect};
use promptseg::prompt::{BoxPrompt, Prompt};

const WIDTH: u32 = 150;
const HEIGHT: u32 = 110;

/// 6 x 6 clicks, nearly all masks.
fn loose() -> Settings {
    Settings { points_per_side: 6, pred_iou_thresh: 0.0, stability_score_thresh: 0.3, ..Settings::default() }
}

fn decoder() -> DrawnDecoder {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/everything/drawn.safetensors");
    DrawnDecoder::new(&std::fs::read(file).unwrap(), "logits", 64, None)
}

/// Returns the masks and the last progress.
fn generate(settings: Settings) -> (Vec<GeneratedMask>, Progress) {
    let mut last = Progress { decoded: 0, points: 0, masks: 0 };
    let generator = AutomaticMaskGenerator::new(settings).unwrap();
    let mut progress = |progress| {
        last = progress;
        ControlFlow::Continue(())
    };
    let image = RgbImage::new(WIDTH, HEIGHT);
    let masks = generator.generate(&mut DrawnEncoder { side: 64 }, &mut decoder(), &image, &mut progress).unwrap();
    (masks, last)
}

#[test]
fn a_search_from_coarse_to_fine_leaves_out_covered_clicks() {
    let (all, full) = generate(loose());
    let (masks, coarse) = generate(Settings { search: Search::CoarseToFine, ..loose() });
    assert_eq!((full.decoded, full.points), (36, 36));
    assert!((9..36).contains(&coarse.decoded) && coarse.decoded == coarse.points, "{coarse:?}");
    assert!(!masks.is_empty() && masks.len() < all.len());
}

#[test]
fn clicks_stay_inside_a_region_or_a_mask() {
    let region = PixelRect { x: 0, y: 0, width: 75, height: 60 };
    let (masks, progress) = generate(Settings { within: Some(Within::Rect(region)), ..loose() });
    assert_eq!(progress.points, 9);
    assert!(!masks.is_empty() && masks.iter().all(|mask| mask.point[0] < 75.0 && mask.point[1] < 60.0));
    let data: Vec<u8> = (0..WIDTH * HEIGHT).map(|at| u8::from(at % WIDTH >= 100)).collect();
    let right = Arc::new(Mask::from_data(WIDTH, HEIGHT, &data).unwrap());
    let (masks, progress) = generate(Settings { within: Some(Within::Mask(right)), ..loose() });
    assert_eq!(progress.points, 12);
    assert!(!masks.is_empty() && masks.iter().all(|mask| mask.point[0] >= 100.0));
}

#[test]
fn the_mask_nms_drops_duplicates_and_links_or_drops_parts() {
    let (all, _) = generate(loose());
    assert!(all.iter().all(|mask| mask.part_of.is_none()), "as the reference");
    let (linked, _) = generate(Settings { mask_nms: Some(Overlap::default()), ..loose() });
    let parts: Vec<_> = linked.iter().filter_map(|mask| mask.part_of.map(|whole| (mask, &linked[whole]))).collect();
    assert!(!parts.is_empty() && linked.len() <= all.len());
    for (part, whole) in parts {
        let shared = shared_area(&part.mask, &whole.mask) as f32;
        assert!(part.area < whole.area && shared > 0.9 * part.area as f32);
    }
    let without_parts = Overlap { parts: Parts::Drop, ..Overlap::default() };
    let (dropped, _) = generate(Settings { mask_nms: Some(without_parts), ..loose() });
    assert!(dropped.len() < linked.len());
    for (index, a) in dropped.iter().enumerate() {
        for b in &dropped[index + 1..] {
            assert!(shared_area(&a.mask, &b.mask) as f32 <= 0.9 * a.area.min(b.area) as f32);
        }
    }
}

#[test]
fn disjoint_masks_share_no_pixel() {
    let (overlapping, _) = generate(loose());
    let sum = |masks: &[GeneratedMask]| masks.iter().map(|mask| mask.area).sum::<u32>();
    for priority in [Priority::Certain, Priority::Large] {
        let (masks, _) = generate(Settings { disjoint: Some(priority), ..loose() });
        for (index, a) in masks.iter().enumerate() {
            assert!(masks[index + 1..].iter().all(|b| shared_area(&a.mask, &b.mask) == 0));
        }
        assert!(!masks.is_empty() && sum(&masks) <= WIDTH * HEIGHT && sum(&masks) < sum(&overlapping));
    }
}

/// Fails if an image is encoded.
struct NoEncoder;

impl Encoder for NoEncoder {
    fn encode(&mut self, _: &RgbImage) -> Result<Embedding, model::Error> {
        panic!("a refused image was encoded")
    }
}

fn refusal(settings: Settings, width: u32, height: u32) -> Error {
    refusal_of(&mut decoder(), settings, width, height)
}

fn refusal_of(decoder: &mut dyn Decoder, settings: Settings, width: u32, height: u32) -> Error {
    let generator = AutomaticMaskGenerator::new(settings).unwrap();
    let image = RgbImage::new(width, height);
    let mut progress = |_| ControlFlow::Continue(());
    generator.generate(&mut NoEncoder, decoder, &image, &mut progress).unwrap_err()
}

/// A model that takes boxes alone.
struct BoxDecoder;

impl Decoder for BoxDecoder {
    fn low_res_masks(&mut self, _: &Embedding, _: &[Prompt], _: Candidates) -> Result<Vec<LowResMasks>, model::Error> {
        panic!("a refused prompt was decoded")
    }

    fn check_kinds(&self, prompt: &Prompt) -> Result<(), model::Error> {
        let kind = if prompt.mask.is_some() { "mask prompts" } else { "point prompts" };
        let is_box = prompt.points.is_empty() && prompt.mask.is_none();
        let refusal = || model::Error::PromptKind { model: "boxes".to_owned(), kind, takes: "boxes".to_owned() };
        if is_box { Ok(()) } else { Err(refusal()) }
    }

    fn low_res_side(&self) -> usize {
        16
    }

    fn mask_threshold(&self) -> f32 {
        0.0
    }
}

#[test]
fn a_model_that_does_not_take_the_prompts_is_refused_before_the_image_is_encoded() {
    let error = refusal_of(&mut BoxDecoder, loose(), WIDTH, HEIGHT);
    assert!(matches!(error, Error::Model(model::Error::PromptKind { kind: "point prompts", .. })), "{error}");
    let boxes = Search::Boxes(vec![BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 }]);
    let refined = Settings { search: boxes, use_m2m: true, ..loose() };
    let error = refusal_of(&mut BoxDecoder, refined, WIDTH, HEIGHT);
    assert!(matches!(error, Error::Model(model::Error::PromptKind { kind: "mask prompts", .. })), "{error}");
}

#[test]
fn bad_input_is_refused_before_the_image_is_encoded() {
    for (width, height) in [(1, 1), (0, 0), (0, 5)] {
        let error = refusal(loose(), width, height);
        assert!(matches!(error, Error::TooSmall { .. }) && error.to_string().contains("at least 2 pixels"), "{error}");
    }
    let region = Some(Within::Rect(PixelRect { x: 150, y: 0, width: 10, height: 10 }));
    let error = refusal(Settings { within: region, ..loose() }, WIDTH, HEIGHT);
    assert!(matches!(error, Error::Search(SearchError::RegionOutside { .. })), "{error}");
    let between_clicks = Some(Within::Rect(PixelRect { x: 0, y: 0, width: 2, height: 2 }));
    let error = refusal(Settings { within: between_clicks, ..loose() }, WIDTH, HEIGHT);
    assert!(error.to_string().contains("none of the 36 clicks"), "{error}");
    let other_size = Some(Within::Mask(Arc::new(Mask::empty(7, 7))));
    assert!(refusal(Settings { within: other_size, ..loose() }, WIDTH, HEIGHT).to_string().contains("7 x 7"));
    let million = Settings { points_per_side: 1000, ..loose() };
    assert!(AutomaticMaskGenerator::new(million).unwrap_err().to_string().contains("1000000 clicks"));
}
