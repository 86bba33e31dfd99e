//! Phrases on the command line: `segment --text`, `text-bank`, `label --text` and `track --text` from the outside.

mod scratch;

use std::path::Path;
use std::process::{Command, Output};

use scratch::{Scratch, assert_says, golden, line, refused, succeeded};
use serde_json::Value;

fn promptseg(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promptseg"));
    command.current_dir(folder).args(arguments).args(["--threads", "1"]).output().unwrap()
}

fn with_cat(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    std::fs::copy(golden("chelsea.png"), scratch.file("cat.png")).unwrap();
    std::os::unix::fs::symlink(golden("owlv2"), scratch.file("owlv2")).unwrap();
    scratch
}

/// Runs `promptseg segment` with a small model and the small OWLv2.
fn segment(folder: &Path, arguments: &[&str]) -> Output {
    let model = golden("variants");
    let tail = ["--model", model.to_str().unwrap(), "--text-model", "owlv2"];
    promptseg(folder, &[&["segment", "cat.png"], arguments, &tail].concat())
}

#[test]
fn objects_have_the_class_of_their_phrase() {
    let scratch = with_cat("text-json");
    let text = ["--text", "a photo of a cat, person, red flower", "--text-min-score", "0.4"];
    let output = segment(&scratch.0, &[&text[..], &["--format", "json", "--overlay"]].concat());
    let line = line(&output);
    let masks = line["masks"].as_array().unwrap();
    // Those of the golden files that lie on the photo.
    assert!(masks.len() > 2, "{line}");
    let scores: Vec<f64> = masks.iter().map(|mask| mask["detection_score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b) && scores.iter().all(|score| *score > 0.4));
    let classes: Vec<&str> = masks.iter().map(|mask| mask["class"].as_str().unwrap()).collect();
    assert!(classes.iter().all(|class| ["a photo of a cat", "person", "red flower"].contains(class)), "{classes:?}");
    assert!(scratch.file("cat_overlay.png").exists());
    let few = segment(&scratch.0, &[&text[..], &["--format", "json", "--text-max-objects", "1"]].concat());
    let few = scratch::line(&few);
    assert_eq!(few["masks"].as_array().unwrap().len(), 1);
    assert_eq!(few["masks"][0]["class"], masks[0]["class"]);
    // The categories of COCO are the phrases.
    let coco: Value =
        serde_json::from_str(&succeeded(&segment(&scratch.0, &[&text[..], &["--format", "coco"]].concat()))).unwrap();
    let names: Vec<&str> = coco["categories"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a photo of a cat", "person", "red flower"]);
    for (annotation, class) in coco["annotations"].as_array().unwrap().iter().zip(&classes) {
        assert_eq!(names[annotation["category_id"].as_u64().unwrap() as usize - 1], *class);
    }
}

#[test]
fn masks_are_numbered_and_no_object_is_no_failure() {
    let scratch = with_cat("text-png");
    let output = segment(
        &scratch.0,
        &["--text", "a photo of a cat, person", "--text-min-score", "0.4", "--text-max-objects", "2"],
    );
    assert_eq!(succeeded(&output), "cat_mask_1.png\ncat_mask_2.png\n");
    let output = segment(&scratch.0, &["--text", "person", "--text-min-score", "1", "--out", "none/"]);
    assert_eq!(succeeded(&output), "");
}

#[test]
fn wrong_text_arguments_are_refused() {
    let scratch = with_cat("text-wrong");
    for (arguments, code, says) in [
        (&["--text", "cat", "--point", "1,1"][..], 2, "--text finds the objects by itself"),
        (&["--text", ","], 2, "--text has no phrase"),
        (&["--text", "cat", "--text-min-score", "2"], 2, "the least score is 2, expected 0 to 1"),
        (&["--text", "cat", "--text-max-objects", "0"], 2, "expected at least 1"),
        (&["--text", &["cup"; 15].join(" ")], 1, "has 17 tokens with start and end"),
        (&["--text", &["x"; 129].concat()], 2, "129 characters"),
        (&["--text", "cat", "--text-bank", "gone"], 1, "cannot read gone"),
        (&["--point", "1,1"], 2, "--text"),
    ] {
        assert_says(&refused(&segment(&scratch.0, arguments), code), &[says]);
    }
    let alone = promptseg(&scratch.0, &["segment", "cat.png", "--text", "cat"]);
    assert_says(&refused(&alone, 2), &["--text-model"]);
    let other = golden("sam");
    let other =
        promptseg(&scratch.0, &["segment", "cat.png", "--text", "cat", "--text-model", other.to_str().unwrap()]);
    assert_says(&refused(&other, 1), &["is no text model", "family sam"]);
}

#[test]
fn a_bank_replaces_the_text_tower() {
    let scratch = with_cat("text-bank");
    let robot = scratch.file("robot");
    std::fs::create_dir(&robot).unwrap();
    for file in ["bundle.json", "image_tower.onnx", "class_head.onnx"] {
        std::fs::copy(golden("owlv2").join(file), robot.join(file)).unwrap();
    }
    scratch.write("phrases.txt", "person\n\nRed Flower\n");
    let bank = ["text-bank", "owlv2", "a photo of a cat, person", "--phrases", "phrases.txt", "-o", "bank.safetensors"];
    assert_eq!(succeeded(&promptseg(&scratch.0, &bank)), "bank.safetensors\n");
    assert_says(&refused(&promptseg(&scratch.0, &bank), 1), &["bank.safetensors", "--overwrite"]);
    let model = golden("variants");
    let on = |text_model: &str, more: &[&str]| {
        let text =
            ["--text", "person, red flower", "--text-min-score", "0.4", "--format", "json", "--text-model", text_model];
        promptseg(&scratch.0, &[&["segment", "cat.png", "--model", model.to_str().unwrap()], &text[..], more].concat())
    };
    let with_bank = line(&on("robot", &["--text-bank", "bank.safetensors"]));
    let whole = line(&on("owlv2", &[]));
    assert_eq!(with_bank["masks"], whole["masks"]);
    assert_says(&refused(&on("robot", &[]), 1), &["has no text tower", "no bank was given"]);
    let robot_bank = promptseg(&scratch.0, &["text-bank", "robot", "person", "-o", "other.safetensors"]);
    assert_says(&refused(&robot_bank, 1), &["has no text tower"]);
    assert!(!scratch.file("other.safetensors").exists());
    for (arguments, code, says) in [
        (&["text-bank", "owlv2", "-o", "x.safetensors"][..], 2, "PHRASE"),
        (&["text-bank", "owlv2", ",", "-o", "x.safetensors"], 2, "no phrase"),
        (&["text-bank", "owlv2", &["cup"; 15].join(" "), "-o", "x.safetensors"], 1, "17 tokens"),
        (&["text-bank", "owlv2", "--phrases", "cat.png", "-o", "x.safetensors"], 1, "--phrases cat.png"),
    ] {
        assert_says(&refused(&promptseg(&scratch.0, arguments), code), &[says]);
        assert!(!scratch.file("x.safetensors").exists());
    }
}

/// Runs a command on the drawn clip with the small SAM 2.1 that has memory.
fn on_clip(command: &str, folder: &Path, arguments: &[&str]) -> Output {
    let (frames, model) = (golden("video/frames"), golden("video"));
    let tail = ["--model", model.to_str().unwrap(), "--text-model", "owlv2", "--text-min-score", "0.4"];
    promptseg(folder, &[&[command, frames.to_str().unwrap()], arguments, &tail].concat())
}

#[test]
fn the_memory_follows_objects_that_phrases_named() {
    let scratch = with_cat("text-track");
    let text = ["--text", "person, red flower", "--text-max-objects", "2", "--format", "coco-rle"];
    let lines = |every: &str| -> Vec<Value> {
        let output = on_clip("track", &scratch.0, &[&text[..], &["--text-every", every]].concat());
        succeeded(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let once = lines("1000");
    assert_eq!(once.len(), 20);
    let objects = |line: &Value| -> Vec<(u64, String)> {
        let masks = line["masks"].as_array().unwrap();
        masks
            .iter()
            .map(|mask| (mask["object"].as_u64().unwrap(), mask["class"].as_str().unwrap().to_owned()))
            .collect()
    };
    let first = objects(&once[0]);
    assert!(!first.is_empty());
    assert!(once.iter().all(|line| objects(line) == first), "followed from frame to frame");
    // Asked again, the phrases name the same objects: their numbers stay.
    let again = lines("10");
    assert!(again.iter().all(|line| objects(line).starts_with(&first)), "{again:?}");
    let wrong = on_clip("track", &scratch.0, &["--text", "person", "--reverse", "--format", "coco-rle"]);
    assert_says(&refused(&wrong, 2), &["--reverse"]);
}

#[test]
fn a_data_set_has_the_phrases_as_classes() {
    let scratch = with_cat("text-label");
    let text = ["--text", "person, red flower", "--text-max-objects", "3", "--min-iou", "0", "--text-every", "5"];
    let output = on_clip("label", &scratch.0, &[&text[..], &["--out", "set"]].concat());
    succeeded(&output);
    let read = |file: &str| -> Value { serde_json::from_slice(&std::fs::read(scratch.file(file)).unwrap()).unwrap() };
    let coco = read("set/annotations/instances_train.json");
    let names: Vec<&str> = coco["categories"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert!(!names.is_empty() && names.iter().all(|name| ["person", "red flower"].contains(name)), "{names:?}");
    assert!(coco["annotations"].as_array().unwrap().len() > 10);
    let manifest = read("set/manifest.json").to_string();
    assert_says(&manifest, &["\"every\":5", "\"phrases\":[\"person\",\"red flower\"]"]);
    // Another phrase is another run.
    let other = ["--text", "cup", "--text-max-objects", "3", "--min-iou", "0", "--text-every", "5", "--out", "set"];
    assert_says(&refused(&on_clip("label", &scratch.0, &other), 1), &["frames of another run"]);
}
