//! A small OWLv2 of the original architecture against transformers: from a photo and phrases through our own pixels, tokens and
//! sessions to boxes. `export/promptseg_export/golden_owlv2.py` writes the files. `cargo test --test golden_owlv2 -- --nocapture`
//! prints the table.

mod golden_text;
#[allow(dead_code)] // the cases of `support` belong to tests of masks
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use golden_text::{apart, compare_tokens, open, phrases, picture};
use promptseg::pixels::{PaddedSpec, PaddedSquare};
use promptseg::text::{Answers, Limits, Phrase, PhraseTokenizer};
use safetensors::SafeTensors;
use serde::Deserialize;
use support::{difference, golden, tensor};

/// Stride of the stored rows and columns of the picture.
const STRIDE: usize = 3;
/// Largest difference of an output, relative to the range of the expected output.
const LIMIT: f32 = 1e-4;

#[derive(Deserialize)]
struct Expected {
    phrases: Vec<String>,
    min_score: f32,
    photos: BTreeMap<String, Detections>,
}

/// Detections of the processor, the best score first.
#[derive(Deserialize)]
struct Detections {
    boxes: Vec<[f32; 4]>,
    scores: Vec<f32>,
    labels: Vec<usize>,
    /// Indices of the detections without doubles.
    kept: Vec<usize>,
}

fn expected() -> Expected {
    serde_json::from_slice(&std::fs::read(golden("owlv2/detections.json")).unwrap()).unwrap()
}

#[test]
fn tokens_are_those_of_python() {
    compare_tokens("owlv2", 77);
    for wrong in ["", "{}", "[]", "{\"model\": {\"type\": \"Unknown\"}}"] {
        let message = PhraseTokenizer::load(wrong.as_bytes(), "x.json").map(drop).unwrap_err().to_string();
        assert!(message.starts_with("x.json: not a tokenizer"), "{message}");
    }
}

#[test]
fn pictures_are_those_of_the_processor() {
    let bundle: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden("owlv2/bundle.json")).unwrap()).unwrap();
    let three = |field: &str| -> [f32; 3] { serde_json::from_value(bundle[field].clone()).unwrap() };
    let side = bundle["image_size"].as_u64().unwrap() as usize;
    let padding = bundle["padding"].as_f64().unwrap() as f32;
    let spec = PaddedSpec { side: side as u32, mean: three("mean"), std: three("std"), padding };
    let mut square = PaddedSquare::new(spec);
    let content = std::fs::read(golden("owlv2/expected.safetensors")).unwrap();
    let stored = SafeTensors::deserialize(&content).unwrap();
    for name in expected().photos.keys() {
        let image = picture(name);
        let mut pixels = vec![f32::NAN; 3 * side * side];
        assert_eq!(square.run(&image, &mut pixels).unwrap(), image.width().max(image.height()));
        let worst = difference(&pixels, side, &tensor(&stored, &format!("{name}.pixels")).1, STRIDE);
        println!("{name:10} {worst:.1e} of a deviation");
        assert!(worst < 2e-5, "{name}: {worst}");
    }
}

#[test]
fn outputs_are_those_of_transformers() {
    let expected = expected();
    let content = std::fs::read(golden("owlv2/expected.safetensors")).unwrap();
    let stored = SafeTensors::deserialize(&content).unwrap();
    let mut model = open("owlv2");
    let features = model.understand(&phrases(&expected.phrases)).unwrap();
    let vectors: Vec<f32> = features.iter().flat_map(|f| f.values().to_vec()).collect();
    let queries = apart(&vectors, &tensor(&stored, "queries").1);
    println!("queries {queries:.1e}");
    assert!(queries < LIMIT);
    for name in expected.photos.keys() {
        let sight = model.look(&picture(name)).unwrap();
        let answers = model.answers(&sight, &features).unwrap();
        let Answers::Owlv2 { logits, boxes, objectness } = answers else { panic!("an OWLv2") };
        let stored = |part: &str| tensor(&stored, &format!("{name}.{part}")).1;
        let worst = [
            apart(&logits, &stored("logits")),
            apart(&boxes, &stored("boxes")),
            apart(&objectness, &stored("objectness")),
        ];
        println!("{name:10} logits {:.1e}  boxes {:.1e}  objectness {:.1e}", worst[0], worst[1], worst[2]);
        assert!(worst.iter().all(|difference| *difference < LIMIT), "{name}: {worst:?}");
    }
}

/// Compares detections with those of the processor, cut at the edges of the image.
fn compare(name: &str, suppress: bool) {
    let expected = expected();
    let (image, of_photo) = (picture(name), &expected.photos[name]);
    let (width, height) = (image.width() as f32, image.height() as f32);
    let all: Vec<usize> = (0..of_photo.scores.len()).collect();
    let mut wanted = Vec::new();
    for index in if suppress { &of_photo.kept } else { &all } {
        let [x0, y0, x1, y1] = of_photo.boxes[*index];
        let cut = [x0.max(0.0), y0.max(0.0), x1.min(width), y1.min(height)];
        if cut[0] < cut[2] && cut[1] < cut[3] {
            wanted.push((of_photo.labels[*index], of_photo.scores[*index], cut));
        }
    }
    let mut model = open("owlv2");
    let phrases = phrases(&expected.phrases);
    let features = model.understand(&phrases).unwrap();
    let sight = model.look(&image).unwrap();
    let defaults = model.limits(&phrases, 1000);
    assert_eq!((defaults.min_score, defaults.nms_iou), (0.1, 0.3), "the defaults of the processor");
    let nms_iou = if suppress { 0.3 } else { 1.0 };
    let limits = Limits { min_score: expected.min_score, nms_iou, ..defaults };
    let found = model.detect(&sight, &features, &limits).unwrap().detections;
    println!("{name:10} {} boxes of {}", found.len(), of_photo.scores.len());
    assert!(wanted.len() > 2 && found.len() == wanted.len(), "{name}: {} for {}", found.len(), wanted.len());
    assert!(found.is_sorted_by(|a, b| a.score >= b.score));
    for (label, score, bbox) in wanted {
        let near = |a: f32, b: f32| (a - b).abs() < 0.02;
        let same = found.iter().any(|detection| {
            let is_there = detection.bbox.iter().zip(bbox).all(|(a, b)| near(*a, b));
            detection.phrase == label && (detection.score - score).abs() < 1e-4 && is_there
        });
        assert!(same, "{name}: no box {bbox:?} of the phrase {label} with {score}");
    }
}

#[test]
fn detections_are_those_of_the_processor() {
    ["astronaut", "chelsea", "flower", "part"].into_iter().for_each(|name| compare(name, false));
}

#[test]
fn doubles_are_suppressed_as_by_torchvision() {
    let expected = expected();
    assert!(expected.photos.values().any(|photo| photo.kept.len() < photo.scores.len()));
    expected.photos.keys().for_each(|name| compare(name, true));
}

#[test]
fn features_are_computed_once_for_each_phrase() {
    let mut model = open("owlv2");
    let phrase = |text: &str| Phrase::new(text).unwrap();
    let first = model.understand(&[phrase("red cup"), phrase("person")]).unwrap();
    let again = model.understand(&[phrase("Red  CUP"), phrase("person")]).unwrap();
    assert!(first.iter().zip(&again).all(|(a, b)| Arc::ptr_eq(a, b)));
    assert_ne!(first[0].values(), first[1].values());
}
