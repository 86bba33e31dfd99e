//! The fastest provider of each graph, and OpenVINO down to the call: `promptseg` runs as a process of its own with
//! tests/stub_onnxruntime, on which a test makes a provider slow, wrong or fail.

mod machine;
mod scratch;

use machine::Machine;
use scratch::{assert_says, golden};
use serde_json::Value;

/// Delay of the slow provider in milliseconds: far more than a run of the small models of the tests takes.
const SLOW: &str = "250";

/// Returns the providers of encoder and decoder.
fn providers(bench: &Value) -> (&str, &str) {
    (bench["provider"].as_str().unwrap(), bench["decoder_provider"].as_str().unwrap())
}

fn openvino(name: &str, behaviour: &str) -> Machine {
    Machine::new(name, &format!("with=openvino;without=tensorrt,cuda;{behaviour}"))
}

#[test]
fn each_graph_runs_on_its_fastest_provider() {
    let slow = format!("openvino.slow=mask_decoder:{SLOW};cpu.slow=image_encoder:{SLOW}");
    let mut machine = openvino("fastest", &slow);
    let bench = machine.bench("sam", &[]);
    assert_eq!(providers(&bench), ("openvino", "cpu"));
    // The choice is kept: at the next start nothing is timed, whatever is fast now.
    machine.behaviour = format!("with=openvino;openvino.slow=image_encoder:{SLOW};without=tensorrt,cuda");
    let bench = machine.bench("sam", &[]);
    assert_eq!(providers(&bench), ("openvino", "cpu"));
    let opened = machine.lines("session ");
    assert!(!opened.iter().any(|line| line.starts_with("session openvino") && line.contains("decoder")), "{opened:?}");
    assert_says(&bench["timings"]["encoder"].to_string(), &["openvino", "cpu"]);
    // Other options have timings of their own, and so has a list without `auto` none.
    let bench = machine.bench("sam", &["--openvino-precision", "f32"]);
    assert_eq!(bench["provider"], "cpu");
    let bench = machine.bench("sam", &["--providers", "openvino,cpu"]);
    assert_eq!((providers(&bench), &bench["timings"]["encoder"]), (("openvino", "openvino"), &serde_json::json!({})));
}

#[test]
fn the_slower_of_two_gpu_providers_is_left_out() {
    let machine = Machine::new("gpus", &format!("tensorrt.slow=mask_decoder:{SLOW};cuda.slow=image_encoder:{SLOW}"));
    let bench = machine.bench("sam", &["--providers", "auto,tensorrt,cuda"]);
    assert_eq!(providers(&bench), ("tensorrt", "cuda"));
    // The embedding stays on the GPU between the two.
    let decoder = machine.lines("run cuda").pop().unwrap();
    assert!(decoder.contains("image_embeddings@gpu["), "{decoder}");
}

#[test]
fn the_graphs_of_a_memory_are_chosen_one_by_one() {
    let slow = format!("openvino.slow=memory_attention:{SLOW};cpu.slow=memory_encoder:{SLOW}");
    let machine = openvino("memory-choice", &slow);
    machine.track("auto");
    machine.track("auto");
    let opened = machine.lines("session openvino");
    let has = |graph: &str| opened.iter().any(|line| line.ends_with(graph));
    assert!(has("/memory_encoder.onnx") && !has("/memory_attention.onnx"), "{opened:?}");
}

/// Finds a phrase on a small photo with a text model. Returns the objects, and the log of the tool.
fn find(machine: &Machine, family: &str, arguments: &[&str]) -> (Value, String) {
    let (photo, model) = (golden("chelsea.png"), golden(family));
    let mut command = vec!["--log-level", "info", "segment", photo.to_str().unwrap(), "--format", "json"];
    command.extend(["--text", "a photo of a cat, person", "--text-min-score", "0.2"]);
    command.extend(["--text-model", model.to_str().unwrap()]);
    let output = machine.run(&[&command, arguments].concat());
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    (serde_json::from_slice(&output.stdout).unwrap(), log)
}

#[test]
fn the_graphs_of_a_text_model_are_chosen_one_by_one() {
    for (family, head) in [("owlv2", "class_head"), ("sam3", "detector")] {
        let slow = format!("cpu.slow=image_tower:{SLOW};openvino.slow={head}:{SLOW}");
        let mut machine = openvino(&format!("text-{family}"), &slow);
        let (first, log) = find(&machine, family, &[]);
        // OWLv2 needs a model that makes masks.
        let models = if family == "owlv2" { 3 } else { 2 };
        assert_eq!(log.matches("timing the model on openvino, cpu, once for this machine").count(), models, "{log}");
        // The choice is kept, whatever is fast now.
        machine.behaviour = "with=openvino;without=tensorrt,cuda".to_owned();
        let (second, log) = find(&machine, family, &[]);
        assert!(!log.contains("timing the model"), "{log}");
        let opened = machine.lines("session openvino");
        let has = |graph: &str| opened.iter().any(|line| line.ends_with(&format!("/{graph}.onnx")));
        assert!(has("image_tower") && !has(head), "{opened:?}");
        assert!(first["masks"].as_array().unwrap().len() > 1);
        assert_eq!(first["masks"], second["masks"]);
    }
}

#[test]
fn fp32_replaces_bf16_with_wrong_objects() {
    for family in ["owlv2", "sam3"] {
        let options = ["--providers", "openvino,cpu", "--openvino-precision", "bf16"];
        // The stub computes in half precision if the options contain `bf16`, paths included.
        let machine = openvino(&format!("text-wrong-half-{family}"), "fp16=broken");
        let (found, log) = find(&machine, family, &options);
        assert_says(&log, &["not on openvino, bf16: self-check against fp32", "a difference of 0.1 is accepted"]);
        let sound = openvino(&format!("text-sound-half-{family}"), "");
        let (expected, log) = find(&sound, family, &options);
        assert!(!log.contains("not on openvino"), "{log}");
        assert_eq!(found["masks"], expected["masks"], "{family}");
        // The refusal is on disk: bf16 is not compiled again.
        let (again, _) = find(&machine, family, &options);
        assert_eq!((machine.lines("model compiled").len(), &again["masks"]), (0, &expected["masks"]));
        // Features of phrases are computed in fp32, whatever is allowed.
        let config = machine.lines("append openvino").into_iter().filter(|line| line.contains("\"f32\"")).count();
        assert!(config > 0);
    }
}

#[test]
fn a_text_model_runs_in_fp32_if_fp32_is_requested() {
    let machine = openvino("text-fp32", "");
    for precision in [["--precision", "fp32"], ["--openvino-precision", "f32"]] {
        find(&machine, "owlv2", &[&["--providers", "openvino"][..], &precision].concat());
        let append = machine.lines("append openvino");
        assert!(append.len() >= 3 && append.iter().all(|line| line.contains("\"f32\"")), "{append:?}");
    }
}

#[test]
fn timings_of_another_machine_are_taken_again() {
    let machine = openvino("other-machine", &format!("cpu.slow=image_encoder:{SLOW}"));
    assert_eq!(machine.bench("sam", &[])["notes"].to_string(), "[]");
    let folder = machine.file("caches/promptseg/engines/choices");
    let file = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let mut content: Value = serde_json::from_str(&text).unwrap();
    content["key"]["CPU"] = "Z80".into();
    for (text, why) in [(content.to_string(), "they are for CPU Z80, this is "), ("{".to_owned(), ".json is damaged")] {
        std::fs::write(&file, text).unwrap();
        let bench = machine.bench("sam", &[]);
        assert_says(&bench["notes"].to_string(), &["the providers are timed again: ", why]);
        assert_eq!(bench["provider"], "openvino");
    }
    assert_eq!(machine.bench("sam", &[])["notes"].to_string(), "[]");
    // Without a folder nothing is kept, and the fastest runs nevertheless.
    let bench = machine.bench("sam", &["--engine-cache", "none"]);
    assert_eq!((&bench["provider"], bench["notes"].to_string().as_str()), (&"openvino".into(), "[]"));
    let bench = machine.bench("sam", &["--engine-cache", "/dev/null/engines"]);
    assert_says(&bench["notes"].to_string(), &["the timings of the providers are not kept on disk: /dev/null/engines"]);
}

#[test]
fn a_provider_that_fails_is_reported_and_not_chosen() {
    let machine = openvino("fails", "openvino.run=no such primitive");
    for _ in 0..2 {
        let bench = machine.bench("sam", &[]);
        assert_eq!(providers(&bench), ("cpu", "cpu"));
        assert_says(&bench["refused"].to_string(), &["openvino", "no such primitive"]);
    }
    // One of three: the others are timed, and the reason is reported at every start.
    let machine =
        Machine::new("one-fails", &format!("with=openvino;cuda.load=no driver;cpu.slow=image_encoder:{SLOW}"));
    for start in 0..2 {
        let bench = machine.bench("sam", &["--providers", "auto,cuda,openvino,cpu"]);
        assert_eq!(bench["provider"], "openvino");
        assert_says(&bench["refused"].to_string(), &["cuda: no driver"]);
        assert_eq!(machine.lines("append cuda").is_empty(), start == 1);
    }
}

#[test]
fn the_options_reach_openvino() {
    let machine = openvino("openvino-options", "");
    let cache = machine.file("engines");
    let options = ["--providers", "openvino", "--threads", "3", "--engine-cache", &cache];
    let config = |arguments: &[&str]| {
        machine.bench("sam", &[&options[..], arguments].concat());
        let line = machine.lines("append openvino").remove(0);
        let (device, config) = line.split_once(" load_config=").unwrap();
        (device.to_owned(), serde_json::from_str::<Value>(config).unwrap())
    };
    let (device, bf16) = config(&["--openvino-precision", "bf16"]);
    assert_eq!(device, "append openvino device_type=CPU");
    let bf16 = &bf16["CPU"];
    let values = ["INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS", "ENABLE_CPU_PINNING"].map(|key| &bf16[key]);
    assert_eq!(values, ["bf16", "3", "NO"]);
    assert!(bf16["CACHE_DIR"].as_str().unwrap().starts_with(&format!("{cache}/")), "{bf16}");
    assert_eq!(config(&["--openvino-precision", "f32"]).1["CPU"]["INFERENCE_PRECISION_HINT"], "f32");
    assert_eq!(config(&["--precision", "fp32"]).1["CPU"]["INFERENCE_PRECISION_HINT"], "f32");
    let (device, gpu) = config(&["--openvino-device", "gpu.1"]);
    assert_eq!(device, "append openvino device_type=GPU.1");
    assert_eq!(
        (&gpu["GPU"]["INFERENCE_PRECISION_HINT"], &gpu["GPU"]["INFERENCE_NUM_THREADS"]),
        (&"f16".into(), &Value::Null)
    );

    let wrong = machine.bench("sam", &["--providers", "openvino,cpu", "--openvino-device", "VPU"]);
    assert_eq!(wrong["provider"], "cpu");
    assert_says(&wrong["refused"].to_string(), &["openvino.device is VPU, expected CPU, GPU, GPU.N or NPU"]);
}

#[test]
fn compiled_models_are_kept_and_checked() {
    let machine = openvino("compiled", "");
    let options = ["--providers", "openvino", "--openvino-precision", "bf16"];
    let counts = |arguments: &[&str]| {
        let bench = machine.bench("sam", &[&options[..], arguments].concat());
        (bench["notes"].to_string(), machine.lines("model compiled").len(), machine.lines("model reused").len())
    };
    assert_eq!(counts(&[]), ("[]".to_owned(), 2, 0));
    let first = machine.lines("run openvino").len();
    assert_eq!(counts(&[]), ("[]".to_owned(), 0, 2));
    assert!(machine.lines("run openvino").len() < first, "the trial run was accepted before");
    assert_eq!(counts(&["--threads", "63"]), ("[]".to_owned(), 2, 0), "other options keep models of their own");
    assert_eq!(counts(&[]), ("[]".to_owned(), 0, 2));

    let engines = std::path::PathBuf::from(machine.file("caches/promptseg/engines"));
    let folders = std::fs::read_dir(engines).unwrap().map(|entry| entry.unwrap().path());
    let key = |folder: &std::path::PathBuf| std::fs::read_to_string(folder.join("key.json")).unwrap_or_default();
    let default = folders.into_iter().find(|folder| key(folder).contains("bf16") && !key(folder).contains("\"63\""));
    let folder = default.unwrap();
    let blob = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "blob"));
    std::fs::write(blob.unwrap(), "cut").unwrap();
    let (notes, compiled, reused) = counts(&[]);
    assert_says(&notes, &["the OpenVINO models of", ".blob is missing or damaged"]);
    assert_eq!((compiled, reused), (1, 1));
    let text = key(&folder).replace("\"device\": \"CPU\"", "\"device\": \"CPU of old\"");
    std::fs::write(folder.join("key.json"), text).unwrap();
    assert_says(&counts(&[]).0, &["are built again: they are for device CPU of old, this is CPU"]);
}

#[test]
fn fp32_replaces_bf16_with_wrong_masks() {
    let machine = openvino("wrong-bf16", "fp16=broken");
    let options = ["--providers", "openvino,cpu", "--openvino-precision", "bf16"];
    for compiled in [4, 0] {
        let bench = machine.bench("sam", &options);
        assert_eq!((&bench["provider"], &bench["precision"]), (&"openvino".into(), &"fp32".into()));
        assert_says(&bench["refused"].to_string(), &["openvino, bf16: self-check against fp32", "masks overlap by"]);
        assert_eq!(machine.lines("model compiled").len(), compiled, "bf16, then fp32; then the refusal is on disk");
    }
    let machine = openvino("sound-bf16", "");
    let bench = machine.bench("sam", &options);
    assert_eq!((&bench["precision"], bench["refused"].to_string().as_str()), (&"bf16".into(), "[]"));
}

#[test]
fn building_engines_ahead_times_the_providers() {
    let machine = Machine::new("ahead", &format!("cuda.slow=image_encoder:{SLOW};cpu.slow=image_encoder:{SLOW}"));
    let model = golden("sam").display().to_string();
    let output = machine.run(&["build-engines", &model, "--max-objects", "4"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_says(
        &String::from_utf8_lossy(&output.stdout),
        &["timing the model on tensorrt, cuda, cpu", "encoder on tensorrt, fp32 (tensorrt "],
    );
    let bench = machine.bench("sam", &[]);
    assert_eq!(bench["provider"], "tensorrt");
    assert_eq!(machine.lines("engine built").len(), 0);
}
