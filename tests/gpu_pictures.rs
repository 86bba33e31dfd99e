//! Pictures in 8 bits, graphs in 8 bits, and copies of embeddings, on a machine with a GPU as far as promptseg can see
//! (tests/stub_onnxruntime).

mod machine;
mod scratch;

use machine::Machine;
use scratch::{Scratch, assert_says};

/// Checks that a line of the log has all words.
fn has(line: &str, wanted: &[&str]) {
    wanted.iter().for_each(|word| assert!(line.split(' ').any(|found| found == *word), "no `{word}` in {line}"));
}

#[test]
fn tensorrt_may_compute_a_graph_with_8_bit_weights_in_8_bits() {
    let machine = Machine::new("int8", "");
    let bench = machine.bench("calibrated", &["--providers", "tensorrt", "--precision", "int8"]);
    assert_eq!((&bench["provider"], &bench["precision"]), (&"tensorrt".into(), &"int8".into()));
    let [encoder, decoder, ..] = &machine.lines("append tensorrt")[..] else { panic!("two sessions") };
    has(encoder, &["trt_int8_enable=true", "trt_fp16_enable=false"]);
    has(decoder, &["trt_int8_enable=false", "trt_fp16_enable=false"]);
    // The variant is meant for the CPU.
    assert_eq!(machine.bench("calibrated", &["--providers", "tensorrt"])["precision"], "fp32");
}

#[test]
fn a_gpu_gets_the_picture_as_levels() {
    let machine = Machine::new("levels", "with=openvino");
    let encoder = |providers: &str, arguments: &[&str]| {
        let bench = machine.bench("calibrated", &[&["--providers", providers], arguments].concat());
        assert_eq!((&bench["provider"], &bench["refused"].to_string()), (&providers.into(), &"[]".to_owned()));
        let opened = machine.lines(&format!("session {providers} "));
        let name = opened.iter().find_map(|line| line.rsplit('/').next().filter(|name| name.contains("encoder")));
        (name.unwrap().to_owned(), machine.lines("bind-input image["), machine.lines("bind-input content_"))
    };
    let fp32 = ["--precision", "fp32"];
    for provider in ["cuda", "tensorrt"] {
        for cuda_graphs in [&[][..], &["--cuda-graphs"]] {
            let (file, pictures, content) = encoder(provider, &[&fp32[..], cuda_graphs].concat());
            assert_eq!(file, "image_encoder.u8.onnx");
            assert!(!pictures.is_empty() && pictures.iter().all(|line| line.ends_with("image[1, 128, 128, 3]")));
            let (rows, columns) = ("bind-input content_rows[1, 1, 128, 1]", "bind-input content_columns[1, 1, 1, 128]");
            assert_eq!(&content[..2], [rows, columns]);
        }
        let (file, pictures, _) = encoder(provider, &[&fp32[..], &["--u8-pictures", "false"]].concat());
        assert_eq!(file, "image_encoder.onnx");
        assert!(!pictures.is_empty() && pictures.iter().all(|line| line.ends_with("image[1, 3, 128, 128]")));
    }
    for provider in ["openvino", "cpu"] {
        assert_eq!(encoder(provider, &fp32).0, "image_encoder.onnx");
    }
}

#[test]
fn the_encoder_of_values_replaces_an_encoder_of_levels_that_does_not_open() {
    let machine = Machine::new("no-levels", "");
    let copy = Scratch::with("providers-no-levels", "calibrated");
    copy.put("image_encoder.u8.onnx", b"\x08\x09 no graph");
    let bench = machine.bench(copy.0.to_str().unwrap(), &["--providers", "cuda,cpu"]);
    assert_eq!((&bench["provider"], &bench["precision"]), (&"cuda".into(), &"fp32".into()));
    assert_says(&bench["refused"].to_string(), &["cuda, fp32: ", "image_encoder.u8.onnx"]);
}

#[test]
fn only_the_tensor_that_a_graph_on_the_cpu_takes_is_copied_back() {
    // The memory encoder does not fit into the GPU. On the CPU it takes one of the three features.
    let machine = Machine::new("copies", "full=binarize");
    machine.track("cuda,cpu");
    let log = machine.log();
    let decoder = log.iter().find_map(|line| line.split_once(" image_embeddings@gpu[")?.1.split(']').next());
    let embedding = format!("bind-input input[{}]", decoder.unwrap().replace('x', ", "));
    assert!(log.iter().any(|line| line.contains(" high_res_feats_0@gpu[")), "{log:#?}");
    // A copy to the host is a run of the crate `ort`'s own graph, with an output on the host.
    let copies =
        log.windows(2).filter(|lines| lines[0].starts_with("bind-input input[") && lines[1] == "bind output Cpu");
    let copied = copies.map(|lines| lines[0].as_str()).collect::<Vec<_>>();
    assert!(!copied.is_empty(), "{log:#?}");
    assert!(copied.iter().all(|line| *line == embedding), "{copied:?}, expected {embedding}");
}
