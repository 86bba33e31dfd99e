//! The two networks as the automatic mask generator uses them: crops become jobs of the encoder's thread, and each batch of
//! clicks waits for a turn of the decoder's thread.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use image::RgbImage;

use crate::engine::generation::Generation;
use crate::engine::kept::KeptFrame;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::session::{Decode, Session};
use crate::engine::state::{CropJob, SharedState, Turn};
use crate::everything::{Decoder, Encoder};
use crate::model::{self, Candidates, Embedding, LowResMasks};
use crate::prompt::Prompt;

/// Time between two checks whether a generation that waits is cancelled.
const CANCEL_CHECK_PERIOD: Duration = Duration::from_millis(20);

/// The generation that runs, on its frame.
pub(super) struct Run<'a> {
    pub shared: &'a SharedState,
    pub generation: &'a Generation,
    pub frame: &'a KeptFrame,
    /// Why a network failed.
    pub failure: Mutex<Option<Refusal>>,
}

impl Run<'_> {
    /// Returns whether the generation was cancelled or superseded, or the engine stops.
    pub fn is_over(&self) -> bool {
        self.shared.lock().is_generation_over(self.generation)
    }

    /// Waits for a message of another thread. Returns `None` when the generation is over.
    fn wait_for<T>(&self, receiver: &Receiver<T>) -> Option<T> {
        loop {
            match receiver.recv_timeout(CANCEL_CHECK_PERIOD) {
                _ if self.is_over() => return None,
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Stores why a network failed, and returns the error that ends the generator.
    fn fail(&self, refusal: Refusal) -> model::Error {
        let error = ended(&refusal.message);
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refusal);
        error
    }
}

/// Returns the error that ends the generator. Nobody reads it: [`Run`] has the reason.
fn ended(reason: &str) -> model::Error {
    model::Error::Session { file: "everything".to_owned(), reason: reason.to_owned() }
}

/// Encodes crops on the encoder's thread. The whole image is encoded already.
pub(super) struct CropEncoder<'a>(pub &'a Run<'a>);

impl Encoder for CropEncoder<'_> {
    fn encode(&mut self, crop: &RgbImage) -> Result<Embedding, model::Error> {
        let Run { shared, frame, .. } = *self.0;
        if crop.dimensions() == frame.image.dimensions() {
            return Ok(frame.embedding.clone());
        }
        let (reply, encoded) = sync_channel(1);
        let (image, header, since) = (Arc::new(crop.clone()), frame.header.clone(), shared.clock.now());
        shared.lock().generations.crop = Some(CropJob { image, header, since, reply });
        shared.encode.notify_all();
        match self.0.wait_for(&encoded) {
            Some(Ok(embedding)) => Ok(embedding),
            Some(Err(refusal)) => Err(self.0.fail(refusal)),
            None => {
                let is_over = self.0.is_over();
                let lost = || Refusal::new(RefusalKind::InternalError, "the encoder's thread did not encode a crop");
                Err(if is_over { ended("cancelled") } else { self.0.fail(lost()) })
            }
        }
    }
}

/// Decodes each batch of clicks in a turn of the decoder's thread.
pub(super) struct TurnDecoder<'a> {
    pub run: &'a Run<'a>,
    pub decoder: &'a Session<dyn Decode>,
    pub low_res_side: usize,
    pub mask_threshold: f32,
    pub bytes_per_prompt: usize,
    /// Time of all batches so far, in milliseconds.
    pub decode_ms: f32,
}

impl Decoder for TurnDecoder<'_> {
    fn low_res_masks(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        candidates: Candidates,
    ) -> Result<Vec<LowResMasks>, model::Error> {
        let shared = self.run.shared;
        let (grant, granted) = sync_channel(1);
        // Dropped at the end of the batch, which ends the turn.
        let (_turn, done) = sync_channel::<Infallible>(0);
        shared.lock().generations.ask_for_turn(Turn { grant, done });
        shared.decode.notify_all();
        if self.run.wait_for(&granted).is_none() {
            return Err(ended("cancelled"));
        }
        let mut session = self.decoder.session.blocking_lock();
        let since = shared.clock.now();
        let decoded = shared.catch("the mask decoder", || match session.grid_decoder() {
            Ok(decoder) => decoder.low_res_masks(embedding, prompts, candidates).map_err(|e| e.to_string()),
            Err(reason) => Err(reason),
        });
        self.decode_ms += shared.clock.ms_since(since);
        let failed = |e: String| self.run.fail(Refusal::new(RefusalKind::ModelFailed, e));
        decoded.and_then(|decoded| decoded).map_err(failed)
    }

    fn check_kinds(&self, prompt: &Prompt) -> Result<(), model::Error> {
        let mut session = self.decoder.session.blocking_lock();
        match session.grid_decoder() {
            Ok(decoder) => decoder.check_kinds(prompt),
            Err(reason) => Err(self.run.fail(Refusal::new(RefusalKind::UnsupportedModel, reason))),
        }
    }

    fn bytes_per_prompt(&self) -> usize {
        self.bytes_per_prompt
    }

    fn low_res_side(&self) -> usize {
        self.low_res_side
    }

    fn mask_threshold(&self) -> f32 {
        self.mask_threshold
    }
}
