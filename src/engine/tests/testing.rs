//! Fakes of the clock and of the two sessions.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use image::RgbImage;

use super::PATIENCE;
use crate::engine::kept::KeptFrame;
use crate::engine::{Decode, Encode, Frame, FramePixels, Header, Stamp};
use crate::model::{Candidate, DecodeOptions, DecodeTimings, Decoded, Decodes, Embedding};
use crate::pixels::{Geometry, Mask, Resize, mask_from_low_res};
use crate::prompt::{LowResLogits, Prompt};

pub const WIDTH: u32 = 32;
pub const HEIGHT: u32 = 24;
const SIDE: usize = 8;

/// Clock that a test advances.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<(Mutex<Time>, Condvar)>);

#[derive(Debug)]
struct Time {
    now: Instant,
    /// The test is over: no thread sleeps any more.
    is_over: bool,
}

impl ManualClock {
    pub fn new() -> Self {
        ManualClock(Arc::new((Mutex::new(Time { now: Instant::now(), is_over: false }), Condvar::new())))
    }

    pub fn now(&self) -> Instant {
        self.0.0.lock().unwrap().now
    }

    pub fn advance(&self, by: Duration) {
        self.0.0.lock().unwrap().now += by;
        self.0.1.notify_all();
    }

    /// Sleeps until the clock has advanced by `duration`, or until the end of the test.
    pub fn sleep(&self, duration: Duration) {
        let time = self.0.0.lock().unwrap();
        let end = time.now + duration;
        drop(self.0.1.wait_while(time, |time| time.now < end && !time.is_over).unwrap());
    }

    /// Wakes all sleeping threads, now and from now on.
    pub fn end(&self) {
        self.0.0.lock().unwrap().is_over = true;
        self.0.1.notify_all();
    }
}

pub fn stamp(sec: i32) -> Stamp {
    Stamp { sec, nanosec: 0 }
}

pub fn header(sec: i32) -> Header {
    Header { stamp: stamp(sec), frame_id: "camera".into() }
}

/// Returns a frame whose pixels equal its second, so that a mask identifies its frame.
pub fn frame(sec: i32) -> Frame {
    let image = RgbImage::from_pixel(WIDTH, HEIGHT, image::Rgb([sec as u8; 3]));
    Frame { header: header(sec), pixels: FramePixels::Rgb(Arc::new(image)) }
}

/// Returns a frame with a content that is independent of its stamp: see [`content`].
pub fn frame_of(content: u32, stamp: Stamp) -> Frame {
    let [r, g, b, _] = content.to_le_bytes();
    let image = RgbImage::from_pixel(WIDTH, HEIGHT, image::Rgb([r, g, b]));
    let header = Header { stamp, frame_id: "camera".into() };
    Frame { header, pixels: FramePixels::Rgb(Arc::new(image)) }
}

/// Returns the content of an image, below 2^24, which `f32` represents exactly.
pub fn content(image: &RgbImage) -> u32 {
    let [r, g, b] = image.get_pixel(0, 0).0;
    u32::from_le_bytes([r, g, b, 0])
}

/// An encoder that takes time on a manual clock, or no time. The embedding holds the [`content`] of the image.
#[derive(Default)]
pub struct TimedEncoder(pub Option<(ManualClock, Duration)>);

impl Encode for TimedEncoder {
    fn encode(&mut self, image: &RgbImage) -> Result<Embedding, String> {
        if let Some((clock, takes)) = &self.0 {
            clock.sleep(*takes);
        }
        Ok(embedding(content(image) as f32))
    }
}

/// A [`FakeDecoder`] that takes time on a manual clock.
pub struct TimedDecoder(pub FakeDecoder, pub ManualClock, pub Duration);

impl Decode for TimedDecoder {
    fn decode(&mut self, e: &Embedding, prompts: &[Prompt], options: &DecodeOptions) -> Result<Decodes, String> {
        if !prompts.is_empty() {
            self.1.sleep(self.2);
        }
        // The stored prompts of a long test would fill the memory.
        self.0.prompts.lock().unwrap().clear();
        self.0.decode(e, prompts, options)
    }

    fn low_res_side(&self) -> usize {
        self.0.low_res_side()
    }

    fn mask_threshold(&self) -> f32 {
        self.0.mask_threshold()
    }
}

fn embedding(value: f32) -> Embedding {
    embedding_of(value, (WIDTH, HEIGHT))
}

fn embedding_of(value: f32, (width, height): (u32, u32)) -> Embedding {
    let geometry = Geometry::new(width, height, 16, Resize::Letterbox);
    Embedding::from_parts(vec![("image_embeddings".into(), vec![1, 1, 1, 1], vec![value])], geometry)
        .expect("ORT_DYLIB_PATH names ONNX Runtime's library; ./dev shell sets it")
}

pub fn kept_frame(sec: i32) -> Arc<KeptFrame> {
    let image = Arc::new(RgbImage::new(WIDTH, HEIGHT));
    let (now, embedding) = (Instant::now(), embedding(sec as f32));
    let (number, header) = (sec as u64, header(sec));
    Arc::new(KeptFrame { number, header, image, embedding, arrived: now, encoded: now, wait_ms: 0.0, convert_ms: 0.0 })
}

/// Returns a mask as a text model makes it, certain everywhere.
pub fn own_mask(mask: Mask, score: f32) -> Decoded {
    let low_res = LowResLogits { side: 1, data: vec![1.0].into() };
    let best = Candidate { index: 0, iou: score, certain: Some(mask.clone()), mask, low_res, logits: None };
    Decoded { best, others: Vec::new(), candidate_ious: vec![score], object_score: Some(2.0) }
}

/// Encodes one frame for each permit, and reports the second of each frame at its start.
pub struct GatedEncoder {
    permits: Receiver<()>,
    started: Sender<u8>,
}

/// The test's end of a [`GatedEncoder`].
pub struct Gate {
    permits: Sender<()>,
    pub started: Receiver<u8>,
}

impl Gate {
    pub fn open(&self, frames: usize) {
        for _ in 0..frames {
            self.permits.send(()).unwrap();
        }
    }
}

pub fn gated_encoder() -> (GatedEncoder, Gate) {
    let ((permits, permitted), (starts, started)) = (channel(), channel());
    (GatedEncoder { permits: permitted, started: starts }, Gate { permits, started })
}

impl Encode for GatedEncoder {
    fn encode(&mut self, image: &RgbImage) -> Result<Embedding, String> {
        let value = image.get_pixel(0, 0)[0];
        let _ = self.started.send(value);
        self.permits.recv_timeout(2 * PATIENCE).map_err(|_| "the test is over".to_owned())?;
        Ok(embedding_of(f32::from(value), image.dimensions()))
    }
}

/// Seconds of frames with a special answer.
pub const OBJECT_SCORE_BELOW_ZERO: i32 = 77;
pub const EMPTY_MASK: i32 = 78;
pub const SMALL_MASK: i32 = 79;

/// Answers with a full mask whose IoU is the second of the frame / 100, and stores the prompts. The logits encode the
/// number of points.
#[derive(Default)]
pub struct FakeDecoder {
    pub prompts: Arc<Mutex<Vec<Vec<Prompt>>>>,
    /// With a gate the number of prompts of each decoding is reported, and the decoding waits for a permit.
    pub gate: Option<(Sender<usize>, Receiver<()>)>,
}

impl Decode for FakeDecoder {
    fn decode(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        options: &DecodeOptions,
    ) -> Result<Decodes, String> {
        if !prompts.is_empty() {
            self.prompts.lock().unwrap().push(prompts.to_vec());
            if let Some((started, permits)) = &self.gate {
                let _ = started.send(prompts.len());
                permits.recv_timeout(2 * PATIENCE).map_err(|_| "the test is over".to_owned())?;
            }
        }
        let second = embedding.tensor("image_embeddings").map_or(0.0, |(_, v)| v[0]);
        if second == 66.0 {
            panic!("a decoder that panics, on purpose");
        }
        let decoded = |prompt: &Prompt| {
            let inside = 5.0 + prompt.points.len() as f32;
            let cell = |i: usize| match second as i32 {
                EMPTY_MASK => -5.0,
                SMALL_MASK if i != SIDE + 1 => -5.0,
                _ => inside,
            };
            let data: Arc<[f32]> = (0..SIDE * SIDE).map(cell).collect();
            let mask = mask_from_low_res(&data, SIDE, &embedding.geometry, 0.0, 1.0);
            let certain = options.certain.then(|| mask_from_low_res(&data, SIDE, &embedding.geometry, 1.0, 0.0));
            let low_res = LowResLogits { side: SIDE, data };
            let best = Candidate { index: 0, iou: second / 100.0, mask, certain, low_res, logits: None };
            let object_score = (second as i32 == OBJECT_SCORE_BELOW_ZERO).then_some(-3.0);
            Decoded { best, others: Vec::new(), candidate_ious: vec![second / 100.0], object_score }
        };
        Ok(Decodes { objects: prompts.iter().map(decoded).collect(), timings: DecodeTimings::default() })
    }

    fn low_res_side(&self) -> usize {
        SIDE
    }

    fn mask_threshold(&self) -> f32 {
        0.0
    }
}
