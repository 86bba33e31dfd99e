//! Comparison of a model's results with those of another provider in fp32.

use image::RgbImage;
use promptseg::model::{Candidates, DecodeOptions, Precision, Provider, SessionOptions};
use promptseg::segmenter::Segmenter;
use serde_json::{Value, json};

use super::stages::{BATCH, row};
use crate::failure::Failure;
use crate::model_arguments::ModelPath;

/// Returns the low-resolution logits of a row of clicks across the picture.
pub fn logits(segmenter: &mut Segmenter, image: &RgbImage) -> Result<Vec<Vec<f32>>, Failure> {
    segmenter.set_image(image)?;
    let prompts = row(segmenter.info(), image, BATCH);
    // The mask for clear prompts, because rounding may change the choice among candidates with almost equal scores.
    let options = DecodeOptions { candidates: Candidates::Single, ..DecodeOptions::default() };
    let objects = segmenter.predict_many(&prompts, &options)?.objects;
    Ok(objects.into_iter().map(|object| object.best.low_res.data.to_vec()).collect())
}

/// Opens the model in fp32 on `provider` and compares its logits with `found`. `bundle` tells whether the model is a bundle.
pub fn compare(
    found: &[Vec<f32>],
    path: &ModelPath,
    provider: Provider,
    options: &SessionOptions,
    bundle: bool,
    image: &RgbImage,
) -> Result<Value, Failure> {
    let mut gpu = options.gpu.clone();
    // The reference builds no engines, so that it leaves those of the measured model in place.
    (gpu.fp16, gpu.int8, gpu.engine_cache) = (false, false, None);
    // Files of other exporters have no variants to choose from.
    let precision = bundle.then_some(Precision::Fp32);
    let providers = vec![provider];
    let reference = SessionOptions { providers, precision, fastest: false, memory: false, gpu, ..options.clone() };
    let model = path.open(&reference)?;
    let threshold = model.info.mask_threshold;
    let expected = logits(&mut Segmenter::new(model), image)?;
    let Agreement { apart, overlap } = agreement(found, &expected, threshold)?;
    Ok(json!({
        "provider": provider,
        "objects": found.len(),
        "logits": (f64::from(apart) * 1e6).round() / 1e6,
        "mask_iou": (overlap * 1e5).round() / 1e5,
    }))
}

/// Agreement of two lists of logits.
#[derive(Debug, PartialEq)]
struct Agreement {
    /// Largest difference as a fraction of the range of the object's logits.
    apart: f32,
    /// Overlap (IoU) of the masks of all objects together.
    overlap: f64,
}

fn agreement(found: &[Vec<f32>], expected: &[Vec<f32>], threshold: f32) -> Result<Agreement, Failure> {
    let same_sizes = found.iter().map(Vec::len).eq(expected.iter().map(Vec::len));
    if !same_sizes || found.iter().flatten().any(|v| !v.is_finite()) {
        return Err("the logits are not comparable: other sizes than those of the reference, or not finite".into());
    }
    let (mut apart, mut both, mut either) = (0f32, 0usize, 0usize);
    for (found, expected) in found.iter().zip(expected) {
        let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        let range = (high - low).max(f32::MIN_POSITIVE);
        for (a, b) in found.iter().zip(expected) {
            apart = apart.max((a - b).abs() / range);
            both += usize::from(*a > threshold && *b > threshold);
            either += usize::from(*a > threshold || *b > threshold);
        }
    }
    let overlap = if either == 0 { 1.0 } else { both as f64 / either as f64 };
    Ok(Agreement { apart, overlap })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agreement_is_of_all_objects() {
        let expected = vec![vec![-1.0, 1.0, 3.0], vec![2.0, -2.0, -2.0]];
        let same = agreement(&expected, &expected, 0.0).ok();
        assert_eq!(same, Some(Agreement { apart: 0.0, overlap: 1.0 }));
        // One of three pixels differs, by half of its object's range.
        let found = vec![vec![-1.0, -1.0, 3.0], vec![2.0, -2.0, -2.0]];
        let other = agreement(&found, &expected, 0.0).ok();
        assert_eq!(other, Some(Agreement { apart: 0.5, overlap: 2.0 / 3.0 }));
        assert!(agreement(&[vec![f32::NAN, 0.0, 0.0], vec![0.0; 3]], &expected, 0.0).is_err());
        assert!(agreement(&found[..1], &expected, 0.0).is_err());
    }
}
