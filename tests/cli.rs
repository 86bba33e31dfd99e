//! The command line tool from the outside: the runtime, `inspect`, `eval`, pipes, traces and interrupts.

mod scratch;
mod tool;

use std::path::Path;
use std::process::{Command, Stdio};

use scratch::{Scratch, assert_says, fixture, golden, refused, succeeded, text};
use serde_json::Value;
use tool::{command, promptseg};

#[test]
fn the_path_of_the_runtime_may_be_relative() {
    let scratch = Scratch::new("runtime");
    let library = std::env::var_os("ORT_DYLIB_PATH").expect("ORT_DYLIB_PATH");
    std::os::unix::fs::symlink(library, scratch.file("linked.so")).unwrap();
    scratch.write("broken.so", "not a library");
    let inspect = |name: &str| command(&scratch.0, &["inspect"]).env("ORT_DYLIB_PATH", name).output().unwrap();
    for name in ["linked.so", "./linked.so"] {
        assert_says(&succeeded(&inspect(name)), &["runs on", "yes: encoder"]);
    }
    let message = refused(&inspect("broken.so"), 1);
    assert_says(&message, &["cannot load ONNX Runtime", scratch.file("broken.so").to_str().unwrap()]);
    assert!(!message.contains("is not set"), "{message}");
    assert_says(&refused(&inspect("gone.so"), 1), &["ORT_DYLIB_PATH=gone.so is not a file"]);
}

#[test]
fn hidden_files_are_not_part_of_a_model() {
    let scratch = Scratch::new("hidden-model");
    for name in ["encoder.onnx", "decoder.onnx"] {
        std::fs::copy(fixture(&format!("edgesam/{name}")), scratch.file(name)).unwrap();
        scratch.write(&format!("._{name}"), "\0\x05\x16\x07");
    }
    assert_says(&succeeded(&promptseg(&scratch.0, &["inspect", "."])), &["edgesam", "runs on"]);
}

#[test]
fn inspect_describes_the_model_its_files_and_its_providers() {
    let scratch = Scratch::with("inspect", "variants");
    let message = succeeded(&promptseg(&scratch.0, &["inspect", ".", "--tensors"]));
    assert_says(
        &message,
        &[
            "sam_variants",
            "letterbox",
            "points, boxes, masks",
            "int8 for cpu: image_encoder.int8.onnx, mask_decoder.onnx; against PyTorch: ",
            "hash ok",
            "yes: encoder int8, decoder fp32",
            "image f32[1,3,128,128]",
            "iou_predictions",
        ],
    );
    let json: Value =
        serde_json::from_str(&succeeded(&promptseg(&scratch.0, &["inspect", "bundle.json", "--json"]))).unwrap();
    assert_eq!((json["family"].as_str(), json["image_size"].as_u64()), (Some("sam"), Some(128)));
    assert_eq!(json["variants"].as_array().unwrap().len(), 3);
    assert_eq!(json["files"].as_array().unwrap().len(), 6);
    assert!(json["files"].as_array().unwrap().iter().all(|f| f["ok"] == true));
    assert_eq!(json["providers"][3]["runs"], true);

    let mut content = std::fs::read(scratch.file("image_encoder.fp16.onnx")).unwrap();
    content[3000] ^= 1;
    scratch.write("image_encoder.fp16.onnx", content);
    let output = promptseg(&scratch.0, &["inspect", "."]);
    assert_says(&refused(&output, 1), &["image_encoder.fp16.onnx: SHA-256"]);
    assert_says(&text(&output.stdout), &["yes: encoder int8", "image_encoder.fp16.onnx: SHA-256", "hash ok"]);
    let tiny = succeeded(&promptseg(&scratch.0, &["inspect"]));
    assert_says(&tiny, &["tiny", "runs on"]);
}

#[test]
fn inspect_describes_text_models() {
    for (model, parts) in [
        ("owlv2", ["boxes by phrases", "64 boxes for all phrases", "IoU of two boxes up to 0.3", "class head"]),
        ("sam3", ["masks by phrases", "12 masks of 48 x 48 for each phrase", "pixels above 0.5", "detector"]),
    ] {
        let scratch = Scratch::with("inspect-text", model);
        let message = succeeded(&promptseg(&scratch.0, &["inspect", ".", "--tensors"]));
        assert_says(&message, &parts);
        assert_says(&message, &["text tower", "token_ids i32[1,", "hash ok", "yes: image tower", "parity"]);
        let json: Value =
            serde_json::from_str(&succeeded(&promptseg(&scratch.0, &["inspect", "bundle.json", "--json"]))).unwrap();
        assert_eq!((json["kind"].as_str(), json["family"].as_str()), (Some("text"), Some(model)));
        assert_eq!((json["files"].as_array().unwrap().len(), json["text_tower"].as_bool()), (4, Some(true)));
        assert_eq!(json["providers"][3]["runs"], true);
        assert_eq!(json["graphs"]["image_tower"]["inputs"][0]["name"], "image");
        let precision = promptseg(&scratch.0, &["inspect", ".", "--precision", "int8"]);
        assert_says(&refused(&precision, 2), &["a text model has none"]);
        // The robot's copy needs no text tower.
        std::fs::remove_file(scratch.file("text_tower.onnx")).unwrap();
        let robot = succeeded(&promptseg(&scratch.0, &["inspect", "."]));
        assert_says(&robot, &["no text tower (text_tower.onnx is missing)", "text-bank", "yes: image tower"]);
        // A damaged file, and a damaged description.
        let mut content = std::fs::read(scratch.file("image_tower.onnx")).unwrap();
        content[3000] ^= 1;
        scratch.write("image_tower.onnx", content);
        assert_says(&refused(&promptseg(&scratch.0, &["inspect", "."]), 1), &["image_tower.onnx: SHA-256"]);
        scratch.describe(|description| description["tokens"] = 0.into());
        assert_says(&refused(&promptseg(&scratch.0, &["inspect", "."]), 1), &["tokens is 0, expected 1 to 1024"]);
    }
}

#[test]
fn eval_leaves_out_prompts_that_the_model_does_not_take() {
    let scratch = Scratch::new("eval");
    let scenes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenes");
    let objects: Vec<Value> = serde_json::from_slice(&std::fs::read(scenes.join("prompts.json")).unwrap()).unwrap();
    scratch.write("prompts.json", serde_json::to_vec(&objects[..1]).unwrap());
    for name in ["000.png", "000_truth.png"] {
        std::fs::copy(scenes.join(name), scratch.file(name)).unwrap();
    }
    let (box_only, tiny) = (Scratch::with("eval-box", "variants"), golden("variants").display().to_string());
    box_only.describe(|d| d["prompts"] = serde_json::json!(["box"]));
    for (model, measured, part) in [
        (tiny, &["box", "click1", "click1_oracle", "click3"][..], "1 objects, mean IoU"),
        (
            fixture("edgesam"),
            &["box", "click1", "click1_oracle"],
            "click3 left out: the model does not take mask prompts",
        ),
        (fixture("efficientsam"), &["box", "click1", "click1_oracle"], "click3 left out: the model does not take back"),
        (
            fixture("transformers_sam"),
            &["click1", "click1_oracle"],
            "box left out: the model does not take box prompts",
        ),
        (box_only.0.display().to_string(), &["box"], "oracle left out: the model does not take point prompts"),
    ] {
        let message = succeeded(&promptseg(&scratch.0, &["eval", ".", "--model", &model]));
        assert_says(&message, &[part]);
        let report: Value = serde_json::from_str(message.lines().last().unwrap()).unwrap();
        let scores = report.as_object().unwrap().keys().filter(|key| !key.ends_with("_ms"));
        assert_eq!(scores.collect::<Vec<_>>(), measured, "{report}");
    }
}

#[test]
fn a_reader_that_closes_the_pipe_causes_no_error() {
    let scratch = Scratch::new("pipe");
    let mut child = command(&scratch.0, &["inspect"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn a_trace_holds_every_stage_and_a_wrong_log_level_is_refused() {
    let scratch = Scratch::with_cat("trace");
    let model = golden("variants");
    let arguments = ["segment", "cat.png", "--point", "100,80", "--threads", "1", "--model", model.to_str().unwrap()];
    let mut traced = command(&scratch.0, &arguments);
    succeeded(&traced.env("PROMPTSEG_TRACE", "trace.json").output().unwrap());
    let trace: Value = serde_json::from_slice(&std::fs::read(scratch.file("trace.json")).unwrap()).unwrap();
    let events = trace.as_array().unwrap();
    for stage in ["preprocess", "run encoder", "run decoder", "postprocess"] {
        let times = |kind: &str| {
            let is = |e: &&Value| e["name"] == stage && e["ph"] == kind;
            events.iter().find(is).and_then(|e| e["ts"].as_f64()).unwrap_or_else(|| panic!("no {kind} of {stage}"))
        };
        assert!(times("E") >= times("B"), "{stage}");
    }
    let mut nowhere = command(&scratch.0, &arguments);
    let message = refused(&nowhere.env("PROMPTSEG_TRACE", "no/where.json").output().unwrap(), 1);
    assert_says(&message, &["PROMPTSEG_TRACE=no/where.json"]);
    let message = refused(&promptseg(&scratch.0, &[&arguments[..], &["--log-level", "=loud="]].concat()), 1);
    assert_says(&message, &["log level"]);
}

#[cfg(unix)]
#[test]
fn a_trace_is_complete_after_an_interrupt() {
    let scratch = Scratch::with_cat("interrupted");
    let model = golden("variants");
    let path = scratch.file("trace.json");
    let arguments = ["bench", model.to_str().unwrap(), "--threads", "1", "--runs", "100000"];
    let mut command = command(&scratch.0, &arguments);
    let mut child = command.env("PROMPTSEG_TRACE", &path).stdout(Stdio::null()).spawn().unwrap();
    // The work has begun when the file has content.
    let start = std::time::Instant::now();
    while std::fs::metadata(&path).map_or(0, |m| m.len()) == 0 {
        assert!(start.elapsed().as_secs() < 60 && child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let trace: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(!trace.as_array().unwrap().is_empty());
}
