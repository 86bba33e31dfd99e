//! Graphs of other exporters, opened by their files, against PyTorch. Scripts in tests/fixtures make the graphs.

mod scratch;

use std::path::{Path, PathBuf};

use promptseg::model::{Candidates, DecodeOptions, Decoded, Model, Precision, SessionOptions};
use promptseg::pixels::Resize;
use promptseg::prompt::{BoxPrompt, Label, LowResLogits, Point, Prompt};
use promptseg::segmenter::Segmenter;
use safetensors::SafeTensors;
use scratch::Scratch;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Stride of the stored logits (tests/fixtures/common.py).
const STRIDE: usize = 5;
/// Largest accepted difference, as a fraction of the range.
const TOLERANCE: f32 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn open(folder: &str) -> Model {
    Model::open(&fixture(folder), None, &SessionOptions::cpu(1)).unwrap_or_else(|e| panic!("{folder}: {e}"))
}

/// Results of PyTorch for a fixture.
struct Expected(Vec<u8>);

impl Expected {
    fn of(folder: &str) -> Expected {
        Expected(std::fs::read(fixture(folder).join("expected.safetensors")).unwrap())
    }

    fn header(&self, key: &str) -> Value {
        let (_, metadata) = SafeTensors::read_metadata(&self.0).unwrap();
        serde_json::from_str(&metadata.metadata().as_ref().unwrap()[key]).unwrap()
    }

    fn values(&self, name: &str) -> Option<Vec<f32>> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let view = tensors.tensor(name).ok()?;
        Some(view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}

fn number(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

/// Makes the mask prompt of common.py (`mask_prompt`).
fn mask_prompt(side: usize) -> LowResLogits {
    LowResLogits { side, data: (0..side * side).map(|i| (i * 37 % 101) as f32 / 10.0 - 5.0).collect() }
}

fn prompt(object: &Value, side: usize) -> Prompt {
    let point = |p: &Value| {
        let label = if number(&p[2]) == 1.0 { Label::Foreground } else { Label::Background };
        Point { x: number(&p[0]), y: number(&p[1]), label }
    };
    let bbox = object["box"].as_array().map(|b| BoxPrompt {
        x_min: number(&b[0]),
        y_min: number(&b[1]),
        x_max: number(&b[2]),
        y_max: number(&b[3]),
    });
    let points = object["points"].as_array().unwrap().iter().map(point).collect();
    Prompt { points, bbox, mask: object["mask"].as_bool().unwrap().then(|| mask_prompt(side)) }
}

fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    let largest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // A single IoU has no range.
    let range = (high - low).max(0.1);
    assert!(largest <= TOLERANCE * range, "{what}: {largest} of a range of {range}");
}

/// Checks that PyTorch's results differ between prompts, so that a confusion of two prompts cannot stay hidden.
fn assert_distinct(folder: &str, expected: &Expected, kind: &str) {
    let mut seen: Vec<(Value, Vec<f32>)> = Vec::new();
    for (case, objects) in expected.header("cases").as_object().unwrap() {
        for (i, object) in objects.as_array().unwrap().iter().enumerate() {
            let logits = expected.values(&format!("{case}.{i}.{kind}.low_res")).unwrap();
            let (low, high) = logits.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            for (other, theirs) in seen.iter().filter(|(other, _)| other != object) {
                let largest = logits.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                let what = format!("{folder} {kind}: {object} and {other}");
                assert!(largest > 50.0 * TOLERANCE * (high - low), "{what} differ by {largest} only");
            }
            seen.push((object.clone(), logits));
        }
    }
}

/// Decodes every case of a fixture, all objects of a case in one call, and compares logits, IoU and object score.
fn compare(folder: &str, model: Model) {
    let kinds = Expected::of(folder).header("kinds");
    let kinds: Vec<_> = kinds.as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
    compare_kinds(folder, model, &kinds);
}

/// Compares kinds of masks: `multi` are the candidates, `single` is the mask for clear prompts.
fn compare_kinds(folder: &str, model: Model, kinds: &[&str]) {
    let expected = Expected::of(folder);
    let mut segmenter = Segmenter::new(model);
    let photo = image::open(fixture("../golden/chelsea.png")).unwrap().to_rgb8();
    segmenter.set_image(&photo).unwrap();
    let side = segmenter.info().low_res_size;
    let mut compared = 0;
    for kind in kinds {
        assert_distinct(folder, &expected, kind);
        let candidates = if *kind == "multi" { Candidates::Multi } else { Candidates::Single };
        let options = DecodeOptions { candidates, all_masks: true, ..DecodeOptions::default() };
        for (case, objects) in expected.header("cases").as_object().unwrap() {
            let prompts: Vec<_> = objects.as_array().unwrap().iter().map(|o| prompt(o, side)).collect();
            let answers = segmenter.predict_many(&prompts, &options).unwrap().objects;
            assert_eq!(answers.len(), prompts.len());
            for (i, answer) in answers.iter().enumerate() {
                compare_answer(folder, &expected, &format!("{case}.{i}.{kind}"), answer, *kind == "single");
                compared += 1;
            }
        }
    }
    assert!(compared >= 5, "{folder}: only {compared} answers compared");
}

fn compare_answer(folder: &str, expected: &Expected, key: &str, answer: &Decoded, single: bool) {
    // SAM 2 may replace the single mask by the best candidate. Only that mask is compared.
    let others = if single { &[][..] } else { &answer.others };
    let mut masks: Vec<_> = others.iter().chain([&answer.best]).collect();
    masks.sort_by_key(|m| m.index);
    let low_res: Vec<f32> = masks.iter().flat_map(|m| m.low_res.data.iter().step_by(STRIDE).copied()).collect();
    let ious: Vec<f32> = masks.iter().map(|m| m.iou).collect();
    // Expected result for a mask alone from a graph that adds a pad point.
    let padded = format!("{key}.padded");
    let key = if expected.values(&format!("{padded}.low_res")).is_some() { padded.as_str() } else { key };
    let what = |part: &str| format!("{folder} {key}.{part}");
    assert_near(&low_res, &expected.values(&format!("{key}.low_res")).unwrap(), &what("low_res"));
    assert_near(&ious, &expected.values(&format!("{key}.iou")).unwrap(), &what("iou"));
    let score = expected.values(&format!("{key}.score")).map(|v| v[0]);
    assert_eq!(answer.object_score.is_some(), score.is_some(), "{}", what("score"));
    if let (Some(found), Some(score)) = (answer.object_score, score) {
        assert_near(&[found], &[score], &what("score"));
    }
}

/// Returns the message of a refused prompt.
fn refusal(segmenter: &mut Segmenter, prompt: &Prompt) -> String {
    let photo = image::RgbImage::new(340, 260);
    segmenter.set_image(&photo).unwrap();
    segmenter.predict(prompt, &DecodeOptions::default()).unwrap_err().to_string()
}

#[test]
fn samexporter_sam_with_its_own_preprocessing_and_without() {
    let folder = fixture("samexporter_sam");
    for (encoder, layout) in [("encoder.onnx", "official SAM"), ("planes.onnx", "official SAM")] {
        let model =
            Model::open(&folder.join(encoder), Some(&folder.join("decoder.onnx")), &SessionOptions::cpu(1)).unwrap();
        assert_eq!((model.info.layout, model.info.image_size, model.info.low_res_size), (layout, 128, 32));
        assert_eq!((model.info.resize, model.info.batched), (Resize::Letterbox, false));
        assert!(model.info.notes.is_empty(), "{:?}", model.info.notes);
        compare("samexporter_sam", model);
    }
}

/// The files are those of `nanosam`, with inputs, outputs and weights converted to half precision.
#[test]
fn graphs_in_half_precision_give_almost_the_masks_of_fp32() {
    let open = |precision| {
        let options = SessionOptions { precision, ..SessionOptions::cpu(1) };
        Model::open(&fixture("float16"), None, &options)
    };
    let model = open(Some(Precision::Fp16)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((model.info.layout, model.info.encoder.inputs[0].dtype.as_str()), ("nanosam", "f16"));
    assert!(model.info.notes.is_empty(), "{:?}", model.info.notes);
    let (expected, mut segmenter) = (Expected::of("nanosam"), Segmenter::new(model));
    segmenter.set_image(&image::open(fixture("../golden/chelsea.png")).unwrap().to_rgb8()).unwrap();
    let options = DecodeOptions { candidates: Candidates::Single, ..DecodeOptions::default() };
    for case in ["point", "negative", "box", "mask", "mask_box", "mask_alone"] {
        let object = &expected.header("cases")[case][0];
        let answer = segmenter.predict(&prompt(object, segmenter.info().low_res_size), &options).unwrap();
        let logits = expected.values(&format!("{case}.0.single.low_res")).unwrap();
        let found: Vec<f32> = answer.best.low_res.data.iter().step_by(STRIDE).copied().collect();
        let (low, high) = logits.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        let apart = found.iter().zip(&logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / (high - low);
        println!("{case}: {apart:.1e} of the range");
        assert!(apart < 2e-2, "{case}: {apart} of the range");
        let iou = expected.values(&format!("{case}.0.single.iou")).unwrap()[0];
        assert!((answer.best.iou - iou).abs() < 1e-2, "{case}: IoU {} for {iou}", answer.best.iou);
    }
    let refused = open(Some(Precision::Fp32)).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("no fp32 variant; it has fp16 alone"), "{refused}");
}

#[test]
fn a_pair_of_fp32_is_fp32() {
    let open = |precision| {
        let options = SessionOptions { precision: Some(precision), ..SessionOptions::cpu(1) };
        Model::open(&fixture("nanosam"), None, &options).map(|model| model.info.layout)
    };
    assert_eq!(open(Precision::Fp32).unwrap(), "nanosam");
    let refused = open(Precision::Fp16).unwrap_err().to_string();
    assert!(refused.contains("no fp16 variant; it has fp32 alone"), "{refused}");
}

/// If neither of two graphs is known, the message is about the encoder.
#[test]
fn a_decoder_is_not_reported_as_an_unknown_image_encoder() {
    // Names of tensors that no layout has.
    let renamed = |file: &str, from: &[u8], to: &[u8]| {
        let mut content = std::fs::read(fixture(file)).unwrap();
        let starts: Vec<_> = (0..content.len()).filter(|&i| content[i..].starts_with(from)).collect();
        starts.into_iter().for_each(|at| content[at..at + to.len()].copy_from_slice(to));
        content
    };
    let encoder = renamed("nanosam/encoder.onnx", b"image", b"movie");
    let decoder = renamed("nanosam/decoder.onnx", b"mask_input", b"musk_input");
    // The decoder is the first file in the folder, then the last.
    for name in ["a.onnx", "z.onnx"] {
        let scratch = Scratch::new(&format!("unknown-{name}"));
        scratch.write("m.onnx", &encoder);
        scratch.write(name, &decoder);
        let message = Model::open(&scratch.0, None, &SessionOptions::cpu(1)).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("m.onnx: no known layout of an image encoder"), "{message}");
    }
}

#[test]
fn nanosam_has_a_picture_smaller_than_the_square_of_its_prompts() {
    let model = open("nanosam");
    assert_eq!((model.info.layout, model.info.image_size, model.info.prompt_side), ("nanosam", 64, 128));
    compare("nanosam", model);
}

#[test]
fn edgesam_takes_no_mask() {
    let model = open("edgesam");
    assert_eq!((model.info.layout, model.info.family.as_str()), ("EdgeSAM", "edgesam"));
    compare("edgesam", open("edgesam"));
    let message = refusal(&mut Segmenter::new(model), &Prompt::default().with_mask(mask_prompt(32)));
    assert!(message.contains("mask prompts") && message.contains("points, boxes"), "{message}");
}

/// The encoder takes 96 pixels, the prompts lie in 128: the two squares round the height of the photo differently.
#[test]
fn efficientvit_sam_has_prompts_in_a_larger_square_and_takes_no_mask() {
    let model = open("efficientvit_sam");
    assert_eq!((model.info.layout, model.info.family.as_str()), ("EfficientViT-SAM", "efficientvit-sam"));
    assert_eq!((model.info.image_size, model.info.prompt_side, model.info.resize), (96, 128, Resize::Letterbox));
    assert!(model.info.batched && model.info.notes.is_empty(), "{:?}", model.info.notes);
    compare("efficientvit_sam", open("efficientvit_sam"));
    let message = refusal(&mut Segmenter::new(model), &Prompt::default().with_mask(mask_prompt(32)));
    assert!(message.contains("mask prompts") && message.contains("points, boxes"), "{message}");
}

#[test]
fn efficientsam_gets_the_image_as_it_is() {
    let model = open("efficientsam");
    assert_eq!((model.info.layout, model.info.resize, model.info.candidates), ("EfficientSAM", Resize::Stretch, 3));
    assert!(!model.info.single_mask && !model.info.batched);
    compare("efficientsam", open("efficientsam"));
    let mut segmenter = Segmenter::new(model);
    let background = Prompt::point(9.0, 9.0).with_point(Point::background(50.0, 60.0));
    assert!(refusal(&mut segmenter, &background).contains("does not take background points; it takes foreground"));
    let many = (0..6).fold(Prompt::point(1.0, 1.0), |p, i| p.with_point(Point::foreground(9.0, i as f32)));
    assert!(refusal(&mut segmenter, &many).contains("at most 6 points"));
}

#[test]
fn sam_hq_hands_its_early_features_on() {
    let model = open("sam_hq");
    assert_eq!((model.info.layout, model.info.candidates, model.info.single_mask), ("SAM-HQ", 0, true));
    assert_eq!(model.info.embedding_shape, [1, 16, 8, 8]);
    compare("sam_hq", model);
}

#[test]
fn samexporter_sam2_runs_several_objects_at_once() {
    let model = open("samexporter_sam2");
    assert_eq!((model.info.layout, model.info.family.as_str()), ("samexporter SAM 2", "sam2"));
    assert_eq!((model.info.resize, model.info.candidates, model.info.single_mask), (Resize::Stretch, 3, false));
    assert!(model.info.batched);
    assert_pads(&model.info.notes);
    compare("samexporter_sam2", model);
}

/// The graphs of SAM 2 add a pad point to a mask alone, unlike the reference. A note reports that when a model is opened.
#[test]
fn a_mask_alone_differs_from_the_reference_only_if_the_graph_adds_a_pad_point() {
    for folder in ["nanosam", "sam_hq"] {
        assert!(open(folder).info.notes.is_empty(), "{folder}: {:?}", open(folder).info.notes);
        assert!(padded(folder).is_empty(), "{folder}");
    }
    for folder in ["samexporter_sam2", "rectlabel_sam2", "onnxruntime_sam2", "onnx_sam2"] {
        let expected = Expected::of(folder);
        let padded = padded(folder);
        assert!(!padded.is_empty(), "{folder}");
        for name in padded {
            let found = expected.values(&name).unwrap();
            let reference = expected.values(&name.replace(".padded", "")).unwrap();
            let apart = found.iter().zip(&reference).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart > 0.1, "{folder} {name}: a pad point moves the logits by {apart} only");
        }
    }
}

/// Returns the names of the expected logits for a mask alone with a pad point.
fn padded(folder: &str) -> Vec<String> {
    let content = Expected::of(folder).0;
    let tensors = SafeTensors::deserialize(&content).unwrap();
    tensors.names().into_iter().filter(|name| name.ends_with(".padded.low_res")).map(ToOwned::to_owned).collect()
}

/// Checks the [`ModelInfo::notes`](promptseg::model::ModelInfo) of a graph that adds a pad point.
fn assert_pads(notes: &[String]) {
    let [note] = notes else { panic!("{notes:?}") };
    assert!(
        note.contains("a mask as the only prompt") && note.contains("this graph adds a pad point itself"),
        "{note}"
    );
}

#[test]
fn onnx_sam2_resizes_to_the_logits_own_size() {
    let pair = (fixture("samexporter_sam2/encoder.onnx"), fixture("onnx_sam2/decoder.onnx"));
    let model = Model::open(&pair.0, Some(&pair.1), &SessionOptions::cpu(1)).unwrap();
    assert_eq!((model.info.layout, model.info.low_res_size), ("ONNX-SAM2", 32));
    assert_pads(&model.info.notes);
    compare("onnx_sam2", model);
}

#[test]
fn rectlabel_computes_all_masks_and_promptseg_chooses_the_single_mask() {
    let model = open("rectlabel_sam2");
    assert_eq!((model.info.layout, model.info.candidates, model.info.single_mask), ("RectLabel SAM 2", 3, true));
    assert!(model.info.dynamic_multimask.is_some());
    assert_pads(&model.info.notes);
    compare("rectlabel_sam2", model);
}

#[test]
fn onnxruntime_sam2_has_a_decoder_for_candidates_and_one_for_the_single_mask() {
    let folder = fixture("onnxruntime_sam2");
    for (decoder, candidates, single) in [("decoder.onnx", 3, false), ("single.onnx", 0, true)] {
        let options = SessionOptions::cpu(1);
        let model = Model::open(&folder.join("encoder.onnx"), Some(&folder.join(decoder)), &options).unwrap();
        assert_eq!(model.info.layout, "onnxruntime SAM 2");
        assert_eq!((model.info.candidates, model.info.single_mask), (candidates, single));
        assert_pads(&model.info.notes);
        compare_kinds("onnxruntime_sam2", model, &[if single { "single" } else { "multi" }]);
    }
}

#[test]
fn transformers_sam_takes_points_in_batches_and_no_boxes() {
    let model = open("transformers_sam");
    assert_eq!((model.info.layout, model.info.resize), ("transformers SAM", Resize::Letterbox));
    assert!(model.info.batched && model.info.notes.is_empty(), "{:?}", model.info.notes);
    compare("transformers_sam", open("transformers_sam"));
    let message = refusal(&mut Segmenter::new(model), &Prompt::bbox(9.0, 9.0, 90.0, 90.0));
    assert!(message.contains("does not take box prompts; it takes points"), "{message}");
}

#[test]
fn transformers_js_with_an_empty_input_for_no_box() {
    let model = open("transformersjs_sam2");
    assert_eq!((model.info.layout, model.info.family.as_str()), ("transformers.js SAM 2", "sam2"));
    assert!(!model.info.points_need_box && model.info.notes.is_empty(), "{:?}", model.info.notes);
    compare("transformersjs_sam2", model);
}

#[test]
fn edgetam_of_transformers_js_has_the_layout_of_its_sam2() {
    let model = open("transformersjs_edgetam");
    assert_eq!((model.info.layout, model.info.family.as_str()), ("transformers.js SAM 2", "sam2"));
    assert_eq!((model.info.image_size, model.info.low_res_size, model.info.resize), (128, 32, Resize::Stretch));
    assert!(!model.info.points_need_box && model.info.notes.is_empty(), "{:?}", model.info.notes);
    compare("transformersjs_edgetam", model);
}

#[test]
fn sam3_tracker_of_transformers_js_has_cells_of_14_pixels_and_its_own_levels() {
    let model = open("transformersjs_sam3_tracker");
    assert_eq!((model.info.layout, model.info.family.as_str()), ("transformers.js SAM 2", "sam3"));
    assert_eq!((model.info.image_size, model.info.low_res_size, model.info.resize), (112, 32, Resize::Stretch));
    assert_eq!((model.info.mean, model.info.std), ([127.5; 3], [127.5; 3]));
    assert!(!model.info.points_need_box && model.info.notes.is_empty(), "{:?}", model.info.notes);
    compare("transformersjs_sam3_tracker", model);
}

#[test]
fn transformers_js_with_undefined_tokens_without_a_box_takes_points_with_a_box_only() {
    let pair = (
        fixture("transformersjs_sam2/vision_encoder.onnx"),
        fixture("transformersjs_sam2_traced/prompt_encoder_mask_decoder.onnx"),
    );
    let open = || Model::open(&pair.0, Some(&pair.1), &SessionOptions::cpu(1)).unwrap();
    let model = open();
    assert!(model.info.points_need_box && model.info.batched);
    assert!(model.info.notes.iter().any(|n| n.contains("empty `input_boxes`")), "{:?}", model.info.notes);
    compare("transformersjs_sam2_traced", open());
    let message = refusal(&mut Segmenter::new(model), &Prompt::point(9.0, 9.0));
    assert!(message.contains("does not take points without a box; it takes points together with a box"), "{message}");
}

/// A description does not contain the layout of the graphs, which is recognised in a bundle too.
#[test]
fn graphs_of_others_give_the_same_masks_in_a_bundle() {
    for (folder, encoder, decoder) in [
        ("nanosam", "nanosam/encoder.onnx", "nanosam/decoder.onnx"),
        ("samexporter_sam2", "samexporter_sam2/encoder.onnx", "samexporter_sam2/decoder.onnx"),
        (
            "transformersjs_sam2_traced",
            "transformersjs_sam2/vision_encoder.onnx",
            "transformersjs_sam2_traced/prompt_encoder_mask_decoder.onnx",
        ),
    ] {
        let (encoder, decoder) = (fixture(encoder), fixture(decoder));
        let plain = Model::open(&encoder, Some(&decoder), &SessionOptions::cpu(1)).unwrap().info;
        let scratch = Scratch::new(folder);
        scratch.write(
            "bundle.json",
            json!({
                "format": 2, "name": "mine", "family": plain.family, "image_size": plain.image_size,
                "resize": if plain.resize == Resize::Stretch { "stretch" } else { "letterbox" },
                "mean": plain.mean, "std": plain.std, "embedding_shape": plain.embedding_shape,
                "low_res_size": plain.low_res_size, "candidates": plain.candidates, "single_mask": plain.single_mask,
                "dynamic_multimask": plain.dynamic_multimask, "low_res_limit": plain.low_res_limit,
                "prompts": ["point", "box", "mask"], "prompt_encoder": "fused", "files": {},
            })
            .to_string(),
        );
        scratch.put("image_encoder.onnx", &std::fs::read(encoder).unwrap());
        scratch.put("mask_decoder.onnx", &std::fs::read(decoder).unwrap());
        // The path of its encoder opens the bundle, not a pair of graphs.
        for path in [scratch.0.clone(), scratch.file("image_encoder.onnx")] {
            let model = Model::open(&path, None, &SessionOptions::cpu(1)).unwrap_or_else(|e| panic!("{folder}: {e}"));
            let info = &model.info;
            assert_eq!((info.name.as_str(), info.points_need_box), ("mine", plain.points_need_box));
            assert_eq!((info.prompt_side, info.box_as_points), (plain.prompt_side, plain.box_as_points));
            assert_eq!((info.batched, &info.notes), (plain.batched, &plain.notes));
            compare(folder, model);
        }
        let pair = (scratch.file("image_encoder.onnx"), scratch.file("mask_decoder.onnx"));
        let model = Model::open(&pair.0, Some(&pair.1), &SessionOptions::cpu(1)).unwrap();
        assert_eq!(model.info.name, "image_encoder");
        scratch.write("bundle.json", "{");
        let message = Model::open(&pair.0, None, &SessionOptions::cpu(1)).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("bundle.json: not a bundle description"), "{message}");
    }
}

/// A bundle.json beside a pair supplies the figures that the graphs do not contain.
#[test]
fn a_description_overrides_what_a_layout_assumes() {
    let folder = std::env::temp_dir().join(format!("promptseg-layouts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut files = serde_json::Map::new();
    for (from, to) in [("encoder.onnx", "image_encoder.onnx"), ("decoder.onnx", "mask_decoder.onnx")] {
        let content = std::fs::read(fixture("edgesam").join(from)).unwrap();
        let digest: String = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
        files.insert(to.to_owned(), json!({"sha256": digest, "bytes": content.len()}));
        std::fs::write(folder.join(to), content).unwrap();
    }
    let description = json!({
        "format": 1, "name": "mine", "family": "edgesam", "image_size": 128, "resize": "stretch",
        "mean": [127.5, 127.5, 127.5], "std": [127.5, 127.5, 127.5], "embedding_shape": [1, 16, 8, 8],
        "low_res_size": 32, "candidates": 3, "single_mask": true, "prompts": ["point", "box"],
        "prompt_encoder": "fused", "files": files,
    });
    std::fs::write(folder.join("bundle.json"), description.to_string()).unwrap();
    let mut model = Model::open(&folder, None, &SessionOptions::cpu(1)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((model.info.layout, model.info.resize, model.info.mean), ("EdgeSAM", Resize::Stretch, [127.5; 3]));
    let embedding = model.encoder.encode(&image::RgbImage::new(340, 260)).unwrap();
    let answer = model.decoder.decode(&embedding, &[Prompt::point(9.0, 9.0)], &DecodeOptions::default()).unwrap();
    assert_eq!(answer.objects.len(), 1);
    let _ = std::fs::remove_dir_all(&folder);
}
