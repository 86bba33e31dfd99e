//! A bundle with fp32, fp16 and int8 graphs: the variant that runs, and the report about it.

mod scratch;

use image::{Rgb, RgbImage, imageops};
use promptseg::model::{Error, Model, Precision, Provider, SessionOptions};
use promptseg::pixels::{Mask, decode_compressed};
use promptseg::prompt::Prompt;
use promptseg::segmenter::Segmenter;
use scratch::{Scratch, assert_says, golden};
use serde_json::json;

fn options(precision: Option<Precision>) -> SessionOptions {
    SessionOptions { precision, ..SessionOptions::cpu(1) }
}

/// Returns the precisions of encoder and decoder.
fn runs(model: &Model) -> [Option<Precision>; 2] {
    [model.encoder.providers().precision, model.decoder.providers().precision]
}

fn photo() -> RgbImage {
    decode_compressed(&std::fs::read(golden("chelsea.png")).unwrap(), "png").unwrap()
}

fn mask(bundle: &str, precision: Precision) -> Mask {
    let image = photo();
    let model = Model::open(&golden(bundle), None, &options(Some(precision))).unwrap();
    let mut segmenter = Segmenter::new(model);
    segmenter.set_image(&image).unwrap();
    segmenter.predict(&Prompt::bbox(80.0, 40.0, 330.0, 270.0), &Default::default()).unwrap().best.mask
}

#[test]
fn the_cpu_runs_int8_and_reports_that_the_decoder_is_fp32() {
    let model = Model::open(&golden("variants"), None, &options(None)).unwrap();
    assert_eq!(runs(&model), [Some(Precision::Int8), Some(Precision::Fp32)]);
    assert!(model.info.encoder.file.ends_with("image_encoder.int8.onnx"));
    assert_eq!(model.encoder.providers().to_string(), "cpu, int8");
    assert_eq!(model.info.variants.len(), 3);
}

#[test]
fn the_requested_precision_runs_and_all_give_similar_masks() {
    for (precision, decoder) in [("fp32", "fp32"), ("fp16", "fp16"), ("int8", "fp32")] {
        let choice = Precision::choice(precision).unwrap();
        let model = Model::open(&golden("variants"), None, &options(choice)).unwrap();
        assert_eq!(runs(&model), [choice, Precision::choice(decoder).unwrap()]);
    }
    let plain = mask("variants", Precision::Fp32);
    assert!(plain.area > 1000);
    // Both bundles have the same fp32 graphs.
    for (bundle, precision) in
        [("variants", Precision::Fp16), ("variants", Precision::Int8), ("calibrated", Precision::Int8)]
    {
        let other = mask(bundle, precision);
        let (a, b) = (plain.full(), other.full());
        let count = |both: fn(u8, u8) -> bool| a.iter().zip(&b).filter(|(a, b)| both(**a, **b)).count() as f64;
        let iou = count(|a, b| a & b != 0) / count(|a, b| a | b != 0);
        assert!(iou > 0.9, "{bundle}, {precision}: {iou}");
    }
}

#[test]
fn a_calibrated_variant_runs_where_the_bundle_lists_it_or_on_request() {
    let copy = Scratch::with("calibrated", "calibrated");
    let listed = |providers: serde_json::Value| {
        copy.describe(|d| d["variants"].as_array_mut().unwrap().last_mut().unwrap()["providers"] = providers);
        runs(&Model::open(&copy.0, None, &options(None)).unwrap())[0]
    };
    assert_eq!(listed(json!(["cpu"])), Some(Precision::Int8));
    assert_eq!(listed(json!([])), Some(Precision::Fp32));
    let asked = Model::open(&copy.0, None, &options(Some(Precision::Int8))).unwrap();
    assert_eq!(asked.encoder.providers().to_string(), "cpu, int8");
    assert!(asked.info.variants.last().unwrap().calibration["mask_iou"] > 0.9);
}

/// Returns the values of the embedding of each image, encoded one after the other.
fn embeddings(folder: &std::path::Path, images: &[RgbImage]) -> Vec<Vec<f32>> {
    let mut model = Model::open(folder, None, &options(Some(Precision::Fp32))).unwrap();
    let values = |image| model.encoder.encode(image).unwrap().tensor("image_embeddings").unwrap().1.to_vec();
    images.iter().map(values).collect()
}

#[test]
fn an_encoder_that_takes_levels_gives_the_same_embeddings() {
    let levels = Scratch::with("levels", "calibrated");
    levels.describe(|d| d["variants"][0]["encoder"] = "image_encoder.u8.onnx".into());
    // Landscape, portrait, square, and a small image after a large one: the padding holds the levels of earlier images.
    let photo = photo();
    let white = RgbImage::from_pixel(64, 64, Rgb([255; 3]));
    let small = RgbImage::from_fn(9, 50, |x, y| Rgb([x as u8 * 20, y as u8 * 5, 99]));
    let images = [photo.clone(), imageops::rotate90(&photo), white, small, photo];
    let (expected, found) = (embeddings(&golden("calibrated"), &images), embeddings(&levels.0, &images));
    assert_ne!(expected[0], expected[1]);
    for (expected, found) in expected.iter().zip(&found) {
        let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        let apart = expected.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart <= 1e-6 * (high - low), "{:e} of the range", apart / (high - low));
    }
}

#[test]
fn a_bundle_without_variants_is_fp32_and_a_missing_precision_is_an_error_with_a_list() {
    let plain = Scratch::with("plain", "variants");
    plain.describe(|d| {
        d.as_object_mut().unwrap().remove("variants");
    });
    assert_eq!(runs(&Model::open(&plain.0, None, &options(None)).unwrap()), [Some(Precision::Fp32); 2]);
    let Err(e) = Model::open(&plain.0, None, &options(Some(Precision::Int8))) else { panic!("no int8 there") };
    assert_says(&e.to_string(), &["bundle.json has no int8 variant", "it has fp32"]);
    let (encoder, decoder) = (golden("sam/image_encoder.onnx"), golden("official/mask_decoder.onnx"));
    assert_eq!(runs(&Model::open(&encoder, Some(&decoder), &options(None)).unwrap()), [None; 2]);
    let Err(e) = Model::open(&encoder, Some(&decoder), &options(Some(Precision::Fp16))) else { panic!("a pair") };
    assert_says(&e.to_string(), &["no fp16 variant", "no bundle.json that names variants"]);
}

#[test]
fn fp32_replaces_a_variant_that_does_not_open_and_the_reason_is_reported() {
    let copy = Scratch::with("broken-int8", "variants");
    copy.put("image_encoder.int8.onnx", b"\x08\x09 no graph");
    let model = Model::open(&copy.0, None, &options(None)).unwrap();
    assert_eq!(runs(&model), [Some(Precision::Fp32); 2]);
    let [refused] = model.encoder.providers().refused.as_slice() else { panic!("one reason") };
    assert_eq!((refused.provider, refused.precision), (Provider::Cpu, Some(Precision::Int8)));
    assert_says(
        &model.encoder.providers().to_string(),
        &["cpu, fp32; refused: cpu, int8: ", "image_encoder.int8.onnx"],
    );
    // If the precision is requested, opening fails.
    let Err(e) = Model::open(&copy.0, None, &options(Some(Precision::Int8))) else { panic!("opened") };
    assert_says(&e.to_string(), &["image_encoder.int8.onnx is not an ONNX graph"]);
}

#[test]
fn hashes_are_checked_for_the_variant_that_runs() {
    let copy = Scratch::with("hashes", "variants");
    let damage = |name: &str| {
        let mut content = std::fs::read(copy.file(name)).unwrap();
        content[5000] ^= 1;
        copy.write(name, content);
    };
    damage("image_encoder.fp16.onnx");
    assert!(Model::open(&copy.0, None, &options(None)).is_ok());
    let opened = Model::open(&copy.0, None, &options(Some(Precision::Fp16)));
    assert!(matches!(opened, Err(Error::FileHash { file, .. }) if file.ends_with("image_encoder.fp16.onnx")));
    // A damaged file is an error, without a silent fallback to fp32.
    damage("image_encoder.int8.onnx");
    assert!(matches!(Model::open(&copy.0, None, &options(None)), Err(Error::FileHash { .. })));
}

#[test]
fn invalid_descriptions_of_variants_are_refused() {
    let fp32 = json!({"precision": "fp32", "encoder": "image_encoder.onnx", "decoder": "mask_decoder.onnx", "providers": ["cpu"]});
    let with = |key: &str, value: &str| {
        let mut variant = fp32.clone();
        variant[key] = json!(value);
        variant
    };
    for (variants, says) in [
        (json!([fp32, with("precision", "bf16")]), &["unknown variant `bf16`", "`fp16`"][..]),
        (json!([fp32, fp32]), &["variants is fp32 twice", "each precision once"]),
        (json!([with("precision", "fp16")]), &["variants is without fp32"]),
        (json!([with("encoder", "other.onnx")]), &["files is without other.onnx"]),
        (json!([with("providers", "cpu")]), &["bundle.json: not a bundle description", "expected a sequence"]),
        (json!([{"precision": "fp32"}]), &["missing field `encoder`"]),
        (json!([with("u8_encoder", "levels.onnx")]), &["files is without levels.onnx"]),
    ] {
        let copy = Scratch::with("described", "variants");
        copy.describe(|d| d["variants"] = variants);
        let Err(e) = Model::open(&copy.0, None, &options(None)) else { panic!("accepted: {says:?}") };
        assert_says(&e.to_string(), says);
    }
}

#[test]
fn a_model_that_stretches_its_pictures_takes_no_levels() {
    let says = &["u8_encoder with resize stretch, whose pictures are not whole levels", "letterbox only"];
    let copy = Scratch::with("stretched", "calibrated");
    copy.describe(|d| d["resize"] = "stretch".into());
    let Err(e) = Model::open(&copy.0, None, &options(None)) else { panic!("accepted") };
    assert_says(&e.to_string(), says);
    // The same for a graph that the bundle lists as its only encoder.
    copy.describe(|d| {
        d["variants"][0]["encoder"] = "image_encoder.u8.onnx".into();
        d["variants"][0].as_object_mut().unwrap().remove("u8_encoder");
    });
    let Err(e) = Model::open(&copy.0, None, &options(Some(Precision::Fp32))) else { panic!("accepted") };
    assert_says(&e.to_string(), &["image u8[1,128,128,3]", "f32: stretched pictures are not whole levels"]);
}

#[test]
fn weights_beside_a_graph_are_hashed_and_used() {
    let copy = Scratch::with("external", "variants");
    let [graph, weights] =
        ["image_encoder.onnx", "image_encoder.onnx.data"].map(|f| std::fs::read(golden("external").join(f)).unwrap());
    copy.put("image_encoder.onnx", &graph);
    copy.put("image_encoder.onnx.data", &weights);
    let embedding = |folder: &std::path::Path| {
        let mut model = Model::open(folder, None, &options(Some(Precision::Fp32))).unwrap();
        let image = image::RgbImage::from_fn(90, 70, |x, y| image::Rgb([x as u8, y as u8, 7]));
        model.encoder.encode(&image).unwrap().tensor("image_embeddings").unwrap().1.to_vec()
    };
    assert_eq!(embedding(&copy.0), embedding(&golden("variants")));
    let mut damaged = weights.clone();
    damaged[1000] ^= 1;
    copy.write("image_encoder.onnx.data", &damaged);
    let Err(e) = Model::open(&copy.0, None, &options(Some(Precision::Fp32))) else { panic!("damaged weights") };
    assert_says(&e.to_string(), &["image_encoder.onnx.data: SHA-256"]);
    std::fs::remove_file(copy.file("image_encoder.onnx.data")).unwrap();
    let Err(e) = Model::open(&copy.0, None, &options(Some(Precision::Fp32))) else { panic!("missing weights") };
    assert_says(&e.to_string(), &["image_encoder.onnx.data is missing from the bundle"]);
}
