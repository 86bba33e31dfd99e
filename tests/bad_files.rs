//! Files that are no model are refused at once, with a message, without reading files that are too large. The table in
//! docs/bundle.md lists the messages.

mod scratch;

use std::path::Path;
use std::time::{Duration, Instant};

use promptseg::model::{Model, SessionOptions};
use scratch::{Scratch, assert_says, golden};
use serde_json::json;

/// Bytes of a sparse file, which takes no disk space and takes minutes to read.
const HUGE: u64 = 100 << 30;

fn refusal(path: &Path, decoder: Option<&Path>) -> String {
    let start = Instant::now();
    let Err(e) = Model::open(path, decoder, &SessionOptions::cpu(1)) else { panic!("{} was accepted", path.display()) };
    assert!(start.elapsed() < Duration::from_secs(30), "{:?} for: {e}", start.elapsed());
    e.to_string()
}

/// Returns the message of a pair whose encoder has this content.
fn as_encoder(content: &[u8]) -> String {
    let scratch = Scratch::new("encoder");
    refusal(&scratch.write("encoder.onnx", content), Some(&golden("official/mask_decoder.onnx")))
}

#[test]
fn the_kind_of_a_file_that_is_no_graph_is_named() {
    let graph = std::fs::read(golden("sam/image_encoder.onnx")).unwrap();
    let safetensors = std::fs::read(golden("sam/prompt_encoder.safetensors")).unwrap();
    for (content, says) in [
        (&graph[..graph.len() / 2], "is not an ONNX graph: it does not parse; it is truncated, damaged"),
        (b"\x0a\x05hello", "encoder.onnx"),
        (b"not a graph", "is not an ONNX graph"),
        (b"", "encoder.onnx is empty; get it again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer; `git lfs pull`"),
        (b"<!DOCTYPE html>", "it is a web page, so the download went wrong"),
        (b"PK\x03\x04 archive/data.pkl", "it looks like a PyTorch checkpoint; `promptseg-export`"),
        (b"\x80\x02}q\x00", "it looks like a PyTorch checkpoint; `promptseg-export`"),
        (&safetensors, "it is a safetensors file; `promptseg-export`"),
    ] {
        assert_says(&as_encoder(content), &["encoder.onnx", says]);
    }
}

#[test]
fn folders_devices_and_missing_files_are_refused() {
    let scratch = Scratch::new("no-file");
    let decoder = golden("official/mask_decoder.onnx");
    assert_says(&refusal(&scratch.0, Some(&decoder)), &["is a folder, expected a file"]);
    assert_says(&refusal(&scratch.file("gone.onnx"), Some(&decoder)), &["cannot read", "gone.onnx", "No such file"]);
    assert_says(&refusal(Path::new("/dev/zero"), Some(&decoder)), &["/dev/zero is a device or pipe, expected a file"]);
    let bundle = Scratch::with("folder-inside", "variants");
    std::fs::remove_file(bundle.file("mask_decoder.onnx")).unwrap();
    std::fs::create_dir(bundle.file("mask_decoder.onnx")).unwrap();
    assert_says(&refusal(&bundle.0, None), &["mask_decoder.onnx is a folder, expected a file"]);
    std::fs::remove_file(bundle.file("bundle.json")).unwrap();
    std::fs::create_dir(bundle.file("bundle.json")).unwrap();
    assert_says(&refusal(&bundle.0, None), &["bundle.json is a folder, expected a file"]);
}

#[test]
fn huge_files_are_not_read() {
    let scratch = Scratch::new("huge");
    let huge = scratch.sparse("huge.onnx", HUGE);
    let (encoder, decoder) = (golden("sam/image_encoder.onnx"), golden("official/mask_decoder.onnx"));
    let says = ["huge.onnx: 107374182400 bytes, at most 2147483647"];
    assert_says(&refusal(&huge, Some(&decoder)), &says);
    assert_says(&refusal(&encoder, Some(&huge)), &says);

    let bundle = Scratch::with("huge-bundle", "variants");
    bundle.sparse("image_encoder.onnx", HUGE);
    assert_says(&refusal(&bundle.0, None), &["image_encoder.onnx: 107374182400 bytes, bundle.json says 249491"]);
    bundle.describe(|d| d["files"]["image_encoder.onnx"]["bytes"] = json!(HUGE));
    assert_says(
        &refusal(&bundle.0, None),
        &["files is 107374182400 bytes for image_encoder.onnx, expected 1 to 2147483647"],
    );
    bundle.sparse("bundle.json", HUGE);
    assert_says(&refusal(&bundle.0, None), &["bundle.json: 107374182400 bytes, at most 1048576"]);
}

#[test]
fn swapped_graphs_and_graphs_of_different_models_are_refused() {
    let (encoder, decoder) = (golden("sam/image_encoder.onnx"), golden("official/mask_decoder.onnx"));
    let says = ["image_encoder.onnx is an image encoder, expected a mask decoder; are the two files swapped?"];
    assert_says(&refusal(&decoder, Some(&encoder)), &says);
    assert_says(&refusal(&encoder, Some(&encoder)), &says);
    assert_says(&refusal(&decoder, Some(&decoder)), &["is a mask decoder, expected an image encoder"]);
    let other = refusal(&golden("variants/image_encoder.onnx"), Some(&decoder));
    assert_says(&other, &["variants/image_encoder.onnx", "image_embeddings", "[1,32,8,8]", "[1,32,32,32]"]);

    // The same in a bundle with hashes that fit.
    let bundle = Scratch::with("swapped", "variants");
    let [a, b] = ["image_encoder.onnx", "mask_decoder.onnx"].map(|f| std::fs::read(bundle.file(f)).unwrap());
    bundle.put("image_encoder.onnx", &b);
    bundle.put("mask_decoder.onnx", &a);
    assert_says(&refusal(&bundle.0, None), &["mask_decoder.onnx is an image encoder, expected a mask decoder"]);
    let bundle = Scratch::with("foreign", "variants");
    bundle.put("image_encoder.int8.onnx", &std::fs::read(&encoder).unwrap());
    assert_says(&refusal(&bundle.0, None), &["image_encoder.int8.onnx", "[1,32,32,32]"]);
}

#[test]
fn descriptions_that_are_no_bundle_are_refused() {
    let bundle = Scratch::with("descriptions", "variants");
    let original = std::fs::read_to_string(bundle.file("bundle.json")).unwrap();
    for (content, says) in [
        ("not json", "bundle.json: not a bundle description: expected"),
        ("", "bundle.json is empty"),
        ("[1, 2]", "no whole number `format`"),
        ("{\"format\": \"1\"}", "no whole number `format`"),
        ("{\"format\": 1}", "missing field `name`"),
        ("{\"format\": 7, \"all\": \"else\"}", "bundle format 7, this version reads up to 3; update promptseg"),
        (&original[..original.len() / 2], "bundle.json: not a bundle description"),
    ] {
        bundle.write("bundle.json", content);
        assert_says(&refusal(&bundle.0, None), &["bundle.json", says]);
    }
}

#[test]
fn invalid_figures_are_refused_before_memory_is_allocated() {
    for (field, value, says) in [
        ("image_size", json!(1_000_000_000), "image_size is 1000000000, expected 16 to 8192"),
        ("image_size", json!("large"), "invalid type: string \"large\""),
        ("image_size", json!(-5), "invalid value: integer `-5`"),
        ("low_res_size", json!(1_000_000_000), "low_res_size is 1000000000, expected 1 to 4096"),
        ("embedding_shape", json!([1, 1_000_000_000, 1_000_000_000, 9]), "expected [1, C, h, w], C up to 4096"),
        ("candidates", json!(1_000_000_000), "candidates is 1000000000, expected at most 64"),
        ("mask_threshold", json!(1e39), "mask_threshold is inf, expected a finite number"),
        ("mean", json!([1, 2]), "invalid length 2"),
        ("prompts", json!(["text"]), "prompts is [\"text\"], expected one or more of point, box, mask"),
        ("name", json!("a\0b"), "name is \"a\\0b\", expected text without control characters"),
        ("files", json!({}), "files is without image_encoder.onnx"),
    ] {
        let bundle = Scratch::with("figures", "variants");
        bundle.describe(|d| d[field] = value);
        assert_says(&refusal(&bundle.0, None), &["bundle.json", says]);
    }
    let bundle = Scratch::with("hash", "variants");
    bundle.describe(|d| d["files"]["mask_decoder.onnx"]["sha256"] = json!("none"));
    assert_says(&refusal(&bundle.0, None), &["files is `none` for mask_decoder.onnx", "64 hexadecimal digits"]);
}

#[test]
fn broken_weights_of_the_prompt_encoder_are_refused() {
    let whole = std::fs::read(golden("variants/prompt_encoder.safetensors")).unwrap();
    let absurd = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    for content in [&whole[..whole.len() / 2], b"nothing of the kind", &absurd, &whole[..4]] {
        let bundle = Scratch::with("weights", "variants");
        bundle.put("prompt_encoder.safetensors", content);
        assert_says(&refusal(&bundle.0, None), &["prompt_encoder.safetensors: not a safetensors file"]);
    }
    let bundle = Scratch::with("weights", "variants");
    bundle.put("prompt_encoder.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    assert_says(&refusal(&bundle.0, None), &["prompt_encoder.safetensors: no tensor `"]);
    let bundle = Scratch::with("weights", "variants");
    bundle.put("prompt_encoder.safetensors", &std::fs::read(golden("variants/mask_decoder.onnx")).unwrap());
    assert_says(&refusal(&bundle.0, None), &["prompt_encoder.safetensors: not a safetensors file"]);
}

#[test]
fn a_bundle_without_one_of_its_files_names_it() {
    for name in ["image_encoder.onnx", "mask_decoder.fp16.onnx", "prompt_encoder.safetensors"] {
        let bundle = Scratch::with("missing", "variants");
        std::fs::remove_file(bundle.file(name)).unwrap();
        assert_says(&refusal(&bundle.0, None), &[name, "is missing from the bundle, though bundle.json lists it"]);
    }
}

/// Returns the message of a damaged bundle with a memory.
fn damaged_memory(name: &str, damage: impl FnOnce(&Scratch)) -> String {
    let bundle = Scratch::with(&format!("memory-{name}"), "video");
    damage(&bundle);
    refusal(&bundle.0, None)
}

#[test]
fn graphs_of_a_memory_that_are_damaged_are_refused() {
    let attention = std::fs::read(golden("video/memory_attention.onnx")).unwrap();
    let half = &attention[..attention.len() / 2];
    let cut = damaged_memory("cut", |b| _ = b.write("memory_attention.onnx", half));
    assert_says(&cut, &["memory_attention.onnx: 98568 bytes, bundle.json says 197137; the file is truncated"]);
    let listed = damaged_memory("listed", |b| b.put("memory_attention.onnx", half));
    assert_says(&listed, &["memory_attention.onnx is not an ONNX graph: it does not parse; it is truncated, damaged"]);
    let mut flipped = std::fs::read(golden("video/memory_encoder.onnx")).unwrap();
    flipped[1000] ^= 1;
    let flipped = damaged_memory("flipped", |b| _ = b.write("memory_encoder.onnx", &flipped));
    assert_says(&flipped, &["memory_encoder.onnx: SHA-256 ", "bundle.json says ", "the file is damaged"]);
    for name in ["memory_attention.onnx", "memory_encoder.onnx", "memory.safetensors"] {
        let gone = damaged_memory("gone", |b| std::fs::remove_file(b.file(name)).unwrap());
        assert_says(&gone, &[name, "is missing from the bundle, though bundle.json lists it"]);
        let unlisted = damaged_memory("unlisted", |b| {
            b.describe(|d| _ = d["files"].as_object_mut().unwrap().remove(name));
        });
        assert_says(&unlisted, &["bundle.json", "files is without", name, "expected an entry for it"]);
    }
}

#[test]
fn swapped_memory_graphs_and_those_of_another_model_are_refused() {
    let read = |name: &str| std::fs::read(golden("video").join(name)).unwrap();
    let names = ["image_encoder.onnx", "mask_decoder.onnx", "memory_attention.onnx", "memory_encoder.onnx"];
    let roles = ["an image encoder", "a mask decoder", "a memory attention", "a memory encoder"];
    // Each graph replaces each other graph, with hashes that fit. The graphs of the memory are checked first.
    for (place, expected) in names.iter().zip(roles) {
        for (name, found) in names.iter().zip(roles).filter(|(name, _)| *name != place) {
            let message = damaged_memory("swapped", |b| b.put(place, &read(name)));
            assert_says(&message, &[&format!("{place} is {found}, expected {expected}; are the two files swapped?")]);
        }
    }
    let other = std::fs::read(golden("sam2/mask_decoder.onnx")).unwrap();
    let message = damaged_memory("pointers", |b| b.put("mask_decoder.onnx", &other));
    assert_says(
        &message,
        &[
            "mask_decoder.onnx: no tensor `object_pointers` of f32, which the memory in bundle.json needs; there are low_res",
        ],
    );
    for (field, value, says) in [
        (
            "shape",
            json!([256, 32]),
            "`memories` is memories f32[?,256,16], expected memories f32[?,256,32] by bundle.json",
        ),
        ("shape", json!([512, 16]), "`memories` is memories f32[?,256,16], expected memories f32[?,512,16]"),
        ("frames", json!(5), "`memory_times` is memory_times f32[?,7], expected memory_times f32[?,5] by bundle.json"),
    ] {
        let message = damaged_memory("size", |b| b.describe(|d| d["memory"][field] = value));
        assert_says(&message, &["memory_attention.onnx: tensor ", says]);
    }
}

#[test]
fn weights_of_a_memory_that_are_damaged_are_refused() {
    let whole = std::fs::read(golden("video/memory.safetensors")).unwrap();
    for (content, says) in [
        (&whole[..whole.len() / 2], "memory.safetensors: not a safetensors file"),
        (b"nothing of the kind", "memory.safetensors: not a safetensors file"),
        (b"\x02\0\0\0\0\0\0\0{}", "memory.safetensors: no tensor `mask_downsample.weight` of F32[1, 1, 4, 4]"),
    ] {
        assert_says(&damaged_memory("weights", |b| b.put("memory.safetensors", content)), &[says]);
    }
    let other = std::fs::read(golden("video/prompt_encoder.safetensors")).unwrap();
    let message = damaged_memory("weights", |b| b.put("memory.safetensors", &other));
    assert_says(&message, &["memory.safetensors: no tensor `mask_downsample.weight`", "there are ", "no_mask_embed"]);
    let narrow = damaged_memory("narrow", |b| b.describe(|d| d["embedding_shape"] = json!([1, 64, 16, 16])));
    assert_says(&narrow, &["F32[2, 16], expected F32[2, 32]"]);
}

#[test]
fn descriptions_of_a_memory_are_whole_or_refused() {
    for (field, value, says) in [
        ("memory", json!({"frames": 1, "pointers": 16, "shape": [256, 16]}), "memory.frames is 1, expected 2 to 16"),
        (
            "memory",
            json!({"frames": 7, "pointers": 1000, "shape": [256, 16]}),
            "memory.pointers is 1000, expected 2 to 32",
        ),
        (
            "memory",
            json!({"frames": 7, "pointers": 16, "shape": [256, 0]}),
            "memory.shape is [256, 0], expected [N, C], N up",
        ),
        (
            "memory",
            json!({"frames": 7, "pointers": 16, "shape": [1_000_000, 4096]}),
            "memory.shape is [1000000, 4096], expected [N, C], N up to 1048576, C up to 4096, 16777216 numbers together",
        ),
        ("memory", json!({"frames": 7, "pointers": 16, "shape": [256]}), "invalid length 1"),
        ("memory", json!({"frames": 7, "pointers": 16}), "missing field `shape`"),
        ("memory", json!("yes"), "invalid type: string \"yes\""),
        ("memory", json!(null), "variants is fp32 with memory graphs, expected none of them without the field memory"),
        (
            "box_as_points",
            json!(false),
            "prompt_encoder is external, box_as_points false, expected external, box_as_points true",
        ),
        ("candidates", json!(0), "a single mask and candidates to replace it"),
        (
            "image_size",
            json!(512),
            "low_res_size is 64 for image_size 512 and embedding_shape [1, 32, 16, 16], expected a quarter",
        ),
    ] {
        let message = damaged_memory("described", |b| b.describe(|d| d[field] = value));
        assert_says(&message, &["bundle.json", says]);
    }
    for file in ["memory_attention", "memory_encoder"] {
        let message = damaged_memory("half", |b| {
            b.describe(|d| _ = d["variants"][0].as_object_mut().unwrap().remove(file));
        });
        let says = "variants is fp32 without memory_attention or memory_encoder, expected both in each of them, because \
                    the field memory is there";
        assert_says(&message, &["bundle.json", says]);
    }
    // A description without variants uses the usual names of the files.
    let bundle = Scratch::with("memory-plain", "video");
    bundle.describe(|d| _ = d.as_object_mut().unwrap().remove("variants"));
    let mut model = Model::open(&bundle.0, None, &SessionOptions::cpu(1)).unwrap_or_else(|e| panic!("{e}"));
    assert!(model.decoder.network().is_some());
}
