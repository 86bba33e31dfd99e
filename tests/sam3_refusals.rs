//! Bundles and banks of SAM 3's image model that are refused, with what was found and what was expected.

mod refused_text;
mod scratch;

use refused_text::{bank, open, phrases, refusal};
use scratch::{Scratch, assert_says, golden};
use serde_json::json;

#[test]
fn fields_out_of_range_are_refused() {
    let scratch = Scratch::with("sam3-fields", "sam3");
    let description = std::fs::read(scratch.file("bundle.json")).unwrap();
    for (field, value, says) in [
        ("family", json!("sam4"), "family is sam4, expected a text model of owlv2, sam3"),
        ("levels", json!([48, 0, 12]), "levels is 0, expected 1 to 4096"),
        ("levels", json!([48, 24]), "is no text model"),
        ("queries", json!(0), "queries is 0, expected 1 to 4096"),
        ("mask_size", json!(100_000), "mask_size is 100000, expected 1 to 4096"),
        ("mask_threshold", json!(1.5), "mask_threshold is 1.5, expected 0 to 1"),
        ("mask_threshold", json!(null), "is no text model"),
        ("min_score", json!(-0.1), "min_score is -0.1, expected 0 to 1"),
        ("tokens", json!(2000), "tokens is 2000, expected 1 to 1024"),
        ("files", json!({}), "files is without image_tower.onnx"),
    ] {
        scratch.describe(|description| description[field] = value);
        assert_says(&refusal(&scratch.0, None), &[says]);
        scratch.write("bundle.json", &description);
    }
    scratch.describe(|description| drop(description.as_object_mut().unwrap().remove("queries")));
    assert_says(&refusal(&scratch.0, None), &["is no text model", "missing field `queries`"]);
}

#[test]
fn damaged_files_and_other_graphs_are_refused() {
    for file in ["image_tower.onnx", "detector.onnx", "text_tower.onnx", "tokenizer.json"] {
        let scratch = Scratch::with("sam3-damaged", "sam3");
        let mut content = std::fs::read(scratch.file(file)).unwrap();
        let last = content.len() - 1;
        content[last] ^= 1;
        scratch.write(file, &content);
        assert_says(&refusal(&scratch.0, None), &[file, "SHA-256", "damaged"]);
        scratch.write(file, &content[..last]);
        assert_says(&refusal(&scratch.0, None), &[file, "bytes, bundle.json says"]);
    }
    let scratch = Scratch::with("sam3-missing", "sam3");
    std::fs::remove_file(scratch.file("detector.onnx")).unwrap();
    assert_says(&refusal(&scratch.0, None), &["detector.onnx is missing from the bundle"]);
    // The graphs are of other sizes than the description says.
    for (field, value, says) in [
        ("queries", json!(13), "`logits` is logits f32[1,12], expected logits f32[1,13]"),
        ("mask_size", json!(96), "`masks` is masks f32[1,12,48,48], expected masks f32[1,12,96,96]"),
        ("levels", json!([48, 12, 12]), "`level_1` is level_1 f32[1,32,24,24], expected level_1 f32[1,32,12,12]"),
        ("tokens", json!(16), "expected"),
        ("image_size", json!(336), "`image` is image f32[1,3,168,168], expected image f32[1,3,336,336]"),
    ] {
        let scratch = Scratch::with("sam3-sizes", "sam3");
        scratch.describe(|description| description[field] = value);
        assert_says(&refusal(&scratch.0, None), &[says]);
    }
    // A bundle of SAM 3 that says that it is an OWLv2.
    let scratch = Scratch::with("sam3-family", "sam3");
    scratch.describe(|description| description["family"] = json!("owlv2"));
    assert_says(&refusal(&scratch.0, None), &["is no text model", "missing field `padding`"]);
}

#[test]
fn phrases_that_are_too_long_are_refused() {
    let mut model = open(&golden("sam3"), None).unwrap();
    // Start, end, and thirty words.
    assert_eq!(model.understand(&phrases(&[&["cup"; 30].join(" ")])).unwrap()[0].rows(), 32);
    let error = model.understand(&phrases(&[&["cup"; 31].join(" ")])).unwrap_err().to_string();
    assert_says(&error, &["has 33 tokens with start and end, the model takes at most 32"]);
}

#[test]
fn banks_of_other_models_are_refused() {
    let scratch = Scratch::new("sam3-banks");
    let foreign = bank(&scratch, "owlv2", &["person"]);
    assert_says(&refusal(&golden("sam3"), Some(&foreign)), &["a bank of the model owlv2_small", "sam3_small"]);
    let own = bank(&scratch, "sam3", &["person", "a photo of a cat"]);
    assert_says(&refusal(&golden("owlv2"), Some(&own)), &["a bank of the model sam3_small", "owlv2_small"]);
    assert!(open(&golden("sam3"), Some(&own)).is_ok());
    // Another file with the weights of a graph is another model.
    let other = Scratch::with("sam3-weights", "sam3");
    other.put("image_tower.onnx.data", b"weights");
    assert_says(&refusal(&other.0, Some(&own)), &["compute it again: promptseg text-bank"]);
    let mut content = std::fs::read(&own).unwrap();
    let end = content.len() - 1;
    content[end - 3..].copy_from_slice(&f32::NAN.to_le_bytes());
    let damaged = scratch.write("damaged.safetensors", &content);
    assert_says(&refusal(&golden("sam3"), Some(&damaged)), &["not finite"]);
    let short = scratch.write("short.safetensors", &content[..end]);
    assert_says(&refusal(&golden("sam3"), Some(&short)), &["not a bank of text features"]);
}

#[test]
fn features_of_another_family_are_refused() {
    let (mut sam3, mut owlv2) = (open(&golden("sam3"), None).unwrap(), open(&golden("owlv2"), None).unwrap());
    let image = image::RgbImage::new(40, 30);
    let person = phrases(&["person"]);
    let (of_sam3, of_owlv2) = (sam3.understand(&person).unwrap(), owlv2.understand(&person).unwrap());
    let sight = sam3.look(&image).unwrap();
    let limits = sam3.limits(&person, 10);
    assert!(sam3.detect(&sight, &of_sam3, &limits).is_ok());
    let says = ["the features of the phrase 'person' belong to another text model"];
    assert_says(&sam3.detect(&sight, &of_owlv2, &limits).unwrap_err().to_string(), &says);
    // A sight of the other model.
    assert_says(&owlv2.detect(&sight, &of_owlv2, &limits).unwrap_err().to_string(), &says);
}
