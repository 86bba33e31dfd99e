//! Text models, banks and phrases that are refused, with what was found and what was expected.

mod refused_text;
mod scratch;

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use promptseg::model::{Model, SessionOptions};
use promptseg::text::{Bank, Features, Limits, TextDetection};
use refused_text::{bank, open, phrases, refusal};
use scratch::{Scratch, assert_says, golden};
use serde_json::{Value, json};

const FILES: [&str; 5] = ["bundle.json", "image_tower.onnx", "class_head.onnx", "text_tower.onnx", "tokenizer.json"];

/// Copies the small bundle without some of its files.
fn bundle(name: &str, without: &[&str]) -> Scratch {
    let scratch = Scratch::new(name);
    for file in FILES.iter().filter(|file| !without.contains(file)) {
        std::fs::copy(golden("owlv2").join(file), scratch.file(file)).unwrap();
    }
    scratch
}

/// Writes a bundle whose description has other values.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Scratch {
    let scratch = bundle(name, &[]);
    let mut description: Value = serde_json::from_slice(&std::fs::read(scratch.file("bundle.json")).unwrap()).unwrap();
    change(&mut description);
    scratch.write("bundle.json", description.to_string());
    scratch
}

#[test]
fn folders_that_are_no_text_model_are_refused() {
    assert_says(&refusal(Path::new("gone"), None), &["gone is no text model: there is no such folder", "owlv2"]);
    assert_says(&refusal(&golden("official"), None), &["it has no bundle.json"]);
    assert_says(&refusal(&golden("sam"), None), &["a bundle of the family sam, which makes masks of prompts"]);
    // The other way round.
    let error = Model::open(&golden("owlv2"), None, &SessionOptions::cpu(1)).map(drop).unwrap_err().to_string();
    assert_says(&error, &["kind is text", "expected a model that makes masks", "text.model"]);
}

#[test]
fn fields_out_of_range_are_refused() {
    for (field, value, says) in [
        ("family", json!("sam4"), "family is sam4, expected a text model of owlv2, sam3"),
        ("image_size", json!(100_000), "image_size is 100000, expected 1 to 4096"),
        ("tokens", json!(0), "tokens is 0, expected 1 to"),
        ("mean", json!([1.0, 2.0]), "is no text model"),
        ("std", json!([0.0, 1.0, 1.0]), "three positive numbers"),
        ("padding", json!(300), "padding is 300, expected 0 to 255"),
        ("min_score", json!(2.0), "min_score is 2, expected 0 to 1"),
        ("name", json!("a\u{0}b"), "text without control characters"),
        ("format", json!(99), "bundle format 99, this version reads up to"),
        ("format", json!("2"), "no whole number `format`"),
        ("files", json!({}), "files is without image_tower.onnx"),
    ] {
        let scratch = changed("text-field", |description| description[field] = value);
        assert_says(&refusal(&scratch.0, None), &[says]);
    }
    let scratch = changed("text-name", |description| {
        description["files"]["../x"] = description["files"]["tokenizer.json"].clone()
    });
    assert_says(&refusal(&scratch.0, None), &["`../x`", "plain file names"]);
}

#[test]
fn damaged_files_and_other_graphs_are_refused() {
    for file in &FILES[1..] {
        let scratch = bundle("text-damaged", &[]);
        let mut content = std::fs::read(scratch.file(file)).unwrap();
        let last = content.len() - 1;
        content[last] ^= 1;
        scratch.write(file, &content);
        assert_says(&refusal(&scratch.0, None), &[file, "SHA-256", "damaged"]);
        scratch.write(file, &content[..last]);
        assert_says(&refusal(&scratch.0, None), &[file, "bytes, bundle.json says"]);
    }
    let scratch = bundle("text-missing", &["image_tower.onnx"]);
    assert_says(&refusal(&scratch.0, None), &["image_tower.onnx is missing from the bundle"]);
    // A text tower in the place of the class head.
    let scratch = changed("text-swapped", |description| {
        description["files"]["class_head.onnx"] = description["files"]["text_tower.onnx"].clone();
    });
    std::fs::copy(golden("owlv2/text_tower.onnx"), scratch.file("class_head.onnx")).unwrap();
    assert_says(&refusal(&scratch.0, None), &["class_head.onnx: no tensor `class_embeddings`", "token_ids"]);
    // A graph for another number of tokens.
    let scratch = changed("text-tokens", |description| description["tokens"] = json!(77));
    assert_says(&refusal(&scratch.0, None), &["`token_ids` is token_ids i32[1,16], expected token_ids i32[1,77]"]);
}

#[test]
fn phrases_that_the_model_cannot_take_are_refused() {
    let mut model = open(&golden("owlv2"), None).unwrap();
    // Start, end, and fourteen words.
    assert_eq!(model.understand(&phrases(&[&["cup"; 14].join(" ")])).unwrap().len(), 1);
    let error = model.understand(&phrases(&["person", &["cup"; 15].join(" ")])).unwrap_err().to_string();
    assert_says(&error, &["'cup cup", "has 17 tokens with start and end, the model takes at most 16; use fewer words"]);
    let sight = model.look(&RgbImage::new(40, 30)).unwrap();
    let features = model.understand(&phrases(&["person"])).unwrap();
    let limits = model.limits(&phrases(&["person"]), 10);
    let mut detect = |features: &[Arc<Features>], limits: &Limits| model.detect(&sight, features, limits);
    assert!(detect(&features, &limits).is_ok());
    assert_says(&detect(&[], &limits).unwrap_err().to_string(), &["0 phrases, expected 1 to 100"]);
    let many = vec![Arc::clone(&features[0]); 101];
    assert_says(&detect(&many, &limits).unwrap_err().to_string(), &["101 phrases"]);
    let wrong = Limits { min_score: 2.0, ..limits };
    assert_says(&detect(&features, &wrong).unwrap_err().to_string(), &["the least score is 2, expected 0 to 1"]);
    assert!(model.look(&RgbImage::new(0, 5)).is_err());
}

#[test]
fn a_model_without_text_tower_works_with_a_bank() {
    let scratch = bundle("text-bank", &["text_tower.onnx", "tokenizer.json"]);
    assert_says(&refusal(&scratch.0, None), &["has no text tower (text_tower.onnx is missing) and no bank was given"]);
    let file = bank(&scratch, "owlv2", &["Red cup", "person"]);
    let mut robot = open(&scratch.0, Some(&file)).unwrap();
    assert_eq!((robot.bank_len(), robot.reports().len()), (Some(2), 2));
    let features = robot.understand(&phrases(&["person", "red CUP"])).unwrap();
    let mut whole = open(&golden("owlv2"), None).unwrap();
    let computed = whole.understand(&phrases(&["person", "red cup"])).unwrap();
    assert_eq!(features, computed);
    // The features of one serve the other.
    let image = image::open(golden("chelsea.png")).unwrap().into_rgb8();
    let (sight, limits) = (robot.look(&image).unwrap(), robot.limits(&[], 100));
    let boxes = |found: Vec<TextDetection>| found.iter().map(|d| (d.phrase, d.bbox, d.score)).collect::<Vec<_>>();
    let by_robot = boxes(robot.detect(&sight, &features, &limits).unwrap().detections);
    let sight = whole.look(&image).unwrap();
    assert_eq!(by_robot, boxes(whole.detect(&sight, &computed, &limits).unwrap().detections));
    assert!(!by_robot.is_empty());
    let error = robot.understand(&phrases(&["spoon"])).unwrap_err().to_string();
    assert_says(&error, &["the phrase 'spoon' is not in the bank", "has no text tower", "promptseg text-bank"]);
}

#[test]
fn a_whole_model_opens_its_text_tower_for_phrases_that_are_not_in_the_bank() {
    let scratch = Scratch::new("text-lazy");
    let file = bank(&scratch, "owlv2", &["person"]);
    let mut model = open(&golden("owlv2"), Some(&file)).unwrap();
    model.understand(&phrases(&["person"])).unwrap();
    assert_eq!(model.reports().len(), 2, "the text tower is not open");
    model.understand(&phrases(&["spoon"])).unwrap();
    assert_eq!(model.reports().len(), 3);
}

#[test]
fn the_bank_of_another_model_is_refused() {
    let scratch = Scratch::new("text-foreign");
    let file = bank(&scratch, "owlv2", &["person"]);
    // The description has another hash of one file, as the bundle of another checkpoint has.
    let other =
        changed("text-other", |description| description["files"]["text_tower.onnx"]["sha256"] = json!("0".repeat(64)));
    let message = refusal(&other.0, Some(&file));
    assert_says(&message, &["is a bank of the model owlv2_small (", "the model owlv2_small (", "promptseg text-bank"]);
    assert_says(
        &refusal(&golden("owlv2"), Some(&golden("sam/prompt_encoder.safetensors"))),
        &["not a bank of text features"],
    );
    assert_says(&refusal(&golden("owlv2"), Some(&golden("chelsea.png"))), &["not a bank of text features"]);
    assert_says(&refusal(&golden("owlv2"), Some(&golden("gone"))), &["cannot read", "gone"]);
    assert_says(&refusal(&golden("owlv2"), Some(&golden("owlv2"))), &["not a bank"]);
}

#[test]
fn features_of_another_model_are_refused() {
    let mut model = open(&golden("owlv2"), None).unwrap();
    let other = changed("text-features", |description| {
        description["files"]["unused.txt"] = description["files"]["tokenizer.json"].clone()
    });
    // A file that no graph uses is no part of the model.
    let mut same = open(&other.0, None).unwrap();
    assert_eq!(model.hash(), same.hash());
    let sight = model.look(&RgbImage::new(40, 30)).unwrap();
    let features = same.understand(&phrases(&["person"])).unwrap();
    assert!(model.answers(&sight, &features).is_ok());
    let scratch = bundle("text-foreign-features", &["text_tower.onnx", "tokenizer.json"]);
    let mut description: Value = serde_json::from_slice(&std::fs::read(scratch.file("bundle.json")).unwrap()).unwrap();
    description["files"]["text_tower.onnx"]["sha256"] = json!("0".repeat(64));
    scratch.write("bundle.json", description.to_string());
    // A robot of another checkpoint, whose bank was made for it.
    let file = scratch.write("bank.safetensors", bank_of(&description, &features));
    let mut foreign = open(&scratch.0, Some(&file)).unwrap();
    let features = foreign.understand(&phrases(&["person"])).unwrap();
    let error = model.answers(&sight, &features).map(drop).unwrap_err().to_string();
    assert_says(&error, &["the features of the phrase 'person' belong to another text model"]);
}

/// Returns a bank with the hash of a description.
fn bank_of(description: &Value, features: &[Arc<Features>]) -> Vec<u8> {
    let content = Bank::encode(features, "other").unwrap();
    let hash = |file: &str| description["files"][file]["sha256"].as_str().unwrap().to_owned();
    let all = ["image_tower.onnx", "class_head.onnx", "text_tower.onnx", "tokenizer.json"].map(hash).join("\n");
    let digest = <sha2::Sha256 as sha2::Digest>::digest(all.as_bytes());
    let digest = digest.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let text = content.iter().map(|b| *b as char).collect::<String>();
    let old = open(&golden("owlv2"), None).unwrap().hash().to_owned();
    text.replace(&old, &digest).chars().map(|c| c as u8).collect()
}
