//! `prompt_encoder.safetensors`.

use arbitrary::Unstructured;
use promptseg::model::prompt_encoder::{PromptEncoder, tokens};
use promptseg::pixels::{Geometry, Resize};
use promptseg::prompt::{Point, Prompt};

pub fn run(data: &[u8]) {
    // The shape comes first, so that a file of the repository with three bytes before it is a seed.
    let Some((shape, file)) = data.split_at_checked(3) else { return };
    let [c, h, w] = [shape[0] % 65, shape[1] % 5, shape[2] % 5].map(usize::from);
    let encoder = match PromptEncoder::load(file, "fuzz.safetensors", 64, &[1, c, h, w]) {
        Ok(encoder) => encoder,
        Err(error) => {
            return assert!(error.to_string().contains("fuzz.safetensors"), "{error}");
        }
    };
    let prompt = Prompt::bbox(1.0, 2.0, 30.0, 31.0).with_point(Point::background(5.0, 5.0));
    let tokens = tokens(&prompt, &Geometry::new(32, 32, 64, Resize::Stretch), false);
    assert_eq!(encoder.sparse(&tokens).len(), tokens.len() * c);
    let mut u = Unstructured::new(file);
    let logits: Vec<f32> = (0..16 * h * w).map(|_| f32::from(u.arbitrary::<i8>().unwrap_or(1))).collect();
    assert_eq!(encoder.dense(&logits).len(), c * h * w);
    assert_eq!(encoder.dense_without_mask().len(), c * h * w);
    assert_eq!(encoder.dense_positions().len(), c * h * w);
}
