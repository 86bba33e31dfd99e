//! A small SAM of the original architecture against PyTorch, in both layouts: from photos through our own pixels, prompt encoder
//! and sessions to masks. `export/promptseg_export/golden.py` writes the golden files.
//! `cargo test --test golden_sam -- --nocapture` prints the table.

mod support;

use image::GrayImage;
use promptseg::model::{Candidate, Candidates, DecodeOptions, Decoded, Model, SessionOptions};
use promptseg::prompt::{LowResLogits, Prompt};
use promptseg::segmenter::Segmenter;
use safetensors::SafeTensors;
use serde::Deserialize;
use support::{difference, golden, photo, tensor};

/// Every `STRIDE`th row and column of embeddings and low-resolution logits is stored.
const STRIDE: usize = 8;
const LOW_RES: f32 = 1e-4;
const IOU: f32 = 1e-5;
const MASKS: f64 = 0.9999;

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    common: support::Case,
    /// Indices of the masks that are stored as pictures.
    masks: [usize; 2],
}

/// Largest differences over the cases of one test.
#[derive(Default)]
struct Worst {
    low_res: f32,
    iou: f32,
    disagreement: f64,
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&std::fs::read(golden("cases.json")).unwrap()).unwrap()
}

fn external() -> Segmenter {
    Segmenter::new(Model::open(&golden("sam"), None, &SessionOptions::cpu(2)).unwrap_or_else(|e| panic!("{e}")))
}

fn official() -> Segmenter {
    let (encoder, decoder) = (golden("sam/image_encoder.onnx"), golden("official/mask_decoder.onnx"));
    Segmenter::new(Model::open(&encoder, Some(&decoder), &SessionOptions::cpu(2)).unwrap_or_else(|e| panic!("{e}")))
}

/// Returns all four masks of an object: those of `SamPredictor` with and without `multimask_output`.
fn four(single: Decoded, multi: Decoded) -> Vec<Candidate> {
    let mut all = vec![single.best, multi.best];
    all.extend(multi.others);
    all.sort_by_key(|c| c.index);
    assert_eq!(all.iter().map(|c| c.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    all
}

fn compare(case: &Case, found: &[Candidate], expected: &SafeTensors<'_>, worst: &mut Worst) {
    let key = case.common.key();
    let (shape, low_res) = tensor(expected, &format!("{key}.low_res"));
    let (_, ious) = tensor(expected, &format!("{key}.iou"));
    for candidate in found {
        let stored = &low_res[candidate.index * shape[1] * shape[2]..][..shape[1] * shape[2]];
        let logits = &candidate.low_res;
        worst.low_res = worst.low_res.max(difference(&logits.data, logits.side, stored, STRIDE));
        worst.iou = worst.iou.max((candidate.iou - ious[candidate.index]).abs());
        if case.masks.contains(&candidate.index) {
            let picture = golden(&format!("masks/{key}.{}.png", candidate.index));
            let truth: GrayImage = image::open(picture).unwrap().into_luma8();
            assert_eq!(truth.dimensions(), (candidate.mask.width, candidate.mask.height));
            let different = truth.as_raw().iter().zip(&candidate.mask.full()).filter(|(a, b)| a != b).count();
            worst.disagreement = worst.disagreement.max(different as f64 / truth.as_raw().len() as f64);
        }
    }
}

/// Compares every case. The objects of a photo are decoded in one call.
fn run(mut segmenter: Segmenter, layout: &str) {
    let content = std::fs::read(golden("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&content).unwrap();
    let options = |candidates| DecodeOptions { candidates, all_masks: true, ..DecodeOptions::default() };
    let cases = cases();
    let mut all = Worst::default();
    for name in ["flower", "chelsea", "astronaut"] {
        let image = photo(name);
        let embedding = segmenter.set_image(&image).unwrap();
        let (_, stored) = tensor(&expected, &format!("{name}.embedding"));
        let (full, values) = embedding.tensor("image_embeddings").unwrap();
        let embedding_difference = difference(values, full[2] as usize, &stored, STRIDE);
        println!("{layout:18} {name:10} embedding    {embedding_difference:.1e}");
        assert!(embedding_difference < LOW_RES, "embedding of {name}: {embedding_difference}");

        let of_photo: Vec<&Case> = cases.iter().filter(|c| c.common.photo == name).collect();
        assert_eq!(of_photo.len(), 10);
        let prompts: Vec<Prompt> = of_photo.iter().map(|c| c.common.prompt(&expected)).collect();
        // Prompts of all kinds in one call: groups of equal token counts, with and without masks, are returned in order.
        let single = segmenter.predict_many(&prompts, &options(Candidates::Single)).unwrap();
        let multi = segmenter.predict_many(&prompts, &options(Candidates::Multi)).unwrap();
        for ((case, single), multi) in of_photo.iter().zip(single.objects).zip(multi.objects) {
            let mut worst = Worst::default();
            compare(case, &four(single, multi), &expected, &mut worst);
            println!(
                "{layout:18} {name:10} {:12} low-res {:.1e}  IoU {:.1e}  masks {:.6}",
                case.common.case,
                worst.low_res,
                worst.iou,
                1.0 - worst.disagreement
            );
            all.low_res = all.low_res.max(worst.low_res);
            all.iou = all.iou.max(worst.iou);
            all.disagreement = all.disagreement.max(worst.disagreement);
        }
    }
    println!(
        "{layout:18} worst      low-res {:.1e}  IoU {:.1e}  masks {:.6}",
        all.low_res,
        all.iou,
        1.0 - all.disagreement
    );
    assert!(all.low_res < LOW_RES, "low-res logits differ by {}", all.low_res);
    assert!(all.iou < IOU, "predicted IoU differs by {}", all.iou);
    assert!(1.0 - all.disagreement >= MASKS, "masks agree by {}", 1.0 - all.disagreement);
}

#[test]
fn our_bundle_equals_pytorch() {
    run(external(), "promptseg external");
}

#[test]
fn the_official_fused_export_equals_pytorch() {
    run(official(), "official SAM");
}

#[test]
fn one_object_alone_and_in_a_batch_are_the_same() {
    let mut segmenter = external();
    segmenter.set_image(&photo("astronaut")).unwrap();
    let options = DecodeOptions::default();
    let prompts =
        [Prompt::bbox(10.0, 20.0, 90.0, 200.0), Prompt::point(100.0, 150.0), Prompt::bbox(30.0, 5.0, 150.0, 80.0)];
    let together = segmenter.predict_many(&prompts, &options).unwrap().objects;
    for (prompt, batched) in prompts.iter().zip(&together) {
        let alone = segmenter.predict(prompt, &options).unwrap();
        assert_eq!(alone.best.index, batched.best.index);
        let difference = alone.best.low_res.data.iter().zip(batched.best.low_res.data.iter());
        let difference = difference.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-5, "{difference}");
    }
}

#[test]
fn an_ambiguous_click_gets_the_best_candidate_and_a_box_the_single_mask() {
    let mut segmenter = external();
    segmenter.set_image(&photo("chelsea")).unwrap();
    let options = DecodeOptions { all_masks: true, logits: true, certain: true, ..DecodeOptions::default() };
    let click = segmenter.predict(&Prompt::point(100.0, 100.0), &options).unwrap();
    assert_eq!((click.candidate_ious.len(), click.others.len()), (3, 2));
    assert!(click.others.iter().all(|o| o.iou <= click.best.iou && o.index > 0));
    let boxed = segmenter.predict(&Prompt::bbox(40.0, 40.0, 200.0, 180.0), &options).unwrap();
    assert_eq!((boxed.best.index, boxed.candidate_ious.len(), boxed.others.len()), (0, 1, 0));
    let logits = boxed.best.logits.unwrap();
    let mask = &boxed.best.mask;
    let certain = boxed.best.certain.unwrap();
    assert!(logits.iter().zip(&certain.full()).all(|(l, m)| (*l > 1.0) == (*m == 255)), "the certain part");
    assert!(0 < certain.area && certain.area < mask.area, "{} of {}", certain.area, mask.area);
    assert!(logits.iter().zip(&mask.full()).all(|(l, m)| (*l > 0.0) == (*m == 255)), "logits and mask disagree");
}

#[test]
fn prompts_and_embeddings_that_do_not_fit_are_refused() {
    let mut segmenter = external();
    let options = DecodeOptions::default();
    let e = segmenter.predict(&Prompt::point(1.0, 1.0), &options).unwrap_err();
    assert!(e.to_string().contains("set_image"), "{e}");
    segmenter.set_image(&photo("chelsea")).unwrap();
    let small = LowResLogits { side: 64, data: vec![0.0; 64 * 64].into() };
    let e = segmenter.predict(&Prompt::point(1.0, 1.0).with_mask(small), &options).unwrap_err();
    assert!(e.to_string().contains("64x64") && e.to_string().contains("128x128"), "{e}");
    let e = segmenter.predict(&Prompt::point(4000.0, 1.0), &options).unwrap_err();
    assert!(e.to_string().contains("outside"), "{e}");
}

#[test]
fn two_models_do_not_share_embeddings() {
    let mut tiny = Segmenter::new(Model::tiny(&SessionOptions::cpu(2)).unwrap_or_else(|e| panic!("{e}")));
    let mut sam = external().into_model();
    let embedding = sam.encoder.encode(&photo("chelsea")).unwrap();
    let e = tiny.set_image(&photo("chelsea")).map(|_| ());
    e.unwrap();
    let e = tiny.into_model().decoder.decode(&embedding, &[Prompt::point(5.0, 5.0)], &DecodeOptions::default());
    assert!(e.unwrap_err().to_string().contains("another model"));
}
