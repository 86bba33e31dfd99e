//! `promptseg segment` gives the same answers on every processor: the JSON of the built-in model, stored in
//! tests/golden/cli/answers.json. Written on x86-64.
//! `PROMPTSEG_WRITE_ANSWERS=1 cargo test --test cli_answers` writes the file again.

mod scratch;

use std::process::Command;

use scratch::{Scratch, decode_run_lengths, golden, line};
use serde_json::Value;

/// Pictures in tests/golden/pixels, and prompts.
const QUESTIONS: [&[&str]; 4] = [
    &["chelsea_320x213.png", "--point", "160,100"],
    &["astronaut_160x160.png", "--point", "70,50"],
    &["rocket_131x57.png", "--box", "5,5,120,50"],
    &["china_400x225.png", "--point", "200,80", "--point", "30,30,0", "--all"],
];
/// Largest difference of a predicted IoU or a stability: ONNX Runtime has other kernels for each processor.
const SCORE: f64 = 1e-5;
/// Least IoU of a mask with the stored mask.
const OVERLAP: f64 = 0.999;

/// Returns the printed line without its times.
fn answer(question: &[&str]) -> Value {
    let scratch = Scratch::new("answers");
    let picture = golden("pixels").join(question[0]);
    std::fs::copy(picture, scratch.file(question[0])).unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny");
    let options = ["--format", "json", "--threads", "1", "--providers", "cpu", "--precision", "fp32", "--model", model];
    let output = Command::new(env!("CARGO_BIN_EXE_promptseg"))
        .current_dir(&scratch.0)
        .arg("segment")
        .args(question)
        .args(options)
        .output()
        .unwrap();
    let mut answer = line(&output);
    answer.as_object_mut().unwrap().remove("ms").unwrap();
    answer
}

/// Returns the IoU of two masks in COCO's run lengths.
fn overlap(found: &Value, stored: &Value) -> f64 {
    let (found, stored) = (decode_run_lengths(found), decode_run_lengths(stored));
    assert_eq!(found.dimensions(), stored.dimensions());
    let count = |inside: fn(bool, bool) -> bool| {
        found.pixels().zip(stored.pixels()).filter(|(a, b)| inside(a.0[0] > 0, b.0[0] > 0)).count()
    };
    count(|a, b| a && b) as f64 / count(|a, b| a || b).max(1) as f64
}

#[test]
fn the_answers_are_the_same_on_every_processor() {
    let found: Vec<Value> = QUESTIONS.iter().map(|question| answer(question)).collect();
    let path = golden("cli/answers.json");
    if std::env::var_os("PROMPTSEG_WRITE_ANSWERS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
    }
    let stored: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(found.len(), stored.len());
    let (mut equal, mut masks, mut score, mut least) = (0, 0, 0.0_f64, 1.0_f64);
    for (found, stored) in found.iter().zip(&stored) {
        equal += usize::from(found == stored);
        for key in ["image", "model", "precision", "provider", "size"] {
            assert_eq!(found[key], stored[key], "{key}");
        }
        let pairs = || found["masks"].as_array().unwrap().iter().zip(stored["masks"].as_array().unwrap());
        assert_eq!(found["masks"].as_array().unwrap().len(), stored["masks"].as_array().unwrap().len());
        for (found, stored) in pairs() {
            masks += 1;
            assert_eq!((&found["object"], &found["candidate"]), (&stored["object"], &stored["candidate"]));
            for key in ["iou", "stability"] {
                score = score.max((found[key].as_f64().unwrap() - stored[key].as_f64().unwrap()).abs());
            }
            least = least.min(overlap(&found["segmentation"], &stored["segmentation"]));
        }
    }
    println!("{equal} of {} lines are equal, scores differ by {score:.1e}, least IoU {least}", found.len());
    assert!(masks >= 6 && score <= SCORE && least >= OVERLAP, "{masks} masks, scores {score:.1e}, least IoU {least}");
}
