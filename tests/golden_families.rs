//! A small SAM-HQ, MobileSAM, EfficientViT-SAM and RepViT-SAM of the original architecture against their PyTorch predictors: from a photo through our
//! own pixels, prompt encoder and sessions to masks. `export/promptseg_export/golden_families.py` writes the files.
//! `cargo test --test golden_families -- --nocapture` prints the table.

mod scratch;
mod support;

use image::GrayImage;
use promptseg::model::{Candidate, Candidates, DecodeOptions, Decoded, Model, SessionOptions};
use promptseg::prompt::Prompt;
use promptseg::segmenter::Segmenter;
use safetensors::SafeTensors;
use scratch::Scratch;
use serde_json::json;
use support::{Case, difference, golden, photo, tensor};

const PHOTO: &str = "chelsea";
const LOW_RES: f32 = 1e-4;
const IOU: f32 = 1e-5;
const MASKS: f64 = 0.9999;

/// Returns all masks in the decoder's order.
fn in_order(decoded: &Decoded) -> Vec<&Candidate> {
    let mut all: Vec<&Candidate> = decoded.others.iter().chain([&decoded.best]).collect();
    all.sort_by_key(|c| c.index);
    all
}

/// Returns the fraction of pixels that differ from the stored mask. `bit` is the bit of the mask in the stored image.
fn disagreement(family: &str, key: &str, bit: u8, found: &Candidate) -> f64 {
    let picture: GrayImage = image::open(golden(&format!("{family}/masks/{key}.png"))).unwrap().into_luma8();
    assert_eq!(picture.dimensions(), (found.mask.width, found.mask.height));
    let truth = picture.as_raw().iter().map(|v| v & bit != 0);
    truth.zip(found.mask.full()).filter(|(a, b)| *a != (*b == 255)).count() as f64 / picture.as_raw().len() as f64
}

/// Compares every case. Cases with equally many tokens share a batch. SAM-HQ's predictor returns only the best of three masks.
fn run(family: &str, best_only: bool) {
    let model = Model::open(&golden(family), None, &SessionOptions::cpu(2)).unwrap_or_else(|e| panic!("{e}"));
    let mut segmenter = Segmenter::new(model);
    let content = std::fs::read(golden(&format!("{family}/expected.safetensors"))).unwrap();
    let expected = SafeTensors::deserialize(&content).unwrap();
    let cases: Vec<Case> =
        serde_json::from_slice(&std::fs::read(golden(&format!("{family}/cases.json"))).unwrap()).unwrap();
    assert_eq!(cases.len(), 10);
    segmenter.set_image(&photo(PHOTO)).unwrap();
    let prompts: Vec<Prompt> = cases.iter().map(|c| c.prompt(&expected)).collect();
    let options = |candidates| DecodeOptions { candidates, all_masks: true, ..DecodeOptions::default() };
    let single = segmenter.predict_many(&prompts, &options(Candidates::Single)).unwrap().objects;
    let multi = segmenter.predict_many(&prompts, &options(Candidates::Multi)).unwrap().objects;
    for ((case, single), multi) in cases.iter().zip(&single).zip(&multi) {
        let key = case.key();
        let candidates = if best_only { vec![&multi.best] } else { in_order(multi) };
        for (kind, bit, best, found) in
            [("single", 1, &single.best, vec![&single.best]), ("multi", 2, &multi.best, candidates)]
        {
            let (shape, low_res) = tensor(&expected, &format!("{key}.{kind}.low_res"));
            let (_, ious) = tensor(&expected, &format!("{key}.{kind}.iou"));
            assert_eq!((found.len(), ious.len()), (shape[0], shape[0]), "{key}");
            let mut worst = [0.0_f32; 2];
            for ((candidate, low_res), iou) in found.iter().zip(low_res.chunks_exact(shape[1] * shape[2])).zip(ious) {
                let logits = &candidate.low_res;
                let apart = difference(&logits.data, logits.side, low_res, logits.side / shape[2]);
                worst = [worst[0].max(apart), worst[1].max((candidate.iou - iou).abs())];
            }
            let masks = 1.0 - disagreement(family, &key, bit, best);
            let [low_res, iou] = worst;
            println!("{family:10} {key:20} {kind:6} low-res {low_res:.1e}  IoU {iou:.1e}  masks {masks:.6}");
            assert!(low_res < LOW_RES && iou < IOU && masks >= MASKS, "{family} {key} {kind}");
        }
    }
}

#[test]
fn sam_hq_equals_its_predictor() {
    run("sam-hq", true);
}

#[test]
fn mobile_sam_equals_its_predictor() {
    run("mobile-sam", false);
}

/// The pictures have 160 pixels, the prompts lie in 320: the two squares round the height of the photo differently.
#[test]
fn efficientvit_sam_equals_its_predictor() {
    let info = Model::open(&golden("efficientvit-sam"), None, &SessionOptions::cpu(1)).unwrap().info;
    assert_eq!((info.image_size, info.prompt_side, info.low_res_size), (160, 320, 80));
    run("efficientvit-sam", false);
}

#[test]
fn repvit_sam_equals_its_predictor() {
    run("repvit-sam", false);
}

/// TinySAM has the network of MobileSAM and predicts with candidates only, which is one field of its bundle.
#[test]
fn tinysam_answers_every_prompt_with_the_best_candidate() {
    let scratch = Scratch::with("tinysam", "mobile-sam");
    scratch.describe(|d| {
        d["family"] = json!("tinysam");
        d["multimask_for_several_prompts"] = json!(true);
    });
    let mut segmenter = Segmenter::new(Model::open(&scratch.0, None, &SessionOptions::cpu(2)).unwrap());
    let content = std::fs::read(golden("mobile-sam/expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&content).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(golden("mobile-sam/cases.json")).unwrap()).unwrap();
    segmenter.set_image(&photo(PHOTO)).unwrap();
    let prompts: Vec<Prompt> = cases.iter().map(|c| c.prompt(&expected)).collect();
    // The rule by which the node and the tool choose the mask.
    let answers = segmenter.predict_many(&prompts, &DecodeOptions::default()).unwrap().objects;
    for (case, answer) in cases.iter().zip(&answers) {
        let (_, ious) = tensor(&expected, &format!("{}.multi.iou", case.key()));
        let highest = ious.iter().copied().fold(f32::MIN, f32::max);
        assert!((answer.best.iou - highest).abs() < IOU, "{}: IoU {} for {highest}", case.key(), answer.best.iou);
        assert!(disagreement("mobile-sam", &case.key(), 2, &answer.best) <= 1.0 - MASKS, "{}", case.key());
    }
}

/// The decoder takes a second embedding by name, which an embedding of SAM lacks.
#[test]
fn sam_hq_refuses_an_embedding_without_its_features() {
    let open = |name| Model::open(&golden(name), None, &SessionOptions::cpu(2)).unwrap_or_else(|e| panic!("{e}"));
    let (mut hq, mut sam) = (open("sam-hq"), open("sam"));
    let embedding = sam.encoder.encode(&photo(PHOTO)).unwrap();
    let e = hq.decoder.decode(&embedding, &[Prompt::point(5.0, 5.0)], &DecodeOptions::default()).unwrap_err();
    assert!(e.to_string().contains("hq_features"), "{e}");
}
