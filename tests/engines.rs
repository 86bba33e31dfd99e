//! TensorRT's engines: when they are built, tried, kept and refused. `promptseg` runs as a process of its own with
//! tests/stub_onnxruntime.

mod machine;
mod scratch;

use std::path::PathBuf;

use machine::{FEW, Machine, refused};
use scratch::{Scratch, assert_says, golden};

#[test]
fn engines_are_built_ahead_and_again_when_their_key_differs() {
    let mut machine = Machine::new("engines", "");
    let model = golden("sam").display().to_string();
    let output = machine.run(&["build-engines", &model, FEW[0], FEW[1]]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_says(
        &text,
        &["TensorRT builds the engine of", "is built, in", "encoder   tensorrt, fp32", "caches/promptseg"],
    );
    assert_eq!(machine.lines("engine built").len(), 2);

    let ahead = |machine: &Machine| {
        let bench = machine.bench("sam", &["--providers", "tensorrt"]);
        (bench["notes"].to_string(), machine.lines("engine built").len(), machine.lines("engine reused").len())
    };
    assert_eq!(ahead(&machine), ("[]".to_owned(), 0, 2));
    machine.variables = vec![("STUB_TENSORRT", "100400".to_owned())];
    let (notes, built, _) = ahead(&machine);
    assert_says(&notes, &["are built again: they are for TensorRT 10.3.0, this is 10.4.0"]);
    assert_eq!(built, 2);
    machine.variables.push(("STUB_GPU", "Orin".to_owned()));
    assert_says(&ahead(&machine).0, &["they are for GPU Stub, 8.7, CUDA 12.6, this is Orin, 8.7"]);
    assert_eq!(ahead(&machine).1, 0);

    let folders = || std::fs::read_dir(machine.file("caches/promptseg/engines")).unwrap().map(|e| e.unwrap().path());
    let engine = |folder: PathBuf| {
        let mut files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        files.find(|file| file.extension().is_some_and(|e| e == "engine"))
    };
    let (file, key) = folders().find_map(|folder| Some((engine(folder.clone())?, folder.join("key.json")))).unwrap();
    std::fs::write(&file, "cut").unwrap();
    let (notes, built, reused) = ahead(&machine);
    assert_says(&notes, &["_sm87.engine is missing or damaged"]);
    assert_eq!((built, reused), (1, 1));
    std::fs::remove_file(&key).unwrap();
    assert_says(&ahead(&machine).0, &["the last build was interrupted"]);
    // An engine with the right hash that TensorRT refuses.
    let good = std::fs::read_to_string(&key).unwrap();
    std::fs::write(&file, "cut").unwrap();
    let hash = "\"sha256 of cut\"".replace("sha256 of cut", &sha256(b"cut"));
    let old = format!("\"{}\"", sha256(b"ENGINE of the stub"));
    assert!(good.contains(&old));
    std::fs::write(&key, good.replace(&old, &hash)).unwrap();
    let (notes, built, _) = ahead(&machine);
    assert_says(&notes, &["built again: ", "could not deserialize engine"]);
    assert_eq!(built, 1);
}

#[test]
fn engines_for_different_options_are_kept_together() {
    let machine = Machine::new("options-of-engines", "");
    let built = |arguments: &[&str]| {
        let bench = machine.bench("sam", &[&["--providers", "tensorrt"], arguments].concat());
        assert_eq!(bench["notes"].to_string(), "[]");
        (machine.lines("engine built").len(), machine.lines("engine reused").len())
    };
    let sets: [&[&str]; 3] = [&[], &["--max-objects", "8"], &["--tensorrt-workspace-mb", "64"]];
    // The encoder has no shape profile, so that its engine fits both options.
    assert_eq!(sets.map(&built), [(2, 0), (1, 1), (2, 0)]);
    assert_eq!(sets.map(&built), [(0, 2); 3]);
    let model = golden("sam").display().to_string();
    assert!(machine.run(&["inspect", &model]).status.success());
    assert_eq!(sets.map(&built), [(0, 2); 3]);
}

#[test]
fn engines_are_tried_until_a_trial_run_passes() {
    let full = "tensorrt.run=CUDA failure 2: out of memory";
    let mut machine = Machine::new("tried", full);
    let provider = |machine: &Machine| {
        let bench = machine.bench("sam", &["--providers", "tensorrt,cpu"]);
        (bench["provider"].as_str().unwrap().to_owned(), machine.lines("run ").len())
    };
    // At the second start the engines are on disk.
    assert_eq!(provider(&machine).0, "cpu");
    assert_eq!(machine.lines("engine built").len(), 2);
    assert_eq!(provider(&machine).0, "cpu");
    assert_eq!(machine.lines("engine built").len(), 0);
    machine.behaviour = String::new();
    let (first, second) = (provider(&machine), provider(&machine));
    assert_eq!((first.0.as_str(), second.0.as_str()), ("tensorrt", "tensorrt"));
    assert!(second.1 < first.1, "it was tried once more");

    // The engines were built without a trial run.
    let machine = Machine::new("unchecked", "fp16=broken");
    let precision = |check: &str| {
        let bench = machine.bench("variants", &["--providers", "tensorrt", "--self-check", check]);
        bench["precision"].as_str().unwrap().to_owned()
    };
    assert_eq!((precision("false"), precision("true")), ("fp16".to_owned(), "fp32".to_owned()));
}

#[test]
fn fp16_is_refused_for_good_only_if_it_was_compared() {
    // The GPU has no memory for fp32 beside fp16: the CPU runs fp32.
    let out = "CUDA failure 2: out of memory";
    let mut machine = Machine::new("no-reference", &format!("cuda.run={out}"));
    let precision = |machine: &Machine| {
        let bench = machine.bench("variants", &["--providers", "tensorrt"]);
        (bench["precision"].as_str().unwrap().to_owned(), refused(&bench))
    };
    assert_eq!(precision(&machine), ("fp16".to_owned(), "[]".to_owned()));
    // Neither runs fp32: fp16 is refused at this start, and tried again at the next.
    machine = Machine::new("never-a-reference", &format!("cuda.run={out};cpu.run={out}"));
    let (runs, why) = precision(&machine);
    assert_eq!(runs, "fp32");
    assert_says(&why, &["tensorrt, fp16: fp32 to compare it with fails", out]);
    machine.behaviour = String::new();
    assert_eq!(precision(&machine), ("fp16".to_owned(), "[]".to_owned()));
}

#[test]
fn a_decoder_in_fp32_is_not_refused_with_its_encoder() {
    let machine = Machine::new("shared", "fp16=broken");
    let bundle = Scratch::with("providers-shared-bundle", "variants");
    bundle.describe(|d| {
        let variants = d["variants"].as_array_mut().unwrap();
        let half = variants.iter_mut().find(|v| v["precision"] == "fp16").unwrap();
        half["decoder"] = "mask_decoder.onnx".into();
    });
    for built in [3, 0] {
        let bench = machine.bench(bundle.0.to_str().unwrap(), &["--providers", "tensorrt,cpu"]);
        assert_eq!((&bench["provider"], &bench["precision"]), (&"tensorrt".into(), &"fp32".into()));
        assert_eq!(bench["decoder_provider"], "tensorrt");
        assert_eq!(machine.lines("engine built").len(), built);
    }
}

#[test]
fn without_a_writable_cache_tensorrt_runs_nevertheless() {
    let machine = Machine::new("no-room", "");
    let nowhere = ["--engine-cache", "/dev/null/engines"];
    let not_kept = "are not kept on disk: engine cache /dev/null/engines: Not a directory";
    let bench = machine.bench("sam", &[&["--providers", "tensorrt"], &nowhere[..]].concat());
    assert_eq!((&bench["provider"], &bench["decoder_provider"]), (&"tensorrt".into(), &"tensorrt".into()));
    assert_says(&bench["notes"].to_string(), &[not_kept]);
    // `build-engines` reports that the engines are missing.
    let output = machine.run(&[&["build-engines", golden("sam").to_str().unwrap()], &FEW[..], &nowhere[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert_says(&String::from_utf8_lossy(&output.stdout), &[not_kept]);
    assert_says(&String::from_utf8_lossy(&output.stderr), &["not all engines were written to /dev/null/engines"]);
}

fn sha256(content: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn without_tensorrt_building_reports_what_is_missing() {
    let mut machine = Machine::new("missing", "without=tensorrt");
    machine.nvidia = false;
    let output = machine.run(&["build-engines", golden("sam").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_says(
        &errors,
        &["TensorRT does not run on this machine", "ONNX Runtime with TensorRT", "libnvinfer.so.10 is not on"],
    );
    assert_says(&errors, &["GPU 0: libcuda.so.1 is not there"]);
    let output = machine.run(&["build-engines", "--engine-cache", "none"]);
    assert_eq!(output.status.code(), Some(2));
}
