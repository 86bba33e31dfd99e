//! Bundles and pairs that are damaged, incomplete or of another model are refused with both values in the message.

mod scratch;

use std::path::Path;

use promptseg::model::{Bundle, Error, GridDefaults, Model, Provider, SessionOptions};
use scratch::{Scratch, assert_says, golden};
use serde_json::json;

/// Copies the bundle of the small SAM, so that a test can damage it.
fn copy(name: &str) -> Scratch {
    Scratch::with(&format!("bundle-{name}"), "sam")
}

/// Returns the message of the refused bundle.
fn refused(copy: &Scratch) -> String {
    refusal(&copy.0, None)
}

fn refusal(path: &Path, decoder: Option<&Path>) -> String {
    match Model::open(path, decoder, &SessionOptions::cpu(1)) {
        Ok(_) => panic!("{} was accepted", path.display()),
        Err(e) => e.to_string(),
    }
}

#[test]
fn a_whole_bundle_is_read() {
    let bundle = Bundle::open(&golden("sam")).unwrap();
    assert_eq!((bundle.manifest.name.as_str(), bundle.manifest.image_size), ("sam_small", 512));
    assert!(bundle.bytes() > 1_000_000);
}

#[test]
fn a_damaged_file_is_named_with_both_hashes() {
    let copy = copy("hash");
    let mut content = std::fs::read(copy.file("mask_decoder.onnx")).unwrap();
    content[1000] ^= 1;
    std::fs::write(copy.file("mask_decoder.onnx"), content).unwrap();
    let bundle = Bundle::open(&copy.0).unwrap();
    let Err(Error::FileHash { file, found, expected }) = bundle.verify("mask_decoder.onnx") else {
        panic!("no hash error")
    };
    assert!(file.ends_with("mask_decoder.onnx") && found != expected && found.len() == 64);
    assert_says(&refused(&copy), &["mask_decoder.onnx", &found, &expected]);
}

#[test]
fn a_truncated_file_is_named_with_both_sizes() {
    let copy = copy("size");
    let content = std::fs::read(copy.file("image_encoder.onnx")).unwrap();
    std::fs::write(copy.file("image_encoder.onnx"), &content[..1000]).unwrap();
    assert_says(&refused(&copy), &["image_encoder.onnx", "1000 bytes", &content.len().to_string()]);
}

#[test]
fn a_missing_file_is_named() {
    let copy = copy("missing");
    std::fs::remove_file(copy.file("prompt_encoder.safetensors")).unwrap();
    assert_says(&refused(&copy), &["prompt_encoder.safetensors", "missing"]);
    copy.describe(|d| {
        d["files"].as_object_mut().unwrap().remove("prompt_encoder.safetensors");
    });
    assert_says(&refused(&copy), &["bundle.json", "files", "prompt_encoder.safetensors"]);
}

#[test]
fn a_newer_format_is_refused_whatever_its_other_fields_are() {
    let copy = copy("format");
    std::fs::write(copy.file("bundle.json"), r#"{"format": 4, "everything": "else"}"#).unwrap();
    assert_says(&refused(&copy), &["bundle.json", "format 4", "up to 3"]);
    std::fs::write(copy.file("bundle.json"), "not json").unwrap();
    assert_says(&refused(&copy), &["bundle.json", "not a bundle description"]);
}

#[test]
fn unknown_fields_are_ignored() {
    let copy = copy("fields");
    copy.describe(|d| d["mood"] = json!("good"));
    assert!(Bundle::open(&copy.0).is_ok());
}

#[test]
fn invalid_fields_are_refused() {
    for (field, value, parts) in [
        ("resize", json!("crop"), &["resize", "crop", "letterbox or stretch"][..]),
        ("prompt_encoder", json!("inside"), &["prompt_encoder", "inside", "external or fused"]),
        ("image_size", json!(0), &["image_size", "0", "16 to 8192"]),
        ("prompt_size", json!(9000), &["prompt_size", "9000", "16 to 8192"]),
        ("std", json!([1.0, 0.0, 1.0]), &["std", "0.0"]),
        ("embedding_shape", json!([32, 32]), &["embedding_shape", "[32, 32]", "[1, C, h, w]"]),
        ("dynamic_multimask", json!({"delta": 0.05, "threshold": 1.5}), &["dynamic_multimask", "1.5", "0 to 1"]),
        ("dynamic_multimask", json!({"delta": 0.05}), &["bundle.json", "threshold"]),
        ("low_res_limit", json!(0), &["low_res_limit", "0.0", "positive"]),
        ("everything", json!({"points_per_side": 0}), &["everything.points_per_side", "0", "1 to 256"]),
        ("everything", json!({"pred_iou_thresh": 1.5}), &["everything.pred_iou_thresh", "1.5", "0 to 1"]),
    ] {
        let copy = copy(field);
        copy.describe(|d| d[field] = value);
        assert_says(&refused(&copy), parts);
    }
    let copy = copy("escape");
    copy.describe(|d| d["files"]["../secret"] = json!({"sha256": "", "bytes": 0}));
    assert_says(&refused(&copy), &["../secret", "plain file names"]);
}

#[test]
fn defaults_of_the_mask_generator_come_from_the_bundle_or_the_family() {
    let opened = |copy: &Scratch| Model::open(&copy.0, None, &SessionOptions::cpu(1)).unwrap().info.grid_defaults;
    let plain = copy("grid");
    assert_eq!(opened(&plain), GridDefaults::default());
    plain.describe(|d| d["everything"] = json!({"points_per_side": 16}));
    assert_eq!(opened(&plain), GridDefaults { points_per_side: 16, ..GridDefaults::default() });
    assert_eq!(GridDefaults::of_family("sam2.1").pred_iou_thresh, 0.8);
}

#[test]
fn graphs_that_differ_from_the_description_are_refused_with_both_values() {
    for (field, value, parts) in [
        ("image_size", json!(1024), &["image_encoder.onnx", "[1, 3, 512, 512]", "[1, 3, 1024, 1024]"][..]),
        ("low_res_size", json!(256), &["mask_decoder.onnx", "128 a side", "256 logits a side"]),
        ("embedding_shape", json!([1, 64, 32, 32]), &["prompt_encoder.safetensors", "F32[2, 16]", "F32[2, 32]"]),
        ("embedding_shape", json!([1, 32, 16, 32]), &["image_encoder.onnx", "[1,32,32,32]", "[1, 32, 16, 32]"]),
        ("candidates", json!(2), &["mask_decoder.onnx", "4 masks", "3 as"]),
    ] {
        let copy = copy(&format!("declared-{field}"));
        copy.describe(|d| d[field] = value);
        assert_says(&refused(&copy), parts);
    }
}

#[test]
fn weights_beside_a_graph_are_checked_whatever_their_name_is() {
    for name in ["image_encoder.onnx.data", "mask_decoder.onnx_data", "weights.bin"] {
        let copy = copy("weights");
        copy.put(name, b"weights");
        assert!(Model::open(&copy.0, None, &SessionOptions::cpu(1)).is_ok());
        copy.write(name, b"damaged");
        assert_says(&refused(&copy), &[name, "SHA-256", "the file is damaged"]);
    }
    // The weights of a variant that does not run are not checked.
    let copy = Scratch::with("bundle-other-weights", "variants");
    copy.put("mask_decoder.fp16.onnx_data", b"weights");
    copy.write("mask_decoder.fp16.onnx_data", b"damaged");
    assert!(Model::open(&copy.0, None, &SessionOptions::cpu(1)).is_ok());
}

#[test]
fn paths_that_are_no_model_are_refused() {
    assert_says(&refusal(Path::new("/no/such/place"), None), &["/no/such/place", "no such file"]);
    assert_says(&refusal(&golden("masks"), None), &["no ONNX file"]);
    assert_says(&refusal(&golden("cases.json"), None), &["cases.json", "not an ONNX file"]);
    let copy = copy("garbage");
    std::fs::remove_file(copy.file("bundle.json")).unwrap();
    std::fs::write(copy.file("mask_decoder.onnx"), b"not a graph").unwrap();
    assert_says(&refused(&copy), &["mask_decoder.onnx is not an ONNX graph", "truncated, damaged"]);
}

#[test]
fn a_decoder_for_prompt_embeddings_needs_its_bundle() {
    let (encoder, decoder) = (golden("sam/image_encoder.onnx"), golden("sam/mask_decoder.onnx"));
    assert_says(&refusal(&encoder, Some(&decoder)), &["prompt encoder", "bundle"]);
}

#[test]
fn a_pair_in_one_folder_is_told_apart_by_its_tensors() {
    let copy = copy("pair");
    for name in ["bundle.json", "mask_decoder.onnx", "prompt_encoder.safetensors"] {
        std::fs::remove_file(copy.file(name)).unwrap();
    }
    // The name of the decoder comes first in the alphabet.
    std::fs::copy(golden("official/mask_decoder.onnx"), copy.file("a.onnx")).unwrap();
    let model = Model::open(&copy.0, None, &SessionOptions::cpu(1)).unwrap();
    assert_eq!((model.info.layout, model.info.image_size, model.info.low_res_size), ("official SAM", 512, 128));
    let swapped = refusal(&copy.file("a.onnx"), Some(&copy.file("image_encoder.onnx")));
    assert_says(&swapped, &["image_encoder.onnx is an image encoder", "expected a mask decoder", "swapped"]);
}

#[test]
fn the_embedded_model_opens_and_reports_its_provider() {
    let options = SessionOptions { threads: 1, ..SessionOptions::default() };
    let model = Model::tiny(&options).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(model.info.name, "tiny");
    let report = model.encoder.providers();
    // With a GPU build of ONNX Runtime another provider runs, and fewer providers are refused.
    assert_eq!(report.used, options.providers[report.refused.len()]);
    assert!(report.refused.iter().all(|refused| !refused.reason.is_empty()));
}

#[test]
fn without_the_cpu_opening_fails_if_no_other_provider_runs() {
    let options = SessionOptions { providers: vec![Provider::Tensorrt], ..SessionOptions::cpu(1) };
    match Model::tiny(&options) {
        Err(e) => assert_says(&e.to_string(), &["no execution provider left", "tensorrt: "]),
        Ok(model) => assert_eq!(model.encoder.providers().used, Provider::Tensorrt),
    }
}
