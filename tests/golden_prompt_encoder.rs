//! The prompt encoder against PyTorch's `PromptEncoder`.

use std::path::PathBuf;

use promptseg::model::prompt_encoder::{PromptEncoder, Token, TokenLabel};
use safetensors::SafeTensors;

const TOLERANCE: f32 = 1e-5;

struct Golden {
    content: Vec<u8>,
}

impl Golden {
    fn read() -> Golden {
        Golden { content: std::fs::read(folder().join("expected.safetensors")).unwrap() }
    }

    fn get(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let tensors = SafeTensors::deserialize(&self.content).unwrap();
        let view = tensors.tensor(&format!("prompt_encoder.{name}")).unwrap();
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        (view.shape().to_vec(), values)
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn encoder() -> PromptEncoder {
    let content = std::fs::read(folder().join("sam/prompt_encoder.safetensors")).unwrap();
    PromptEncoder::load(&content, "prompt_encoder.safetensors", 512, &[1, 32, 32, 32]).unwrap()
}

fn label(number: f32) -> TokenLabel {
    match number as i32 {
        -1 => TokenLabel::Pad,
        0 => TokenLabel::Background,
        1 => TokenLabel::Foreground,
        2 => TokenLabel::TopLeft,
        _ => TokenLabel::BottomRight,
    }
}

/// Returns the point tokens and the box tokens of each golden object.
fn tokens(golden: &Golden) -> (Vec<Vec<Token>>, Vec<Vec<Token>>) {
    let ((shape, points), (_, labels), (_, boxes)) = (golden.get("points"), golden.get("labels"), golden.get("boxes"));
    let n = shape[1];
    let points = (0..shape[0]).map(|object| {
        let token = |i: usize| {
            let at = object * n + i;
            Token { x: points[2 * at], y: points[2 * at + 1], label: label(labels[at]) }
        };
        (0..n).map(token).collect::<Vec<_>>()
    });
    let boxes = boxes.chunks_exact(4).map(|b| {
        vec![
            Token { x: b[0], y: b[1], label: TokenLabel::TopLeft },
            Token { x: b[2], y: b[3], label: TokenLabel::BottomRight },
        ]
    });
    (points.collect(), boxes.collect())
}

fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn assert_close(name: &str, found: &[f32], expected: &[f32]) {
    let d = difference(found, expected);
    println!("{name:28} {d:.1e}");
    assert!(d < TOLERANCE, "{name} differs by {d}");
}

#[test]
fn points_with_negatives_and_padding_of_several_objects() {
    let (golden, encoder) = (Golden::read(), encoder());
    let (points, _) = tokens(&golden);
    // PyTorch appends a pad token if there is no box.
    let found: Vec<f32> = points
        .into_iter()
        .flat_map(|mut t| {
            t.push(Token::PAD);
            encoder.sparse(&t)
        })
        .collect();
    assert_close("points", &found, &golden.get("sparse_points").1);
}

#[test]
fn boxes_and_boxes_with_points() {
    let (golden, encoder) = (Golden::read(), encoder());
    let (points, boxes) = tokens(&golden);
    let found: Vec<f32> = boxes.iter().flat_map(|t| encoder.sparse(t)).collect();
    assert_close("boxes", &found, &golden.get("sparse_boxes").1);
    let found: Vec<f32> = points.into_iter().zip(boxes).flat_map(|(p, b)| encoder.sparse(&[p, b].concat())).collect();
    assert_close("points and boxes", &found, &golden.get("sparse_both").1);
}

/// Returns every `stride`th row and column of `[C, 32, 32]`.
fn thinned(values: &[f32], stride: usize) -> Vec<f32> {
    let at = |c: usize, y: usize, x: usize| values[(c * 32 + y) * 32 + x];
    let cells = || (0..32).step_by(stride);
    (0..32).flat_map(|c| cells().flat_map(move |y| cells().map(move |x| at(c, y, x)))).collect()
}

#[test]
fn mask_input() {
    let (golden, encoder) = (Golden::read(), encoder());
    let found = encoder.dense(&golden.get("mask").1);
    assert_close("mask", &thinned(&found, 2), &golden.get("dense_mask").1);
}

#[test]
fn no_mask_and_dense_positions() {
    let (golden, encoder) = (Golden::read(), encoder());
    assert_close("no mask", &thinned(&encoder.dense_without_mask(), 8), &golden.get("dense_no_mask").1);
    assert_close("dense positions", &thinned(&encoder.dense_positions(), 2), &golden.get("dense_positions").1);
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let content = std::fs::read(folder().join("sam/prompt_encoder.safetensors")).unwrap();
    let e = PromptEncoder::load(&content, "file", 512, &[1, 256, 64, 64]).unwrap_err().to_string();
    assert!(e.contains("F32[2, 16]") && e.contains("F32[2, 128]"), "{e}");
    let e = PromptEncoder::load(b"not safetensors", "file", 512, &[1, 32, 32, 32]).unwrap_err().to_string();
    assert!(e.starts_with("file: not a safetensors file"), "{e}");
}
