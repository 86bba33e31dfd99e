//! A small SAM 2.1 and a small EdgeTAM of the original architecture against PyTorch: from photos through our own
//! pixels, prompt encoder and sessions to masks. `export/promptseg_export/golden_sam2.py` writes the golden files.
//! `cargo test --test golden_sam2 -- --nocapture` prints the table.

mod support;

use image::GrayImage;
use promptseg::model::{Candidate, Candidates, DecodeOptions, Decoded, Model, SessionOptions};
use promptseg::prompt::Prompt;
use promptseg::segmenter::Segmenter;
use safetensors::SafeTensors;
use serde::Deserialize;
use support::{difference, golden, photo, tensor};

/// Strides of the stored rows and columns of low-resolution logits and of features.
const STRIDE: usize = 4;
const FEATURE_STRIDE: usize = 8;
/// Largest differences, as parts of the range of the expected values.
const FEATURES: f32 = 1e-4;
const LOW_RES: f32 = 1e-4;
const IOU: f32 = 1e-5;
const SCORE: f32 = 1e-3;
const MASKS: f64 = 0.9999;
/// Largest absolute value of a logit of `SAM2ImagePredictor`, which clamps larger logits.
const LIMIT: f32 = 32.0;

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    common: support::Case,
    /// Index of the decoder's mask that is chosen without `multimask_output`.
    single: usize,
    /// Index of the best candidate.
    best: usize,
}

/// Largest differences.
#[derive(Default, Debug)]
struct Worst {
    low_res: f32,
    iou: f32,
    score: f32,
    disagreement: f64,
}

fn open(family: &str) -> Segmenter {
    Segmenter::new(Model::open(&golden(family), None, &SessionOptions::cpu(2)).unwrap_or_else(|e| panic!("{e}")))
}

fn range(values: &[f32]) -> f32 {
    let reduced = |pick: fn(f32, f32) -> f32| values.iter().copied().reduce(pick).unwrap();
    reduced(f32::max) - reduced(f32::min)
}

/// Compares the encoder's three outputs with PyTorch's.
fn compare_features(segmenter: &Segmenter, photo: &str, expected: &SafeTensors<'_>) {
    let embedding = segmenter.embedding().unwrap();
    for name in ["image_embeddings", "high_res_feats_0", "high_res_feats_1"] {
        let (shape, found) = embedding.tensor(name).unwrap();
        let (_, stored) = tensor(expected, &format!("{photo}.{name}"));
        let worst = difference(found, shape[2] as usize, &stored, FEATURE_STRIDE) / range(&stored);
        println!("{photo:10} {name:20} {worst:.1e}");
        assert!(worst < FEATURES, "{name} of {photo} differs by {worst} of its range");
    }
}

/// Compares the candidates of a prompt with the predictor's. `bit` is the bit of their mask in the stored image of
/// masks.
fn compare(
    family: &str,
    case: &Case,
    kind: &str,
    found: &[&Candidate],
    expected: &SafeTensors<'_>,
    bit: u8,
    worst: &mut Worst,
) {
    let key = case.common.key();
    let (shape, low_res) = tensor(expected, &format!("{key}.{kind}.low_res"));
    let (_, ious) = tensor(expected, &format!("{key}.{kind}.iou"));
    assert_eq!(found.len(), shape[0]);
    let span = range(&low_res);
    for ((candidate, low_res), iou) in found.iter().zip(low_res.chunks_exact(shape[1] * shape[2])).zip(ious) {
        let logits = &candidate.low_res;
        assert!(logits.data.iter().all(|v| v.abs() <= LIMIT), "{key}: a logit beyond {LIMIT}");
        worst.low_res = worst.low_res.max(difference(&logits.data, logits.side, low_res, STRIDE) / span);
        worst.iou = worst.iou.max((candidate.iou - iou).abs());
    }
    let index = if kind == "single" { case.single } else { case.best };
    let mask = &found.iter().find(|c| c.index == index).unwrap_or_else(|| panic!("{key}: no mask {index}")).mask;
    let picture: GrayImage = image::open(golden(&format!("{family}/masks/{key}.png"))).unwrap().into_luma8();
    assert_eq!(picture.dimensions(), (mask.width, mask.height));
    let truth = picture.as_raw().iter().map(|v| v & bit != 0);
    let different = truth.zip(mask.full()).filter(|(a, b)| *a != (*b == 255)).count();
    worst.disagreement = worst.disagreement.max(different as f64 / picture.as_raw().len() as f64);
}

/// Returns all candidates in the decoder's order.
fn in_order(decoded: &Decoded) -> Vec<&Candidate> {
    let mut all: Vec<&Candidate> = decoded.others.iter().chain([&decoded.best]).collect();
    all.sort_by_key(|c| c.index);
    all
}

fn run(family: &str) {
    let mut segmenter = open(family);
    let content = std::fs::read(golden(&format!("{family}/expected.safetensors"))).unwrap();
    let expected = SafeTensors::deserialize(&content).unwrap();
    let cases: Vec<Case> =
        serde_json::from_slice(&std::fs::read(golden(&format!("{family}/cases.json"))).unwrap()).unwrap();
    assert!(
        cases.iter().any(|c| c.single == 0) && cases.iter().any(|c| c.single != 0),
        "the single mask must be stable in some cases and unstable in others"
    );
    let mut all = Worst::default();
    for name in ["chelsea", "astronaut"] {
        segmenter.set_image(&photo(name)).unwrap();
        compare_features(&segmenter, name, &expected);
        let of_photo: Vec<&Case> = cases.iter().filter(|c| c.common.photo == name).collect();
        assert_eq!(of_photo.len(), 10);
        let prompts: Vec<Prompt> = of_photo.iter().map(|c| c.common.prompt(&expected)).collect();
        let single = DecodeOptions { candidates: Candidates::Single, ..DecodeOptions::default() };
        let single = segmenter.predict_many(&prompts, &single).unwrap().objects;
        let multi = DecodeOptions { candidates: Candidates::Multi, all_masks: true, ..DecodeOptions::default() };
        let multi = segmenter.predict_many(&prompts, &multi).unwrap().objects;
        for ((case, single), multi) in of_photo.iter().zip(&single).zip(&multi) {
            let key = case.common.key();
            let mut worst = Worst::default();
            assert_eq!(
                (single.best.index, multi.best.index),
                (case.single, case.best),
                "{key}: another mask is chosen"
            );
            compare(family, case, "single", &[&single.best], &expected, 1, &mut worst);
            compare(family, case, "multi", &in_order(multi), &expected, 2, &mut worst);
            let (_, score) = tensor(&expected, &format!("{key}.score"));
            worst.score = (single.object_score.unwrap() - score[0]).abs();
            println!("{family} {key:22} mask {} {worst:?}", case.single);
            all.low_res = all.low_res.max(worst.low_res);
            all.iou = all.iou.max(worst.iou);
            all.score = all.score.max(worst.score);
            all.disagreement = all.disagreement.max(worst.disagreement);
        }
    }
    println!("{family} worst {all:?}");
    assert!(all.low_res < LOW_RES, "low-res logits differ by {} of their range", all.low_res);
    assert!(all.iou < IOU, "predicted IoU differs by {}", all.iou);
    assert!(all.score < SCORE, "object score differs by {}", all.score);
    assert!(1.0 - all.disagreement >= MASKS, "masks agree by {}", 1.0 - all.disagreement);
}

#[test]
fn sam_2_equals_its_image_predictor() {
    run("sam2");
}

#[test]
fn edgetam_equals_transformers() {
    run("edgetam");
}

#[test]
fn clamped_logits_can_be_fed_back() {
    let mut segmenter = open("sam2");
    segmenter.set_image(&photo("chelsea")).unwrap();
    let options = DecodeOptions { candidates: Candidates::Multi, all_masks: true, ..DecodeOptions::default() };
    let click = Prompt::point(150.0, 120.0);
    let first = segmenter.predict(&click, &options).unwrap();
    let clamped = in_order(&first).into_iter().find(|c| c.low_res.data.iter().any(|v| v.abs() == LIMIT));
    let refined = click.with_mask(clamped.expect("a logit at the limit").low_res.clone());
    let second = segmenter.predict(&refined, &DecodeOptions::default()).unwrap();
    assert!(second.best.iou.is_finite() && second.object_score.is_some());
    // More than one considered mask means that the single mask was not stable.
    assert_eq!(second.candidate_ious.len(), if second.best.index == 0 { 1 } else { 3 });
}
