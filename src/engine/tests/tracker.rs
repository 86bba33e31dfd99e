//! A fake decoder with memory, and an engine that follows objects with it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::testing::{FakeDecoder, OBJECT_SCORE_BELOW_ZERO, stamp};
use super::*;
use crate::model::network::{Heads, Memories, MemorySpec, Network, SpatialMemory, StepTimings};
use crate::model::{DecodeOptions, Decodes, Embedding, Error};
use crate::prompt::{Point, Prompt};

pub const SIDE: usize = 8;
/// On frames of this second an object first clicked at x = 13 fails, and at x = 14 panics.
pub const BREAKS: f32 = 55.0;

/// One run of the decoder for a followed object.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub second: i32,
    /// X coordinate of the first click on the object.
    pub object: f32,
    /// Rows of the table of temporal encodings.
    pub rows: Option<Vec<usize>>,
    pub points: Vec<Point>,
    pub fed_back: bool,
}

/// A decoder with memory. The pointer of an object is the x coordinate of its first click.
pub struct Remembering {
    images: FakeDecoder,
    runs: Arc<Mutex<Vec<Run>>>,
    /// Seconds of the frames whose prompts are in the memory.
    remembered: Arc<Mutex<Vec<i32>>>,
    /// With a gate each followed object is reported and waits for a permit.
    gate: Option<(Sender<f32>, Receiver<()>)>,
}

pub fn second(frame: &Embedding) -> f32 {
    frame.tensor("image_embeddings").map_or(0.0, |(_, v)| v[0])
}

impl Decode for Remembering {
    fn decode(&mut self, e: &Embedding, prompts: &[Prompt], options: &DecodeOptions) -> Result<Decodes, String> {
        self.images.decode(e, prompts, options)
    }

    fn low_res_side(&self) -> usize {
        SIDE
    }

    fn mask_threshold(&self) -> f32 {
        0.0
    }

    fn network(&mut self) -> Option<&mut dyn Network> {
        Some(self)
    }
}

impl Network for Remembering {
    fn spec(&self) -> MemorySpec {
        MemorySpec { frames: 7, pointers: 16, low_res_side: SIDE, image_side: 32, feature_bytes: 4 }
    }

    fn heads(
        &mut self,
        frame: &Embedding,
        memories: Option<&Memories>,
        prompt: &Prompt,
        _: bool,
    ) -> Result<Heads, Error> {
        let first = memories.and_then(|r| r.pointers.first()).map(|p| p.0[0]);
        let object = first.or(prompt.points.first().map(|p| p.x)).unwrap_or(-1.0);
        let second = second(frame);
        let failed = |reason: &str| Error::Session { file: "memory_attention.onnx".into(), reason: reason.into() };
        if let Some((started, permits)) = self.gate.as_ref().filter(|_| prompt.points.is_empty()) {
            let _ = started.send(object);
            permits.recv_timeout(2 * PATIENCE).map_err(|_| failed("the test is over"))?;
        }
        if second == BREAKS && object == 13.0 {
            return Err(failed("out of order"));
        }
        assert!(second != BREAKS || object != 14.0, "a tracker that panics, on purpose");
        let rows = memories.map(|r| r.spatial.iter().map(|m| m.1).collect());
        let (points, fed_back) = (prompt.points.clone(), prompt.mask.is_some());
        self.runs.lock().unwrap().push(Run { second: second as i32, object, rows, points, fed_back });
        // A prompt on the frame finds the object.
        let gone = second as i32 == OBJECT_SCORE_BELOW_ZERO && prompt.points.is_empty();
        let object_score = if gone { -3.0 } else { 4.0 };
        let (mask, pointer) = (vec![object; SIDE * SIDE], vec![object; 4]);
        Ok(Heads { mask, iou: second / 100.0, object_score, pointer, timings: StepTimings::default() })
    }

    fn pointer_of_mask(&mut self, _: &Embedding, _: &[f32]) -> Result<Vec<f32>, Error> {
        Ok(vec![99.0; 4])
    }

    fn encode_memory(
        &mut self,
        e: &Embedding,
        _: &[f32],
        binarize: bool,
        _: f32,
    ) -> Result<(SpatialMemory, f32), Error> {
        if binarize {
            self.remembered.lock().unwrap().push(second(e) as i32);
        }
        Ok((vec![half::bf16::ONE; 2].into(), 0.5))
    }
}

pub struct Tracker {
    pub b: Bench,
    pub runs: Arc<Mutex<Vec<Run>>>,
    pub remembered: Arc<Mutex<Vec<i32>>>,
}

pub fn tracker(settings: Settings) -> Tracker {
    tracker_with(None, settings)
}

pub fn tracker_with(gate: Option<(Sender<f32>, Receiver<()>)>, settings: Settings) -> Tracker {
    let (images, runs, remembered) = (FakeDecoder::default(), Arc::default(), Arc::default());
    let image_prompts = Arc::clone(&images.prompts);
    let decoder = Remembering { images, runs: Arc::clone(&runs), remembered: Arc::clone(&remembered), gate };
    Tracker { b: bench_of(decoder, image_prompts, settings), runs, remembered }
}

/// The test's end of the gate of [`Remembering`].
pub struct Turnstile {
    pub permits: Sender<()>,
    pub started: Receiver<f32>,
}

impl Turnstile {
    /// Waits until the object is on the decoder, runs `meanwhile`, and lets the object pass.
    pub fn pass(&self, object: f32, meanwhile: impl FnOnce()) {
        assert_eq!(self.started.recv_timeout(PATIENCE), Ok(object));
        meanwhile();
        self.permits.send(()).unwrap();
    }
}

pub fn gated_tracker(settings: Settings) -> (Tracker, Turnstile) {
    let ((starts, started), (permits, permitted)) = (channel(), channel());
    (tracker_with(Some((starts, permitted)), settings), Turnstile { permits, started })
}

pub fn following(track: TrackSettings) -> Settings {
    Settings { track, ..patient() }
}

impl Tracker {
    /// Clicks and waits for the answer.
    pub fn click(&self, at: FrameRef, x: f32) -> FrameResult {
        self.b.click(at, x, 4.0, Persistence::Track);
        self.b.result()
    }

    pub fn click_another(&self, at: FrameRef, x: f32) -> FrameResult {
        self.b.engine.interact(Interaction::NewObject).unwrap();
        self.click(at, x)
    }

    /// Encodes a frame and waits for an answer with that number of objects.
    pub fn frame(&self, sec: i32, objects: usize) -> FrameResult {
        self.b.encode(sec);
        self.answer(sec, |r| r.objects.len() == objects)
    }

    pub fn answer(&self, sec: i32, is_it: impl Fn(&FrameResult) -> bool) -> FrameResult {
        std::iter::repeat_with(|| self.b.events.recv_timeout(PATIENCE).expect("an answer"))
            .find_map(|e| match e {
                Event::Result(r) if r.header.stamp == stamp(sec) && is_it(&r) => Some(r),
                _ => None,
            })
            .unwrap()
    }

    pub fn prompts(&self, operation: Operation, objects: Vec<ObjectPrompt>) {
        let (at, persistence) = (FrameRef::Newest, Persistence::Track);
        self.b.engine.interact(Interaction::Prompts { at, operation, objects, persistence }).unwrap();
    }

    pub fn undo(&self) -> String {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.b.engine.interact(Interaction::Undo { reply }).unwrap();
        wait_for(answer).unwrap()
    }

    pub fn take_runs(&self) -> Vec<Run> {
        std::mem::take(&mut self.runs.lock().unwrap())
    }

    /// Returns the temporal rows that conditioned each object on a frame.
    pub fn rows(&self, sec: i32) -> Vec<(f32, Vec<usize>)> {
        let runs = self.take_runs().into_iter().filter(|a| a.second == sec);
        runs.filter_map(|a| Some((a.object, a.rows?))).collect()
    }
}
