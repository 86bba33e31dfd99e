//! Requests for the masks of everything in an image. A generation is one run of the automatic mask generator.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::refusal::Refusal;
use super::request::{FrameRef, SegmentOn};
use super::result::FrameResult;
use super::settings::GenerationSettings;
use crate::everything::Progress;
use crate::pixels::PixelRect;

/// A request for the masks of everything in an image. It changes none of the current objects.
#[derive(Debug)]
pub struct GenerationRequest {
    pub on: SegmentOn,
    /// Part of the image in which the generator clicks; `None`: the whole image.
    pub region: Option<PixelRect>,
    pub settings: GenerationSettings,
    pub client: GenerationClient,
}

/// The end of the one who waits for a generation. The generation ends within a batch of clicks after the receiver of the reply
/// was dropped.
#[derive(Debug)]
pub struct GenerationClient {
    /// Progress after each batch of clicks.
    pub progress: watch::Sender<Progress>,
    pub reply: oneshot::Sender<Result<GenerationResult, GenerationEnd>>,
}

/// The masks of everything in an image.
#[derive(Debug, Clone)]
pub struct GenerationResult {
    /// The masks, largest first.
    pub result: FrameResult,
    /// Masks beyond the largest number or the memory for one result.
    pub left_out: usize,
}

/// Why a generation ended without masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GenerationEnd {
    Refused(Refusal),
    /// A newer request took its place.
    Superseded,
}

/// An accepted generation.
#[derive(Debug)]
pub(super) struct Generation {
    /// Number in the order of arrival.
    pub number: u64,
    /// Frame of the camera; `None`: the request has an image of its own.
    pub at: Option<FrameRef>,
    pub region: Option<PixelRect>,
    pub settings: GenerationSettings,
    /// `None`: the running mode, which has no client.
    pub client: Option<GenerationClient>,
    /// One of the places for generations that run or wait; free again when the generation is dropped.
    pub _place: Arc<()>,
}

impl Generation {
    /// Returns whether the client cancelled or is gone.
    pub fn is_abandoned(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.reply.is_closed())
    }

    /// Sends the reply. Returns it if there is no client.
    pub fn reply(
        self,
        reply: Result<GenerationResult, GenerationEnd>,
    ) -> Option<Result<GenerationResult, GenerationEnd>> {
        match self.client {
            Some(client) => {
                // The receiver may have been dropped.
                let _ = client.reply.send(reply);
                None
            }
            None => Some(reply),
        }
    }
}
