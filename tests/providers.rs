//! TensorRT and CUDA down to the call: `promptseg` runs as a process of its own with tests/stub_onnxruntime. The stub has both
//! providers, logs the calls, and fails as a test requires.

mod machine;
mod scratch;

use std::path::Path;
use std::process::Output;

use machine::{FEW, Machine, refused};
use scratch::{assert_says, golden};
use serde_json::Value;

fn has(line: &str, wanted: &[&str]) {
    let words = line.split(' ').collect::<Vec<_>>();
    for word in wanted {
        assert!(words.contains(word), "no `{word}` in {line}");
    }
}

#[test]
fn every_option_reaches_the_providers() {
    let machine = Machine::new("options", "");
    let cache = machine.file("engines");
    let options = "--device-id 1 --gpu-memory-mb 512 --fp16 --int8 --tensorrt-workspace-mb 256 \
                   --max-objects 32 --max-tokens 8 --cuda-graphs --threads 3 --spinning \
                   --providers tensorrt,cpu --precision fp32";
    let mut arguments: Vec<&str> = options.split_whitespace().collect();
    arguments.extend(["--engine-cache", &cache]);
    let bench = machine.bench("sam", &arguments);
    assert_eq!((&bench["provider"], &bench["decoder_provider"]), (&"tensorrt".into(), &"tensorrt".into()));
    let tensorrt = machine.lines("append tensorrt");
    let common = ["device_id=1", "trt_fp16_enable=true", "trt_int8_enable=true", "trt_max_workspace_size=256000000"];
    let cached = ["trt_engine_cache_enable=true", "trt_timing_cache_enable=true", "trt_layer_norm_fp32_fallback=true"];
    let timings = format!("trt_timing_cache_path={cache}/timings");
    tensorrt.iter().for_each(|line| has(line, &[&common[..], &cached[..], &[&timings]].concat()));
    // The encoder has no dynamic axes. The decoder has dynamic axes, so that a CUDA graph cannot replay its runs.
    has(&tensorrt[0], &["trt_cuda_graph_enable=true"]);
    assert!(!tensorrt[0].contains("profile"));
    has(
        &tensorrt[1],
        &[
            "trt_cuda_graph_enable=false",
            "trt_profile_min_shapes=sparse_prompt_embeddings:1x1x32,dense_prompt_embeddings:1x32x32x32,\
             wanted_masks:1x1x5",
            "trt_profile_opt_shapes=sparse_prompt_embeddings:1x2x32,dense_prompt_embeddings:1x32x32x32,\
             wanted_masks:1x1x5",
            "trt_profile_max_shapes=sparse_prompt_embeddings:32x8x32,dense_prompt_embeddings:32x32x32x32,\
             wanted_masks:32x4x5",
        ],
    );
    let beside = &machine.lines("append cuda")[0];
    has(
        beside,
        &["device_id=1", "gpu_mem_limit=512000000", "arena_extend_strategy=kSameAsRequested", "use_tf32=false"],
    );
    let log = machine.log();
    for line in [
        "option threads=3",
        "option memory-pattern=0",
        "option session.force_spinning_stop=1",
        "option session.intra_op.allow_spinning=1",
        "option session.use_env_allocators=1",
        "run-option memory.enable_memory_arena_shrinkage=gpu:1",
    ] {
        assert!(log.iter().any(|l| l == line), "no `{line}` in {log:#?}");
    }

    let arguments = ["--providers", "cuda", "--arena", "doubling", "--cuda-graphs"];
    machine.bench("sam", &arguments);
    let cuda = machine.lines("append cuda");
    has(&cuda[0], &["enable_cuda_graph=true", "arena_extend_strategy=kNextPowerOfTwo", "device_id=0"]);
    assert!(!cuda[0].contains("gpu_mem_limit"), "all of it is the default");
    machine.bench("sam", &["--providers", "cpu", "--arena", "off"]);
    let log = machine.log();
    for line in ["option arena=0", "option session.intra_op.spin_duration_us=20"] {
        assert!(log.iter().any(|l| l == line), "no `{line}` in {log:#?}");
    }
    // Products in bf16, where the processor of this machine is an ARM with instructions for it.
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let features = cpuinfo.lines().find(|line| line.starts_with("Features")).unwrap_or_default();
    let bf16 = cfg!(target_arch = "aarch64") && features.split_whitespace().any(|flag| flag == "bf16");
    let on = |log: &[String]| log.contains(&"option mlas.enable_gemm_fastmath_arm64_bfloat16=1".to_owned());
    assert_eq!(on(&log), bf16, "{log:#?}");
    machine.bench("sam", &["--providers", "cpu", "--precision", "fp32"]);
    assert!(!on(&machine.log()), "the user asked for fp32");
}

#[test]
fn the_next_provider_runs_and_the_reasons_are_reported() {
    let missing = "tensorrt.append=libnvinfer.so.10: cannot open shared object file: No such file or directory";
    let machine = Machine::new("next", &format!("{missing};cuda.load=CUDA failure 2: out of memory"));
    let bench = machine.bench("sam", &[]);
    assert_eq!(bench["provider"], "cpu");
    let told = ["tensorrt, fp32: ", "install libnvinfer", "cuda, fp32", "out of memory: precision fp16"];
    assert_says(&refused(&bench), &told[..]);

    let machine = Machine::new("none", "without=tensorrt,cuda");
    let bench = machine.bench("sam", &[]);
    assert_eq!(bench["provider"], "cpu");
    assert_says(&refused(&bench), &["tensorrt: this build of ONNX Runtime does not have it"]);

    let output = machine.run(&["bench", golden("sam").to_str().unwrap(), "--providers", "tensorrt,cuda"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_says(&errors, &["no execution provider left", "cuda: this build"]);
}

#[test]
fn a_provider_that_fails_at_its_first_run_is_refused_while_opening() {
    let machine = Machine::new("first-run", "cuda.run=CUDA failure 2: out of memory");
    let bench = machine.bench("sam", &["--providers", "cuda,cpu"]);
    assert_eq!(bench["provider"], "cpu");
    assert_says(
        &refused(&bench),
        &["cuda: it opens and then fails", "out of memory on cuda", "fewer session.max_objects"],
    );
    // Without a trial run the first picture fails, with advice.
    let arguments = ["bench", golden("sam").to_str().unwrap(), "--providers", "cuda,cpu", "--self-check", "false"]
        .map(ToOwned::to_owned);
    let output = machine.run(&arguments.each_ref().map(String::as_str));
    assert_eq!(output.status.code(), Some(1));
    assert_says(&String::from_utf8_lossy(&output.stderr), &["out of memory on cuda", "What helps: precision fp16"]);
}

#[test]
fn a_batch_that_does_not_fit_into_memory_is_split() {
    let machine = Machine::new("batch", "most=5");
    let bench = machine.bench("sam", &["--providers", "cuda", "--max-objects", "16"]);
    assert_eq!(bench["provider"], "cuda");
    let sizes: Vec<String> = machine
        .lines("run cuda")
        .iter()
        .filter_map(|line| {
            let (_, after) = line.split_once("sparse_prompt_embeddings@host[")?;
            Some(after.split('x').next()?.to_owned())
        })
        .collect();
    // Batches of 16 and 8 fail while the model is opened, and are not tried again.
    assert_eq!(sizes.iter().filter(|n| *n == "16").count(), 1);
    assert_eq!(sizes.iter().filter(|n| *n == "8").count(), 1);
    assert!(sizes.iter().filter(|n| *n == "4").count() >= 8, "{sizes:?}");
}

#[test]
fn only_the_wanted_mask_of_an_object_is_computed() {
    let machine = Machine::new("wanted", "");
    machine.bench("sam", &["--providers", "cuda"]);
    let decoder: Vec<String> =
        machine.lines("run cuda").into_iter().filter(|line| line.contains("wanted_masks@host[")).collect();
    assert!(decoder.len() > 4, "the decoder ran {} times", decoder.len());
    decoder.iter().for_each(|line| assert!(line.contains("x1x5]"), "{line}"));
}

#[test]
fn embeddings_stay_on_the_gpu() {
    let machine = Machine::new("device", "");
    machine.bench("sam", &["--providers", "cuda"]);
    let log = machine.log();
    assert!(log.contains(&"allocator CudaPinned".to_owned()), "the picture is in page-locked memory");
    assert!(log.contains(&"bind image_embeddings Cuda".to_owned()));
    let decoder = machine.lines("run cuda");
    assert!(decoder.len() > 2);
    for line in &decoder {
        assert!(line.contains("image_embeddings@gpu["), "{line}");
    }
    assert!(machine.lines("session cpu").iter().all(|line| !line.contains("memory-")), "nothing was copied back");
    // The second click of the benchmark has a mask, whose embedding is computed on the host. Boxes have none.
    masks(&machine, "sam", &["--providers", "cuda"]);
    let decoder: Vec<String> =
        machine.lines("run cuda").into_iter().filter(|line| line.contains("image_embeddings@")).collect();
    assert!(!decoder.is_empty());
    for line in &decoder {
        assert!(line.contains("dense_prompt_embeddings@gpu["), "{line}");
    }
}

/// Returns the masks of two pictures as JSON, without the times.
fn masks(machine: &Machine, model: &str, arguments: &[&str]) -> Vec<Value> {
    let (cat, flower) = (golden("chelsea.png"), golden("flower.png"));
    let model = golden(model);
    let base = ["segment", cat.to_str().unwrap(), flower.to_str().unwrap(), "--model", model.to_str().unwrap()];
    let prompts = ["--box", "30,40,300,260", "--format", "json"];
    let output = machine.run(&[&base[..], &prompts[..], &FEW[..], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let masks: Vec<Value> = text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["masks"].clone()).collect();
    assert_eq!(masks.len(), 2);
    masks
}

#[test]
fn the_gpu_gives_the_masks_of_the_cpu() {
    let machine = Machine::new("answers", "");
    // The second model takes levels on a GPU.
    for model in ["sam", "calibrated"] {
        let masks = |arguments: &[&str]| masks(&machine, model, &[arguments, &["--precision", "fp32"]].concat());
        let expected = masks(&["--providers", "cpu"]);
        assert_ne!(expected[0], expected[1]);
        assert_eq!(masks(&["--providers", "cuda"]), expected);
        assert_eq!(masks(&["--providers", "tensorrt"]), expected);
        // All pictures share a buffer, so that embeddings of the first picture must be copies.
        assert_eq!(masks(&["--providers", "cuda", "--cuda-graphs"]), expected);
    }
}

/// Segments one picture on TensorRT with the prompts in `arguments`.
fn prompted(machine: &Machine, arguments: &[&str]) -> Output {
    let (cat, model) = (golden("chelsea.png"), golden("sam"));
    let base = ["segment", cat.to_str().unwrap(), "--model", model.to_str().unwrap(), "--format", "json"];
    machine.run(&[&base[..], &FEW[..], arguments].concat())
}

/// Returns the arguments for `count` clicks.
fn clicks(count: usize) -> Vec<String> {
    (0..count).flat_map(|i| ["--point".to_owned(), format!("{},{}", 20 + 17 * i, 30 + 11 * i)]).collect()
}

#[test]
fn an_object_outside_of_the_engines_shapes_runs_on_the_next_provider() {
    let machine = Machine::new("beyond", "");
    let answer = |providers: &str, prompts: &[String]| {
        let prompts = prompts.iter().map(String::as_str).collect::<Vec<_>>();
        let more = ["--providers", providers, "--log-level", "warn"];
        let output = prompted(&machine, &[&prompts[..], &more[..]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer = serde_json::from_slice::<Value>(&output.stdout).unwrap();
        (answer["masks"].clone(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let decoded = |provider: &str, shape: &str| {
        let sparse = format!("sparse_prompt_embeddings@host[{shape}]");
        machine.lines(&format!("run {provider} ")).iter().filter(|line| line.contains(&sparse)).count()
    };
    // 15 clicks and a pad token are the most that the engine takes.
    let (expected, _) = answer("cpu", &clicks(15));
    let (masks, _) = answer("tensorrt,cuda", &clicks(15));
    assert_eq!((masks, decoded("tensorrt", "1x16x32"), decoded("cuda", "1x16x32")), (expected, 1, 0));

    for (next, said) in [("cuda", "decoded on cuda"), ("cpu", "decoded on cpu")] {
        let (expected, _) = answer("cpu", &clicks(16));
        let (masks, log) = answer(&format!("tensorrt,{next}"), &clicks(16));
        assert_eq!((masks, decoded("tensorrt", "1x17x32"), decoded(next, "1x17x32")), (expected, 0, 1));
        assert_eq!(machine.lines("engine rebuilt"), Vec::<String>::new());
        assert_says(&log, &["an object has 17 prompt tokens, the engine of TensorRT takes 1 to 16", said]);
    }

    // A mask alone has no token, which is less than the engine takes.
    let rough = machine.file("rough.png");
    let (width, height) = image::image_dimensions(golden("chelsea.png")).unwrap();
    image::GrayImage::from_fn(width, height, |x, _| image::Luma([if x < width / 2 { 255 } else { 0 }]))
        .save(&rough)
        .unwrap();
    let alone = ["--mask".to_owned(), rough];
    let (expected, _) = answer("cpu", &alone);
    let (masks, log) = answer("tensorrt,cuda", &alone);
    assert_eq!((masks, decoded("tensorrt", "1x0x32"), decoded("cuda", "1x0x32")), (expected, 0, 1));
    assert_eq!(machine.lines("engine rebuilt"), Vec::<String>::new());
    assert_says(&log, &["an object has 0 prompt tokens"]);
    // An option sets the limit.
    let (_, log) = answer("tensorrt,cuda", &[clicks(16), vec!["--max-tokens".into(), "17".into()]].concat());
    assert_eq!((decoded("tensorrt", "1x17x32"), decoded("cuda", "1x17x32")), (1, 0));
    assert!(!log.contains("prompt tokens"), "{log}");
}

#[test]
fn a_box_by_an_input_of_its_own_is_no_token() {
    let machine = Machine::new("box-input", "");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transformersjs_sam2");
    let (photo, model) = (golden("chelsea.png").display().to_string(), model.display().to_string());
    let masks = |providers: &str| {
        let boxed = ["segment", &photo, "--box", "90,40,330,260", "--format", "coco-rle", "--model", &model];
        let output = machine.run(&[&boxed[..], &["--providers", providers]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["masks"].clone()
    };
    let expected = masks("cpu");
    assert_eq!(masks("tensorrt"), expected);
    assert!(machine.lines("run tensorrt ").iter().any(|line| line.contains("input_points@host[1x1x0x2]")));
    assert_eq!(machine.lines("engine rebuilt"), Vec::<String>::new());
}

#[test]
fn an_object_that_no_provider_can_run_is_refused_with_the_limit() {
    let machine = Machine::new("beyond-all", "");
    let asked = |prompts: &[String]| {
        let prompts = prompts.iter().map(String::as_str).collect::<Vec<_>>();
        prompted(&machine, &[&prompts[..], &["--providers", "tensorrt"]].concat())
    };
    assert!(asked(&clicks(15)).status.success());
    let refused = asked(&clicks(16));
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(machine.lines("engine rebuilt"), Vec::<String>::new());
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_says(
        &errors,
        &[
            "an object has 17 prompt tokens",
            "takes 1 to 16; raise tensorrt.max_tokens, or add cuda or cpu to providers",
        ],
    );
}

#[test]
fn fp32_replaces_half_precision_with_wrong_masks() {
    let machine = Machine::new("broken", "fp16=broken");
    let bench = machine.bench("variants", &["--providers", "tensorrt,cuda,cpu"]);
    assert_eq!((&bench["provider"], &bench["precision"]), (&"tensorrt".into(), &"fp32".into()));
    assert_says(&refused(&bench), &["tensorrt, fp16: self-check against fp32", "masks overlap by"]);
    let built = machine.lines("engine built").len();
    assert_eq!(built, 4, "encoder and decoder in fp16, then in fp32");
    // The refusal is stored beside the engines.
    let again = machine.bench("variants", &["--providers", "tensorrt,cuda,cpu"]);
    assert_eq!((&again["precision"], machine.lines("engine built").len()), (&"fp32".into(), 0));
    assert_says(&refused(&again), &["tensorrt, fp16: self-check against fp32"]);
    // A requested precision with wrong masks is refused too.
    let asked = machine.bench("variants", &["--providers", "cuda", "--precision", "fp16"]);
    assert_eq!(asked["precision"], "fp32");
    // TensorRT's own half precision is refused too.
    let own = machine.bench("sam", &["--providers", "tensorrt", "--fp16"]);
    assert_eq!(own["precision"], "fp32");
    assert_says(&refused(&own), &["tensorrt, fp16: self-check"]);

    let sound = Machine::new("sound", "");
    let bench = sound.bench("variants", &["--providers", "tensorrt"]);
    assert_eq!((&bench["precision"], refused(&bench).as_str()), (&"fp16".into(), "[]"));
}

#[test]
fn a_memory_has_a_shape_profile_and_trial_runs_of_its_own() {
    let machine = Machine::new("memory", "");
    machine.track("tensorrt");
    let tensorrt = machine.lines("append tensorrt");
    assert_eq!(tensorrt.len(), 4, "{tensorrt:#?}");
    has(
        &tensorrt[2],
        &[
            "trt_cuda_graph_enable=false",
            "trt_profile_min_shapes=memories:1x256x16,memory_times:1x7,object_pointers:1x32,pointer_times:1x1",
            "trt_profile_opt_shapes=memories:7x256x16,memory_times:7x7,object_pointers:16x32,pointer_times:16x1",
            "trt_profile_max_shapes=memories:22x256x16,memory_times:22x7,object_pointers:31x32,pointer_times:31x1",
        ],
    );
    assert!(!tensorrt[3].contains("profile"), "the memory encoder has no dynamic axes");
    assert_eq!(machine.lines("engine built").len(), 4);
    // Engines from the first start are not tried again.
    machine.track("tensorrt");
    assert_eq!((machine.lines("engine built").len(), machine.lines("engine reused").len()), (0, 4));
    assert!(!machine.lines("run ").iter().any(|line| line.contains("memories@")));

    let machine = Machine::new("memory-cuda", "");
    machine.track("cuda");
    assert!(machine.log().contains(&"bind conditioned_embeddings Cuda".to_owned()));
    let runs = machine.lines("run cuda");
    let remembered: Vec<_> = runs.iter().filter(|line| line.contains("binarize@")).collect();
    assert_eq!(remembered.len(), 2, "once while it was opened, and the click's: {runs:#?}");
    assert!(remembered.iter().all(|line| line.contains("image_embeddings@gpu[")), "{remembered:?}");

    // A session of the memory that does not fit into the GPU runs on the CPU; encoder and decoder stay on the GPU.
    let machine = Machine::new("memory-full", "full=binarize");
    machine.track("cuda,cpu");
    let opened = |name: &str| machine.lines("session cuda").iter().filter(|line| line.ends_with(name)).count();
    assert_eq!((opened("/image_encoder.onnx"), opened("/memory_encoder.onnx")), (2, 1));
}
