//! `promptseg bench` from the outside: the measured values, and their checks.

mod scratch;
mod tool;

use scratch::{Scratch, assert_says, fixture, golden, line, refused, succeeded};
use serde_json::Value;
use tool::promptseg;

#[test]
fn bench_measures_every_stage() {
    let scratch = Scratch::new("bench");
    let model = golden("variants");
    let bench = ["bench", model.to_str().unwrap(), "--runs", "2", "--threads", "1"];
    let json = line(&promptseg(&scratch.0, &[&bench[..], &["--json", "--precision", "fp32"]].concat()));
    let stages = ["preprocess_ms", "encode_ms", "decode_ms", "postprocess_ms", "second_click_ms", "decode_batch_ms"];
    for key in [&stages[..], &["load_ms", "peak_rss_mb"]].concat() {
        assert!(json[key].as_f64().unwrap() > 0.0, "{key}: {json}");
        if let Some([low, high]) = json["spread"][key].as_array().map(Vec::as_slice) {
            assert!(low.as_f64() <= json[key].as_f64() && json[key].as_f64() <= high.as_f64());
        }
    }
    assert_eq!((json["precision"].as_str(), json["threads"].as_u64()), (Some("fp32"), Some(1)));
    assert_eq!((json["model"].as_str(), json["runs"].as_u64()), (Some("sam_variants"), Some(2)));
    let message = succeeded(&promptseg(&scratch.0, &bench));
    assert_says(&message, &["encoder on cpu, int8", "decode 16 objects", "peak memory"]);
}

#[test]
fn bench_measures_boxes_and_a_track_and_compares() {
    let scratch = Scratch::new("bench-all");
    let model = golden("video");
    let bench = ["bench", model.to_str().unwrap(), "--runs", "1", "--threads", "1", "--boxes", "1,3", "--track"];
    let json = line(&promptseg(&scratch.0, &[&bench[..], &["--against", "cpu", "--json"]].concat()));
    for value in
        [&json["boxes_ms"]["1"], &json["boxes_ms"]["3"], &json["track"]["frame_ms"], &json["track"]["attention_ms"]]
    {
        assert!(value.as_f64().unwrap() > 0.0, "{json}");
    }
    let parts: Vec<&String> = json["parts"].as_object().unwrap().keys().collect();
    assert_eq!(parts, ["decoder", "encoder", "memory_attention", "memory_encoder"]);
    assert_eq!(json["parity"], serde_json::json!({ "provider": "cpu", "objects": 16, "logits": 0.0, "mask_iou": 1.0 }));
    assert_eq!((&json["gpu_mb"], &json["gpu"]), (&Value::Null, &Value::Null));
    let table = succeeded(&promptseg(&scratch.0, &[&bench[..], &["--against", "cpu"]].concat()));
    assert_says(
        &table,
        &["masks of 3 boxes", "frame of a track", "second click", "against cpu, fp32: masks overlap by 1"],
    );

    // int8 is not fp32.
    let model = golden("variants");
    let bench = ["bench", model.to_str().unwrap(), "--runs", "1", "--threads", "1", "--against", "cpu", "--json"];
    let json = line(&promptseg(&scratch.0, &[&bench[..], &["--precision", "int8"]].concat()));
    assert!(json["parity"]["logits"].as_f64().unwrap() > 1e-4, "{json}");
    assert_eq!(json["track"], Value::Null);
    let none = promptseg(&scratch.0, &["bench", "--boxes", "0"]);
    assert_says(&refused(&none, 2), &["expected a whole number from 1 to 4096"]);
}

#[test]
fn bench_uses_a_box_if_the_model_takes_no_click() {
    let scratch = Scratch::new("bench-box");
    let decoder = fixture("transformersjs_sam2_traced/prompt_encoder_mask_decoder.onnx");
    let pair = [fixture("transformersjs_sam2/vision_encoder.onnx"), "--decoder".to_owned(), decoder];
    let bench = ["bench", &pair[0], &pair[1], &pair[2], "--runs", "1", "--threads", "1"];
    assert_says(&succeeded(&promptseg(&scratch.0, &bench)), &["decode one box", "decode 16 objects"]);
    assert_eq!(line(&promptseg(&scratch.0, &[&bench[..], &["--json"]].concat()))["prompt"], "box");
}
