//! A small SAM 3 of the original architecture against transformers: from a photo and phrases through our own pixels, tokens and
//! sessions to masks. `export/promptseg_export/golden_sam3.py` writes the files. `cargo test --test golden_sam3 -- --nocapture`
//! prints the table.

mod golden_text;
#[allow(dead_code)] // the cases of `support` belong to tests of masks
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use golden_text::{apart, apart_by, compare_tokens, open, phrases, picture};
use image::RgbImage;
use promptseg::model::SessionOptions;
use promptseg::pixels::{LevelSpec, LevelSquare, Mask};
use promptseg::text::{Answer, Answers, Bank, Features, Limits, Phrase, TextDetection, TextModel};
use safetensors::SafeTensors;
use serde::Deserialize;
use support::{difference, golden, tensor};

/// Stride of the stored rows and columns of the picture and of the masks' logits.
const STRIDE: usize = 3;
/// Stride of the stored rows and columns of the instances' masks.
const MASK_STRIDE: usize = 7;
/// Largest difference of an output, relative to the range of the expected output.
const LIMIT: f32 = 1e-4;
/// Most pixels of a mask that may lie on the other side of the threshold.
const PIXELS: u32 = 2;

#[derive(Deserialize)]
struct Expected {
    phrases: Vec<String>,
    min_score: f32,
    /// Instances of each phrase, by photo.
    photos: BTreeMap<String, Vec<Instances>>,
}

/// Instances of the processor, in the order of the queries.
#[derive(Deserialize)]
struct Instances {
    scores: Vec<f32>,
    boxes: Vec<[f32; 4]>,
    areas: Vec<u32>,
}

fn expected() -> Expected {
    serde_json::from_slice(&std::fs::read(golden("sam3/detections.json")).unwrap()).unwrap()
}

fn stored() -> Vec<u8> {
    std::fs::read(golden("sam3/expected.safetensors")).unwrap()
}

#[test]
fn tokens_are_those_of_python() {
    compare_tokens("sam3", 32);
}

#[test]
fn pictures_are_those_of_the_processor() {
    let bundle: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden("sam3/bundle.json")).unwrap()).unwrap();
    let three = |field: &str| -> [f32; 3] { serde_json::from_value(bundle[field].clone()).unwrap() };
    let side = bundle["image_size"].as_u64().unwrap() as usize;
    let mut square = LevelSquare::new(LevelSpec { side: side as u32, mean: three("mean"), std: three("std") });
    let content = stored();
    let stored = SafeTensors::deserialize(&content).unwrap();
    for name in expected().photos.keys() {
        let mut pixels = vec![f32::NAN; 3 * side * side];
        square.run(&picture(name), &mut pixels).unwrap();
        let worst = difference(&pixels, side, &tensor(&stored, &format!("{name}.pixels")).1, STRIDE);
        println!("{name:10} {worst:.1e} of a deviation");
        // A level is 8e-3 of a deviation: all levels are equal.
        assert!(worst < 1e-6, "{name}: {worst}");
    }
}

#[test]
fn outputs_are_those_of_transformers() {
    let expected = expected();
    let content = stored();
    let stored = SafeTensors::deserialize(&content).unwrap();
    let mut model = open("sam3");
    let features = model.understand(&phrases(&expected.phrases)).unwrap();
    for (number, features) in features.iter().enumerate() {
        let (shape, values) = tensor(&stored, &format!("features.{number}"));
        assert_eq!([features.rows(), features.values().len() / features.rows()], shape[..]);
        let worst = apart(features.values(), &values);
        println!("features of {:18} {worst:.1e}", features.text());
        assert!(worst < LIMIT);
    }
    for name in expected.photos.keys() {
        let sight = model.look(&picture(name)).unwrap();
        let Answers::Sam3(answers) = model.answers(&sight, &features).unwrap() else { panic!("a SAM 3") };
        let all = |part: &dyn Fn(&Answer) -> Vec<f32>| answers.iter().flat_map(part).collect::<Vec<f32>>();
        let stored = |part: &str| tensor(&stored, &format!("{name}.{part}")).1;
        let (masks, few) = (stored("masks"), |answer: &Answer| strided(answer));
        let worst = [
            apart(&all(&|answer| answer.logits.clone()), &stored("logits")),
            apart(&all(&|answer| answer.boxes.clone()), &stored("boxes")),
            apart(&all(&few), &masks),
            // A single number for each phrase has no range: that of the logits' clamp.
            apart_by(&all(&|answer| vec![answer.presence]), &stored("presence"), 20.0),
        ];
        let [logits, boxes, masks, presence] = worst;
        println!("{name:10} logits {logits:.1e}  boxes {boxes:.1e}  masks {masks:.1e}  presence {presence:.1e}");
        assert!(worst.iter().all(|difference| *difference < LIMIT), "{name}: {worst:?}");
    }
}

/// Returns every `STRIDE`th row and column of the masks of an answer.
fn strided(answer: &Answer) -> Vec<f32> {
    let mut few = Vec::new();
    for query in 0..answer.logits.len() {
        let mask = answer.mask(query).unwrap();
        let side = mask.len().isqrt();
        few.extend(mask.chunks_exact(side).step_by(STRIDE).flat_map(|row| row.iter().step_by(STRIDE).copied()));
    }
    few
}

/// Counts the stored pixels in which a mask differs.
fn different(mask: &Mask, stored: &[u8]) -> u32 {
    let (width, height) = (mask.width, mask.height);
    let places = (0..height).step_by(MASK_STRIDE).flat_map(|y| (0..width).step_by(MASK_STRIDE).map(move |x| (x, y)));
    let places = places.collect::<Vec<_>>();
    assert_eq!(places.len(), stored.len());
    places.iter().zip(stored).map(|((x, y), inside)| u32::from(mask.contains(*x, *y) != (*inside != 0))).sum()
}

#[test]
fn detections_are_those_of_the_processor() {
    let expected = expected();
    let content = stored();
    let stored = SafeTensors::deserialize(&content).unwrap();
    let mut model = open("sam3");
    let phrases = phrases(&expected.phrases);
    let features = model.understand(&phrases).unwrap();
    let defaults = model.limits(&phrases, 1000);
    assert_eq!((defaults.min_score, defaults.nms_iou), (0.3, 1.0), "the defaults of the processor");
    let limits = Limits { min_score: expected.min_score, ..defaults };
    let (mut worst, mut instances, mut empty) = (0, 0, 0);
    for (name, of_phrases) in &expected.photos {
        let image = picture(name);
        let sight = model.look(&image).unwrap();
        let found = model.detect(&sight, &features, &limits).unwrap().detections;
        assert!(found.is_sorted_by(|a, b| a.score >= b.score));
        assert_eq!(found.len(), of_phrases.iter().map(|of_phrase| of_phrase.scores.len()).sum::<usize>(), "{name}");
        for (phrase, wanted) in of_phrases.iter().enumerate() {
            let masks = stored.tensor(&format!("{name}.{phrase}.instances")).unwrap();
            let bytes = masks.data().len() / wanted.scores.len().max(1);
            for (index, masks) in masks.data().chunks_exact(bytes.max(1)).enumerate() {
                let is_same = |d: &&TextDetection| d.phrase == phrase && is_near(d, wanted, index, &image);
                let detection = found.iter().find(is_same);
                let detection = detection.unwrap_or_else(|| panic!("{name}: no instance {index} of phrase {phrase}"));
                let mask = &detection.mask.as_ref().unwrap().best.mask;
                assert_eq!((mask.width, mask.height), image.dimensions());
                let apart = mask.area.abs_diff(wanted.areas[index]).max(different(mask, masks));
                (worst, instances, empty) =
                    (worst.max(apart), instances + 1, empty + usize::from(wanted.areas[index] == 0));
                assert!(apart <= PIXELS, "{name}: {apart} pixels of instance {index} of phrase {phrase}");
            }
        }
    }
    println!("{instances} instances, {empty} of them empty, at most {worst} pixels of a mask differ");
    let all = expected.photos.len() * expected.phrases.len() * 12;
    assert!(instances > 10 && instances < all, "{instances} of {all}: the threshold keeps some and drops some");
}

/// Returns whether a detection has score and box of an instance, whose box the processor does not cut at the edges.
fn is_near(detection: &TextDetection, wanted: &Instances, index: usize, image: &RgbImage) -> bool {
    let (width, height) = (image.width() as f32, image.height() as f32);
    let edges = [width, height, width, height];
    let mut corners = detection.bbox.iter().zip(wanted.boxes[index]).zip(edges);
    let is_there = corners.all(|((found, wanted), edge)| (found - wanted.clamp(0.0, edge)).abs() < 0.02);
    is_there && (detection.score - wanted.scores[index]).abs() < 1e-4
}

#[test]
fn masks_carry_score_presence_and_certain_part() {
    let expected = expected();
    let mut model = open("sam3");
    let phrases = phrases(&expected.phrases);
    let features = model.understand(&phrases).unwrap();
    let sight = model.look(&picture("chelsea")).unwrap();
    let Answers::Sam3(answers) = model.answers(&sight, &features).unwrap() else { panic!("a SAM 3") };
    let limits = Limits { min_score: expected.min_score, ..model.limits(&phrases, 1000) };
    let found = model.detect(&sight, &features, &limits).unwrap().detections;
    for TextDetection { phrase, score, mask, .. } in &found {
        let mask = mask.as_ref().unwrap();
        let certain = mask.best.certain.as_ref().unwrap();
        assert_eq!((mask.best.iou, mask.object_score), (*score, Some(answers[*phrase].presence)));
        assert!(certain.area <= mask.best.mask.area && mask.best.mask.stability <= 1.0);
        assert_eq!(mask.best.low_res.data[..], answers[*phrase].mask(mask.best.index).unwrap());
    }
    assert!(found.iter().any(|d| d.mask.as_ref().is_some_and(|m| m.best.certain.as_ref().is_some_and(|c| c.area > 0))));
    // The best objects of all phrases remain.
    let few = model.detect(&sight, &features, &Limits { max_objects: 2, ..limits.clone() }).unwrap().detections;
    let key = |d: &TextDetection| (d.phrase, d.score, d.mask.as_ref().unwrap().best.index);
    assert_eq!(few.iter().map(key).collect::<Vec<_>>(), found[..2].iter().map(key).collect::<Vec<_>>());
    // A phrase may have a threshold of its own, and does not change the others.
    let own = Limits { phrase_scores: vec![Some(1.0)], ..limits };
    let others = model.detect(&sight, &features, &own).unwrap().detections;
    let without = found.iter().filter(|d| d.phrase > 0).map(key).collect::<Vec<_>>();
    assert!(without.len() < found.len());
    assert_eq!(others.iter().map(key).collect::<Vec<_>>(), without);
}

#[test]
fn a_bank_has_the_features_of_every_token() {
    let mut model = open("sam3");
    let phrases = ["a photo of a cat", "person"].map(|text| Phrase::new(text).unwrap());
    let features = model.understand(&phrases).unwrap();
    assert!(features[0].rows() > features[1].rows());
    let file = std::env::temp_dir().join(format!("promptseg-sam3-{}.safetensors", std::process::id()));
    std::fs::write(&file, Bank::encode(&features, model.name()).unwrap()).unwrap();
    let mut with_bank = TextModel::open(&golden("sam3"), &SessionOptions::cpu(1), Some(&file)).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(with_bank.bank_len(), Some(2));
    let read = with_bank.understand(&phrases).unwrap();
    assert_eq!(read, features);
    let again = with_bank.understand(&[Phrase::new("A  photo of a CAT").unwrap()]).unwrap();
    assert!(Arc::ptr_eq(&again[0], &read[0]));
    assert!(with_bank.reports().iter().all(|(part, _)| *part != "text tower"), "no phrase needed it");
    let rows = |features: &[Arc<Features>]| features.iter().map(|f| f.rows()).collect::<Vec<_>>();
    assert_eq!(rows(&with_bank.understand(&[Phrase::new("red flower").unwrap()]).unwrap()).len(), 1);
}
