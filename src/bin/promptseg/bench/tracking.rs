//! Time of one frame of an object that is followed by a model's memory.

use std::time::Instant;

use image::RgbImage;
use promptseg::model::network::StepTimings;
use promptseg::model::{Embedding, ImageEncoder, Model};
use promptseg::prompt::Prompt;
use promptseg::video::{Direction, Limits, Position, Track};
use serde_json::{Value, json};

use super::memory::GpuMemory;
use super::spread::{Stage, rounded};
use crate::failure::Failure;

/// Number of frames after which an object has all its memories.
const WARM: Position = 8;
/// Motion of the picture from frame to frame, in pixels.
const MOVE: u32 = 4;

/// Follows a click on the moving picture. Returns the median times of a frame with all memories, of `runs` frames; none if
/// the model has no memory.
pub fn measure(
    model: &mut Model,
    image: &RgbImage,
    runs: u32,
    memory: &mut GpuMemory,
) -> Result<Option<Value>, Failure> {
    let Model { encoder, decoder, .. } = model;
    let Some(network) = decoder.network() else { return Ok(None) };
    let mut track = Track::new(Limits { keep: Some(1), ..Limits::default() }, 0);
    let first = frame(encoder, image, 0)?;
    let click = Prompt::point(image.width() as f32 * 0.4, image.height() as f32 * 0.5);
    track.prompt(network, 0, &first, &click)?;
    track.settle(network, 0, &first)?;
    track.visit(0);
    let [mut whole, mut attention, mut decode, mut encode_memory] = [const { Stage(Vec::new()) }; 4];
    // The first frame with all memories allocates memory.
    for at in 1..=WARM + Position::from(runs) {
        let start = Instant::now();
        let embedding = frame(encoder, image, at)?;
        let step = track.step(network, at, &embedding, Direction::Forward)?.ok_or("the object has no memories")?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        memory.sample();
        if at > WARM {
            let StepTimings { attention_ms, decoder_ms, memory_encoder_ms } = step.timings;
            whole.0.push(rounded(ms));
            attention.0.push(attention_ms.into());
            decode.0.push(decoder_ms.into());
            encode_memory.0.push(memory_encoder_ms.into());
        }
    }
    Ok(Some(json!({
        "frame_ms": whole.median(),
        "attention_ms": attention.median(),
        "decoder_ms": decode.median(),
        "memory_encoder_ms": encode_memory.median(),
    })))
}

/// Encodes the picture, moved to the left.
fn frame(encoder: &mut ImageEncoder, image: &RgbImage, at: Position) -> Result<Embedding, Failure> {
    let (width, height) = image.dimensions();
    let shift = u32::try_from(at).unwrap_or_default().wrapping_mul(MOVE) % width.max(1);
    let moved = RgbImage::from_fn(width, height, |x, y| *image.get_pixel((x + shift) % width, y));
    Ok(encoder.encode(&moved)?)
}
