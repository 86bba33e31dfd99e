//! Helpers of the golden tests: files of `tests/golden`, and prompts from `cases.json`.

use std::path::PathBuf;

use image::RgbImage;
use promptseg::prompt::{BoxPrompt, LowResLogits, Point, Prompt};
use safetensors::SafeTensors;
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Case {
    pub photo: String,
    pub case: String,
    /// `[x, y, label]` of each point.
    points: Option<Vec<[f32; 3]>>,
    #[serde(rename = "box")]
    bbox: Option<[f32; 4]>,
    /// Name of the tensor of the mask prompt.
    mask: Option<String>,
}

impl Case {
    /// Returns the common part of the names of the case's files and tensors.
    pub fn key(&self) -> String {
        format!("{}.{}", self.photo, self.case)
    }

    pub fn prompt(&self, expected: &SafeTensors<'_>) -> Prompt {
        let point = |p: &[f32; 3]| match p[2] {
            0.0 => Point::background(p[0], p[1]),
            _ => Point::foreground(p[0], p[1]),
        };
        let mask = |name: &String| {
            let (shape, data) = tensor(expected, name);
            LowResLogits { side: shape[0], data: data.into() }
        };
        Prompt {
            points: self.points.iter().flatten().map(point).collect(),
            bbox: self.bbox.map(|[x_min, y_min, x_max, y_max]| BoxPrompt { x_min, y_min, x_max, y_max }),
            mask: self.mask.as_ref().map(mask),
        }
    }
}

pub fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Returns shape and values of a tensor.
pub fn tensor(tensors: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let view = tensors.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    (view.shape().to_vec(), values)
}

pub fn photo(name: &str) -> RgbImage {
    image::open(golden(&format!("{name}.png"))).unwrap().into_rgb8()
}

/// Returns the largest difference of `found`, in rows of `side`, to `stored`, which has every `stride`th row and column
/// of the expected values.
pub fn difference(found: &[f32], side: usize, stored: &[f32], stride: usize) -> f32 {
    let few = side.div_ceil(stride);
    assert_eq!(stored.len(), found.len() / (side * side) * few * few);
    let difference = |i: usize, v: &f32| {
        let (plane, y, x) = (i / (few * few), i / few % few, i % few);
        (found[(plane * side + y * stride) * side + x * stride] - v).abs()
    };
    stored.iter().enumerate().map(|(i, v)| difference(i, v)).fold(0.0, f32::max)
}
