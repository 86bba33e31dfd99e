//! Phrases on the command line with a text model that makes masks: `segment --text`, `track --text`, `label --text` and `text-bank`
//! from the outside.
//!
//! The small SAM 3 has the original architecture and random weights. The model of `tests/fixtures/colour_masks` is constructed: it
//! knows colours, and each colour is one object.

mod scratch;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{Rgb, RgbImage};
use promptseg::text::{Phrase, TextModel};
use scratch::{Scratch, assert_says, decode_run_lengths, golden, line, refused, succeeded};
use serde_json::Value;

fn promptseg(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promptseg"));
    command.current_dir(folder).args(arguments).args(["--threads", "1"]).output().unwrap()
}

fn colours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/colour_masks")
}

/// Draws a red ball, and a blue card that is moved by `dx` pixels.
fn scene(dx: u32) -> RgbImage {
    let mut image = RgbImage::from_pixel(320, 240, Rgb([110, 115, 100]));
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let (from_x, from_y) = (x as f32 - 80.0, y as f32 - 100.0);
        if from_x * from_x + from_y * from_y < 1600.0 {
            *pixel = Rgb([214, 70, 44]);
        } else if (190 + dx..270 + dx).contains(&x) && (140..200).contains(&y) {
            *pixel = Rgb([40, 90, 190]);
        }
    }
    image
}

/// Makes a folder with a picture, a photo and both models.
fn folder(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    scene(0).save(scratch.file("scene.png")).unwrap();
    std::fs::copy(golden("chelsea.png"), scratch.file("cat.png")).unwrap();
    std::os::unix::fs::symlink(golden("sam3"), scratch.file("sam3")).unwrap();
    std::os::unix::fs::symlink(colours(), scratch.file("colours")).unwrap();
    scratch
}

fn masks(line: &Value) -> &Vec<Value> {
    line["masks"].as_array().unwrap()
}

fn class(mask: &Value) -> &str {
    mask["class"].as_str().unwrap()
}

/// Returns the part of the pixels of a colour among the pixels of the mask, and the reverse.
fn overlap(mask: &Value, image: &RgbImage, is_inside: impl Fn(&Rgb<u8>) -> bool) -> f32 {
    let mask = decode_run_lengths(&mask["segmentation"]);
    let (mut shared, mut union) = (0, 0);
    for (pixel, inside) in image.pixels().zip(mask.pixels()) {
        let (a, b) = (is_inside(pixel), inside.0[0] > 0);
        (shared, union) = (shared + u32::from(a && b), union + u32::from(a || b));
    }
    shared as f32 / union as f32
}

#[test]
fn masks_are_those_of_the_text_model() {
    let scratch = folder("sam3-json");
    let text = "a photo of a cat, person";
    let arguments = ["segment", "cat.png", "--text", text, "--text-model", "sam3", "--text-max-objects", "4"];
    let line = line(&promptseg(&scratch.0, &[&arguments[..], &["--format", "json", "--overlay"]].concat()));
    assert_eq!((line["model"].as_str(), line["provider"].as_str()), (Some("sam3_small"), Some("cpu")));
    // The library finds the same objects.
    let mut model = TextModel::open(&golden("sam3"), &promptseg::model::SessionOptions::cpu(1), None).unwrap();
    let phrases = ["a photo of a cat", "person"].map(|text| Phrase::new(text).unwrap());
    let features = model.understand(&phrases).unwrap();
    let image = image::open(golden("chelsea.png")).unwrap().into_rgb8();
    let sight = model.look(&image).unwrap();
    let found = model.detect(&sight, &features, &model.limits(&phrases, 4)).unwrap().detections;
    assert!(found.len() > 1 && masks(&line).len() == found.len(), "{line}");
    for (mask, detection) in masks(&line).iter().zip(&found) {
        let own = detection.mask.as_ref().unwrap();
        assert_eq!(class(mask), phrases[detection.phrase].text);
        assert_eq!(mask["area"], own.best.mask.area);
        let near = |field: &str, value: f32| (mask[field].as_f64().unwrap() - f64::from(value)).abs() < 1e-5;
        assert!(near("detection_score", detection.score) && near("iou", detection.score), "{mask}");
        assert!(near("object_score", own.object_score.unwrap()) && near("stability", own.best.mask.stability));
        let pixels = decode_run_lengths(&mask["segmentation"]);
        assert_eq!(pixels.as_raw(), &own.best.mask.full());
    }
    assert!(scratch.file("cat_overlay.png").exists());
    assert!(line["ms"]["encode"].as_f64().unwrap() > 0.0 && line["ms"]["decode"].as_f64().unwrap() > 0.0);
}

#[test]
fn each_colour_that_a_phrase_names_is_an_object() {
    let scratch = folder("sam3-colours");
    let on = |text: &str, more: &[&str]| {
        let arguments = ["segment", "scene.png", "--text-model", "colours", "--format", "json", "--text", text];
        line(&promptseg(&scratch.0, &[&arguments[..], more].concat()))
    };
    let image = scene(0);
    let both = on("red ball, blue card, yellow egg", &[]);
    assert_eq!(masks(&both).iter().map(class).collect::<Vec<_>>(), ["red ball", "blue card"]);
    assert!(overlap(&masks(&both)[0], &image, |p| p.0[0] > 200) > 0.9, "{both}");
    assert!(overlap(&masks(&both)[1], &image, |p| p.0[2] > 180) > 0.9, "{both}");
    assert!(masks(&both).iter().all(|mask| mask["object_score"].as_f64().unwrap() > 7.0));
    // One phrase names two objects, and an object answers to two phrases.
    let things = on("thing, red ball", &[]);
    let mut classes = masks(&things).iter().map(class).collect::<Vec<_>>();
    classes.sort_unstable();
    assert_eq!(classes, ["red ball", "thing", "thing"]);
    assert_eq!(masks(&on("thing", &["--text-max-objects", "1"])).len(), 1);
    assert!(masks(&on("thing", &["--text-min-score", "0.995"])).is_empty());
    let objects = on("red ball", &["--all"]);
    assert_eq!(masks(&objects).len(), 1, "a text model has no candidates");
}

#[test]
fn files_and_categories_are_named_as_with_boxes() {
    let scratch = folder("sam3-files");
    let arguments = ["segment", "scene.png", "--text", "red ball, blue card", "--text-model", "colours"];
    assert_eq!(succeeded(&promptseg(&scratch.0, &arguments)), "scene_mask_1.png\nscene_mask_2.png\n");
    let coco = succeeded(&promptseg(&scratch.0, &[&arguments[..], &["--format", "coco"]].concat()));
    let coco: Value = serde_json::from_str(&coco).unwrap();
    let names: Vec<&str> = coco["categories"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!((names, coco["annotations"].as_array().unwrap().len()), (vec!["red ball", "blue card"], 2));
    let none = ["segment", "scene.png", "--text", "green frog", "--text-model", "colours", "--out", "none/"];
    assert_eq!(succeeded(&promptseg(&scratch.0, &none)), "");
}

#[test]
fn a_bank_replaces_the_text_tower() {
    let scratch = folder("sam3-bank");
    let robot = scratch.file("robot");
    std::fs::create_dir(&robot).unwrap();
    for file in ["bundle.json", "image_tower.onnx", "detector.onnx"] {
        std::fs::copy(golden("sam3").join(file), robot.join(file)).unwrap();
    }
    let bank = ["text-bank", "sam3", "a photo of a cat, person", "-o", "bank.safetensors"];
    assert_eq!(succeeded(&promptseg(&scratch.0, &bank)), "bank.safetensors\n");
    let on = |model: &str, more: &[&str]| {
        let arguments = ["segment", "cat.png", "--text", "person", "--format", "json", "--text-model", model];
        promptseg(&scratch.0, &[&arguments[..], more].concat())
    };
    let (with_bank, whole) = (line(&on("robot", &["--text-bank", "bank.safetensors"])), line(&on("sam3", &[])));
    assert!(!masks(&whole).is_empty());
    assert_eq!(with_bank["masks"], whole["masks"]);
    assert_says(&refused(&on("robot", &[]), 1), &["has no text tower", "no bank was given"]);
    let foreign = golden("owlv2");
    let foreign = on(foreign.to_str().unwrap(), &["--text-bank", "bank.safetensors"]);
    assert_says(&refused(&foreign, 1), &["a bank of the model sam3_small", "owlv2_small"]);
}

#[test]
fn wrong_arguments_are_refused() {
    let scratch = folder("sam3-wrong");
    let model = golden("variants");
    for (arguments, code, says) in [
        (
            &["--text", "cat", "--model", model.to_str().unwrap()][..],
            2,
            "makes the masks of --text itself: leave out --model",
        ),
        (&["--text", &["cup"; 31].join(" ")], 1, "has 33 tokens with start and end, the model takes at most 32"),
        (&["--text", "cat", "--text-min-score", "2"], 2, "the least score is 2, expected 0 to 1"),
        (&["--text", "cat", "--point", "1,1"], 2, "--text finds the objects by itself"),
    ] {
        let arguments = [&["segment", "cat.png", "--text-model", "sam3"], arguments].concat();
        assert_says(&refused(&promptseg(&scratch.0, &arguments), code), &[says]);
    }
}

/// Draws a clip in which the card moves.
fn clip(scratch: &Scratch) {
    std::fs::create_dir(scratch.file("clip")).unwrap();
    for frame in 0..4 {
        scene(frame * 4).save(scratch.file(format!("clip/{frame}.png"))).unwrap();
    }
}

#[test]
fn the_memory_begins_with_the_masks_of_the_text_model() {
    let scratch = folder("sam3-track");
    clip(&scratch);
    let model = golden("video");
    let track = |text: &str, every: &str| -> Vec<Value> {
        let arguments =
            ["track", "clip", "--model", model.to_str().unwrap(), "--text-model", "colours", "--text", text];
        let output =
            promptseg(&scratch.0, &[&arguments[..], &["--text-every", every, "--format", "coco-rle"]].concat());
        succeeded(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let lines = track("red ball, blue card", "1000");
    assert_eq!(lines.len(), 4);
    let image = scene(0);
    let first = masks(&lines[0]);
    assert_eq!(first.iter().map(class).collect::<Vec<_>>(), ["red ball", "blue card"]);
    // The masks are those of the text model at the resolution of the memory; a model with random weights makes no such masks.
    assert!(overlap(&first[0], &image, |p| p.0[0] > 200) > 0.8, "{}", lines[0]);
    assert!(overlap(&first[1], &image, |p| p.0[2] > 180) > 0.8, "{}", lines[0]);
    assert!(lines.iter().all(|line| masks(line).len() == 2), "followed from frame to frame");
    // Asked again, the phrase names the object that it named before, where the memory holds it.
    let again = track("red ball", "1");
    assert_eq!(masks(&again[0])[0]["object"], 1);
}

#[test]
fn a_data_set_has_the_masks_of_the_text_model() {
    let scratch = folder("sam3-label");
    clip(&scratch);
    let label = |model: &Path, every: &str, out: &str| -> Value {
        let text = ["--text", "red ball, blue card", "--text-model", "colours", "--text-every", every, "--out", out];
        let output =
            promptseg(&scratch.0, &[&["label", "clip", "--model", model.to_str().unwrap()], &text[..]].concat());
        succeeded(&output);
        let file = scratch.file(out).join("annotations/instances_train.json");
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    };
    // A model without memory takes the masks as they are.
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny");
    let coco = label(&tiny, "1", "set");
    let annotations = coco["annotations"].as_array().unwrap();
    assert_eq!(annotations.len(), 8, "two objects on four frames");
    let names: Vec<&str> = coco["categories"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2);
    for annotation in annotations {
        let name = names[annotation["category_id"].as_u64().unwrap() as usize - 1];
        let frame = coco["images"].as_array().unwrap().iter().position(|image| image["id"] == annotation["image_id"]);
        let frame = frame.unwrap() as u32;
        let image = scene(frame * 4);
        let fits = match name {
            "red ball" => overlap(annotation, &image, |p| p.0[0] > 200),
            _ => overlap(annotation, &image, |p| p.0[2] > 180),
        };
        assert!(fits > 0.9, "{name} on frame {frame}: {fits}");
    }
    // The memory follows the masks of the frame where they were found.
    let coco = label(&golden("video"), "1000", "followed");
    let first: Vec<_> =
        coco["annotations"].as_array().unwrap().iter().filter(|a| a["image_id"] == coco["images"][0]["id"]).collect();
    assert_eq!(first.len(), 2);
    assert!(first.iter().any(|a| overlap(a, &scene(0), |p| p.0[0] > 200) > 0.9));
}
