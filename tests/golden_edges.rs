//! Edges against a rendering of the paper's text in NumPy, on the same logits. `export/promptseg_export/golden_edges.py`
//! writes the images.

#[path = "support/drawn.rs"]
mod drawn;

use std::ops::ControlFlow;
use std::path::PathBuf;

use drawn::{DrawnDecoder, DrawnEncoder};
use image::RgbImage;
use promptseg::everything::edges::{EdgeMap, EdgeSettings, edges};
use promptseg::everything::{Decoder, Encoder};
use promptseg::model::{Model, SessionOptions};
use promptseg::prompt::Prompt;

/// Largest difference of the strength. The stored values have 16 bits.
const STRENGTH: f32 = 1e-4;
/// Part of the pixels that must be equal after thinning: a ridge may move where two pixels are equally strong.
const EQUAL: f64 = 0.999;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Returns the difference of each pixel from a stored image.
fn differences(name: &str, found: &EdgeMap) -> Vec<f32> {
    let image = image::open(golden(&format!("everything/edges_{name}.png"))).unwrap().into_luma16();
    assert_eq!(image.dimensions(), (found.width, found.height));
    let expected = image.as_raw().iter().map(|value| f32::from(*value) / 65535.0);
    expected.zip(&found.strength).map(|(expected, found)| (expected - found).abs()).collect()
}

fn compare(
    name: &str,
    settings: &EdgeSettings,
    encoder: &mut dyn Encoder,
    decoder: &mut dyn Decoder,
    image: &RgbImage,
) {
    let found = edges(settings, encoder, decoder, image, &mut |_| ControlFlow::Continue(())).unwrap();
    let worst = differences(&format!("{name}_strength"), &found).into_iter().fold(0.0, f32::max);
    assert!(worst <= STRENGTH, "{name}: the strength differs by {worst}");
    let thinned = differences(&format!("{name}_thinned"), &found.thinned());
    let equal = thinned.iter().filter(|difference| **difference <= STRENGTH).count() as f64 / thinned.len() as f64;
    println!("{name}: strength within {worst:.1e}, {equal:.5} of the pixels equal after thinning");
    assert!(equal >= EQUAL, "{name}: {equal} of the pixels are equal after thinning");
}

#[test]
fn edges_of_drawn_logits_are_those_of_the_text() {
    let settings = EdgeSettings { points_per_side: 6, ..EdgeSettings::default() };
    // Clicks whose masks remain are decoded a second time: answers are found by the place of a click in the grid.
    let number = |click: &Prompt| (click.points[0].y as usize * 6 / 110) * 6 + click.points[0].x as usize * 6 / 150;
    let file = std::fs::read(golden("everything/drawn.safetensors")).unwrap();
    let mut decoder = DrawnDecoder::new(&file, "logits", 64, Some(number));
    compare("drawn", &settings, &mut DrawnEncoder { side: 64 }, &mut decoder, &RgbImage::new(150, 110));
}

#[test]
fn edges_of_the_built_in_model_are_those_of_the_text() {
    let model =
        Model::open(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/tiny"), None, &SessionOptions::cpu(2));
    let Model { mut encoder, mut decoder, .. } = model.unwrap_or_else(|e| panic!("{e}"));
    let photo = image::open(golden("astronaut.png")).unwrap().into_rgb8();
    compare("tiny", &EdgeSettings::default(), &mut encoder, &mut decoder, &photo);
}
