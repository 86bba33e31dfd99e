//! A fake decoder of grids of clicks, and an engine that uses it.

use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::{oneshot, watch};

use super::testing::FakeDecoder;
use super::*;
use crate::everything::{self, Progress};
use crate::model::{self, Candidates, DecodeOptions, Decodes, Embedding, GridDefaults, LowResMasks};
use crate::pixels::PixelRect;

const SIDE: usize = 8;

/// Use of the decoder, with the number of prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Prompts(usize),
    Batch(usize),
}

/// A decoder that reports each use at its start and waits for a permit. The mask of a click of the grid is one of four columns
/// of the image.
pub struct GridDecoder {
    pub inner: FakeDecoder,
    pub started: Sender<Use>,
    pub permits: Receiver<()>,
}

impl GridDecoder {
    fn wait(&self, started: Use) -> Result<(), String> {
        let _ = self.started.send(started);
        self.permits.recv_timeout(2 * PATIENCE).map_err(|_| "the test is over".to_owned())
    }
}

impl Decode for GridDecoder {
    fn decode(&mut self, e: &Embedding, prompts: &[Prompt], options: &DecodeOptions) -> Result<Decodes, String> {
        if !prompts.is_empty() {
            self.wait(Use::Prompts(prompts.len()))?;
        }
        self.inner.decode(e, prompts, options)
    }

    fn low_res_side(&self) -> usize {
        SIDE
    }

    fn mask_threshold(&self) -> f32 {
        0.0
    }

    fn grid_decoder(&mut self) -> Result<&mut dyn everything::Decoder, String> {
        Ok(self)
    }
}

impl everything::Decoder for GridDecoder {
    fn grid_defaults(&self) -> GridDefaults {
        GridDefaults { points_per_side: 2, ..GridDefaults::default() }
    }

    fn low_res_masks(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        _: Candidates,
    ) -> Result<Vec<LowResMasks>, model::Error> {
        let ended = |reason| model::Error::Session { file: "fake".into(), reason };
        self.wait(Use::Batch(prompts.len())).map_err(ended)?;
        let second = embedding.tensor("image_embeddings").map_or(0.0, |(_, v)| v[0]);
        assert_ne!(second, 66.0, "a decoder that panics, on purpose");
        if second == 67.0 {
            return Err(ended("a decoder that fails, on purpose".into()));
        }
        let masks = |prompt: &Prompt| {
            let column = (prompt.points[0].x as usize * 4 / embedding.image_size().0 as usize).min(3);
            let inside = |cell: usize| if cell % SIDE / 2 == column { 5.0 } else { -5.0 };
            LowResMasks::from_parts(vec![0.95], (0..SIDE * SIDE).map(inside).collect(), SIDE)
        };
        prompts.iter().map(masks).collect()
    }

    fn low_res_side(&self) -> usize {
        SIDE
    }

    fn mask_threshold(&self) -> f32 {
        0.0
    }
}

/// An engine whose decoder waits for permits.
pub struct Grid {
    /// Dropped before the engine, whose thread may wait for a permit.
    pub permits: Sender<()>,
    pub started: Receiver<Use>,
    pub b: Bench,
}

impl Grid {
    pub fn new(settings: Settings) -> Self {
        let ((starts, started), (permits, permitted)) = (channel(), channel());
        let inner = FakeDecoder::default();
        let prompts = Arc::clone(&inner.prompts);
        let decoder = GridDecoder { inner, started: starts, permits: permitted };
        Grid { b: bench_of(decoder, prompts, settings), started, permits }
    }

    pub fn permit(&self, uses: usize) {
        (0..uses).for_each(|_| self.permits.send(()).unwrap());
    }

    pub fn next_use(&self) -> Use {
        self.started.recv_timeout(PATIENCE).expect("a use of the decoder")
    }

    /// Requests everything on a kept frame with a grid of 4 x 4 clicks, in batches of 4.
    pub fn ask(&self) -> Waiting {
        self.ask_for(SegmentOn::Frame(FrameRef::Newest), None, generation())
    }

    pub fn ask_for(&self, on: SegmentOn, region: Option<PixelRect>, settings: GenerationSettings) -> Waiting {
        let (progress, watched) = watch::channel(Progress { decoded: 0, points: 0, masks: 0 });
        let (reply, answer) = oneshot::channel();
        let client = GenerationClient { progress, reply };
        self.b.engine.segment_everything(GenerationRequest { on, region, settings, client });
        Waiting { progress: watched, answer }
    }

    pub fn counts(&self) -> GenerationCounts {
        self.b.engine.metrics().generations
    }

    pub fn click(&self) {
        self.b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    }
}

pub struct Waiting {
    pub progress: watch::Receiver<Progress>,
    pub answer: oneshot::Receiver<Result<GenerationResult, GenerationEnd>>,
}

impl Waiting {
    pub fn result(self) -> GenerationResult {
        wait_for(self.answer).unwrap()
    }

    pub fn end(self) -> GenerationEnd {
        wait_for(self.answer).unwrap_err()
    }
}

pub fn generation() -> GenerationSettings {
    let mut settings = GenerationSettings::default();
    (settings.points_per_side, settings.generator.points_per_batch) = (Some(4), 4);
    settings.stability_score_thresh = Some(0.0);
    settings
}

/// Returns the next result of a generation among the events.
pub fn published(events: &Receiver<Event>) -> FrameResult {
    loop {
        match events.recv_timeout(PATIENCE).expect("a result") {
            Event::Result(r) if r.source == ResultSource::Everything => return r,
            Event::Refused(refusal) => panic!("refused: {refusal:?}"),
            _ => {}
        }
    }
}
