//! Measures one frame of objects that are tracked by memory: `models track BUNDLE PRECISION THREADS`.

use std::time::Instant;

use image::RgbImage;
use promptseg::model::network::StepTimings;
use promptseg::model::{Embedding, ImageEncoder, MaskDecoder, Model, SessionOptions};
use promptseg::prompt::Prompt;
use promptseg::video::{Direction, Limits, Position, Track};

use super::Outcome;

/// Number of frames after which an object has the maximum number of memories.
const WARM: Position = 8;
/// Motion of the picture from frame to frame, in pixels.
const MOVE: u32 = 4;
/// Width and height of a frame.
const SIZE: (u32, u32) = (640, 480);

pub struct Tracking {
    encoder: ImageEncoder,
    decoder: MaskDecoder,
    photo: RgbImage,
    warm: Option<Track>,
}

impl Tracking {
    pub fn new(bundle: &std::path::Path, options: &SessionOptions) -> Outcome<Self> {
        let Model { encoder, decoder, .. } = Model::open(bundle, None, options)?;
        Ok(Tracking { encoder, decoder, photo: RgbImage::new(1, 1), warm: None })
    }

    fn encode(&mut self, at: Position) -> Outcome<Embedding> {
        let x = MOVE * at as u32;
        let frame = image::imageops::crop_imm(&self.photo, x, x / 2, SIZE.0, SIZE.1).to_image();
        Ok(self.encoder.encode(&frame)?)
    }

    /// Returns a track of `WARM` frames.
    fn warm(&mut self) -> Outcome<Track> {
        if let Some(track) = &self.warm {
            return Ok(track.clone());
        }
        let mut track = Track::new(Limits { keep: Some(1), ..Limits::default() }, 0);
        for at in 0..=WARM {
            let frame = self.encode(at)?;
            let network = self.decoder.network().ok_or("the bundle has no memory")?;
            if at == 0 {
                track.prompt(network, 0, &frame, &Prompt::point(SIZE.0 as f32 * 0.42, SIZE.1 as f32 * 0.45))?;
                track.settle(network, 0, &frame)?;
                track.visit(0);
            } else {
                track.step(network, at, &frame, Direction::Forward)?;
            }
        }
        self.warm = Some(track.clone());
        Ok(track)
    }

    /// Answers `photo FILE` with `ok`, and `track OBJECTS MEMORIES` with the milliseconds of one frame: in total, in
    /// the encoder, the attention, the decoder and the memory encoder.
    pub fn answer(&mut self, line: &str) -> Outcome<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["photo", file] => {
                (self.photo, self.warm) = (image::open(file)?.to_rgb8(), None);
                Ok("ok".into())
            }
            ["track", objects, memories] => self.track(objects.parse()?, memories.parse()?),
            _ => Err(format!("unknown request `{line}`; see benches/compare/contender.py").into()),
        }
    }

    fn track(&mut self, objects: usize, memories: usize) -> Outcome<String> {
        let warm = self.warm()?;
        let start = Instant::now();
        let frame = self.encode(WARM + 1)?;
        let encoder = start.elapsed().as_secs_f64() * 1e3;
        let network = self.decoder.network().ok_or("the bundle has no memory")?;
        let mut parts = StepTimings::default();
        for _ in 0..objects {
            let mut track = warm.clone();
            track.set_limits(Limits { recent: memories, keep: Some(1), ..Limits::default() }, 0);
            let answer = track.step(network, WARM + 1, &frame, Direction::Forward)?.ok_or("nothing to follow")?;
            parts += answer.timings;
        }
        let total = start.elapsed().as_secs_f64() * 1e3;
        let StepTimings { attention_ms, decoder_ms, memory_encoder_ms } = parts;
        Ok(format!("{total:.2} {encoder:.2} {attention_ms:.2} {decoder_ms:.2} {memory_encoder_ms:.2}"))
    }
}
