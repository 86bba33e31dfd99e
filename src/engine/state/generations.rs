//! Generations that wait for the generator's thread, and what the generation that runs waits for: a turn on the decoder, or a
//! crop from the encoder.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use image::RgbImage;

use crate::engine::frame::{Header, Stamp};
use crate::engine::generation::Generation;
use crate::engine::kept::KeptFrame;
use crate::engine::refusal::Refusal;
use crate::model::Embedding;

/// Most generations that wait while one runs.
pub const MAX_WAITING_GENERATIONS: usize = 8;

/// Most turns of other work in a row while a batch of clicks waits for the decoder.
pub const MAX_TURNS_BEFORE_BATCH: usize = 16;

/// A generation whose frame is encoded.
#[derive(Debug)]
pub struct ReadyGeneration {
    pub generation: Box<Generation>,
    pub frame: Arc<KeptFrame>,
}

/// A turn on the decoder that the generator's thread asks for. The decoder's thread sends on `grant` and then waits for the end
/// of `done`.
#[derive(Debug)]
pub struct Turn {
    pub grant: SyncSender<()>,
    pub done: Receiver<Infallible>,
}

/// A part of an image that the generator's thread waits for.
#[derive(Debug)]
pub struct CropJob {
    pub image: Arc<RgbImage>,
    pub header: Header,
    pub since: Instant,
    pub reply: SyncSender<Result<Embedding, Refusal>>,
}

/// The generations of an engine.
#[derive(Debug, Default)]
pub struct Generations {
    /// Generations that wait for the generator's thread, in order of arrival.
    pub(super) ready: VecDeque<ReadyGeneration>,
    /// Turn that the running generation waits for.
    turn: Option<Turn>,
    /// Turns of other work since the generator asked for its turn.
    turns_before_batch: usize,
    /// Crop that the running generation waits for.
    pub crop: Option<CropJob>,
    /// Number of the last generation.
    pub(super) last: u64,
    /// Places for generations that run or wait: every accepted generation holds a clone.
    pub(super) places: Arc<()>,
    /// Requests of clients with a smaller number are superseded.
    pub(super) clients_from: u64,
    /// Generations of the running mode with a smaller number are superseded.
    pub(super) running_mode_from: u64,
    /// Time at which the running mode last asked for a generation, and the newest stamp at that time.
    pub(super) running_mode: Option<(Instant, Option<Stamp>)>,
    /// Number of the frame that the running mode segmented last.
    running_mode_frame: Option<u64>,
}

impl Generations {
    /// Returns the number of generations that run or wait.
    pub fn count(&self) -> usize {
        Arc::strong_count(&self.places) - 1
    }

    /// Returns whether the running mode segmented a frame last.
    pub(super) fn has_segmented(&self, frame: &KeptFrame) -> bool {
        self.running_mode_frame == Some(frame.number)
    }

    /// Queues a generation whose frame is encoded.
    pub fn push_ready(&mut self, ready: ReadyGeneration) {
        if ready.generation.client.is_none() {
            self.running_mode_frame = Some(ready.frame.number);
        }
        self.ready.push_back(ready);
    }

    /// Takes the next generation for the generator's thread.
    pub fn take_ready(&mut self) -> Option<ReadyGeneration> {
        self.ready.pop_front()
    }

    /// Asks for a turn on the decoder.
    pub fn ask_for_turn(&mut self, turn: Turn) {
        self.turn = Some(turn);
        self.turns_before_batch = 0;
    }

    /// Withdraws what the generator's thread asked for.
    pub fn withdraw(&mut self) {
        (self.turn, self.crop) = (None, None);
    }

    /// Takes the turn if other work had [`MAX_TURNS_BEFORE_BATCH`] turns before it.
    pub(super) fn take_overdue_turn(&mut self) -> Option<Turn> {
        self.turns_before_batch += 1;
        if self.turns_before_batch > MAX_TURNS_BEFORE_BATCH { self.take_turn() } else { None }
    }

    /// Takes the turn.
    pub(super) fn take_turn(&mut self) -> Option<Turn> {
        self.turn.take()
    }

    /// Returns whether a newer request took the place of a generation.
    pub fn is_superseded(&self, generation: &Generation) -> bool {
        generation.number < if generation.client.is_some() { self.clients_from } else { self.running_mode_from }
    }

    /// Returns whether a generation was superseded, or its client is gone.
    pub(super) fn is_stale(&self, generation: &Generation) -> bool {
        generation.is_abandoned() || self.is_superseded(generation)
    }

    /// Returns the number of the next generation.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}
