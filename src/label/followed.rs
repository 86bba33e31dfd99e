//! Objects that the memory of a model follows.

use std::collections::BTreeMap;

use super::record::Source;
use super::seeds::Seed;
use crate::model::network::{MAX_CONDITIONING, Network};
use crate::model::{Embedding, Error};
use crate::pixels::{Mask, SquareMask};
use crate::prompt::Prompt;
use crate::video::{Direction, Limits, Position, Track, TrackedMask};

/// Largest holes that are filled, in cells of the low-resolution mask, as SAM 2's predictor does.
const FILL_HOLES: usize = 8;

/// An object with its memory.
pub(super) struct Followed {
    pub track: Track,
    pub class: String,
    pub source: Source,
    /// Score of the best detection of the object so far.
    pub detection_score: Option<f64>,
    /// Frames since the object was last seen.
    pub absent: usize,
}

impl Followed {
    /// Makes an object without prompts.
    pub fn new(class: String, source: Source, detection_score: Option<f64>) -> Self {
        let limits = Limits { keep: Some(MAX_CONDITIONING), ..Limits::default() };
        Followed { track: Track::new(limits, FILL_HOLES), class, source, detection_score, absent: 0 }
    }

    /// Prompts the object on a frame. [`Followed::settle`] encodes the memory of the frame.
    ///
    /// # Errors
    /// Errors of the network.
    pub fn prompt(
        &mut self,
        network: &mut dyn Network,
        at: Position,
        frame: &Embedding,
        prompt: &Prompt,
    ) -> Result<TrackedMask, Error> {
        self.track.prompt(network, at, frame, prompt)
    }

    /// Prompts the object on a frame with its mask. Returns none for a mask that vanishes in the network's square.
    ///
    /// # Errors
    /// Errors of the network.
    pub fn prompt_mask(
        &mut self,
        network: &mut dyn Network,
        at: Position,
        frame: &Embedding,
        mask: &Mask,
    ) -> Result<Option<TrackedMask>, Error> {
        let size = (mask.width as usize, mask.height as usize);
        let square = SquareMask::from_image(&mask.full(), size, network.spec().image_side);
        match square.filter(|square| !square.is_empty()) {
            Some(square) => self.track.mask(network, at, frame, &square).map(Some),
            None => Ok(None),
        }
    }

    /// Encodes the memory of a prompted frame.
    ///
    /// # Errors
    /// Errors of the network.
    pub fn settle(&mut self, network: &mut dyn Network, at: Position, frame: &Embedding) -> Result<(), Error> {
        self.track.settle(network, at, frame)?;
        self.track.visit(at);
        Ok(())
    }

    /// Begins the memory again with the mask of the object on a frame. Returns false for a mask that vanishes in the network's
    /// square.
    ///
    /// # Errors
    /// Errors of the network.
    pub fn restart(
        &mut self,
        network: &mut dyn Network,
        at: Position,
        frame: &Embedding,
        mask: &Mask,
    ) -> Result<bool, Error> {
        if self.prompt_mask(network, at, frame, mask)?.is_none() {
            return Ok(false);
        }
        self.settle(network, at, frame)?;
        Ok(true)
    }

    /// Follows the object to a frame, and applies the prompt that it has there. Returns none if nothing conditions it.
    ///
    /// # Errors
    /// Errors of the network.
    pub fn step(
        &mut self,
        network: &mut dyn Network,
        at: Position,
        frame: &Embedding,
        prompt: Option<&Prompt>,
    ) -> Result<Option<TrackedMask>, Error> {
        // The object is followed before its prompt is applied, because a prompt corrects the followed mask.
        let mut tracked = self.track.step(network, at, frame, Direction::Forward)?;
        if let Some(prompt) = prompt {
            tracked = Some(self.prompt(network, at, frame, prompt)?);
            self.settle(network, at, frame)?;
        }
        self.absent = match &tracked {
            Some(tracked) if tracked.is_there() => 0,
            _ => self.absent + 1,
        };
        Ok(tracked)
    }
}

/// Adds the objects of prompts that are not followed yet.
pub(super) fn admit_seeds(followed: &mut BTreeMap<u32, Followed>, seeds: &BTreeMap<u32, Seed>) {
    for (id, seed) in seeds {
        let object = followed.entry(*id).or_insert_with(|| Followed::new(String::new(), Source::Prompt, None));
        if !seed.class.is_empty() {
            object.class.clone_from(&seed.class);
        }
    }
}
