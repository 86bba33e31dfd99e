//! ONNX sessions that the engines of several cameras share.

use std::sync::Arc;

use image::RgbImage;
use tokio::sync::Mutex;

use crate::model::network::Network;
use crate::model::{DecodeOptions, Decodes, Embedding, ImageEncoder, MaskDecoder};

/// An ONNX session that several engines may share. tokio's mutex is fair: whoever waits longest is next, so no camera
/// starves another.
pub type Session<S> = Arc<Turns<S>>;

/// A session, and the turn before it.
pub struct Turns<S: ?Sized> {
    /// Held by the camera that is next: it makes its image ready while another one encodes.
    pub(super) next: Mutex<()>,
    pub(super) session: Mutex<S>,
}

impl<S> Turns<S> {
    pub fn new(session: S) -> Self {
        Turns { next: Mutex::new(()), session: Mutex::new(session) }
    }

    /// A session to be shared. It becomes a `Session<dyn Encode>` or a `Session<dyn Decode>` where one is wanted.
    pub fn shared(session: S) -> Session<S> {
        Arc::new(Turns::new(session))
    }
}

/// Runs the image encoder. A trait, so that tests can put a fake in its place.
pub trait Encode: Send {
    /// # Errors
    /// What the runtime says when it fails.
    fn encode(&mut self, image: &RgbImage) -> Result<Embedding, String>;
}

/// Runs the mask decoder.
pub trait Decode: Send {
    /// # Errors
    /// What the runtime says when it fails.
    fn decode(
        &mut self,
        embedding: &Embedding,
        prompts: &[crate::prompt::Prompt],
        options: &DecodeOptions,
    ) -> Result<Decodes, String>;
    /// Side of the square of low-resolution logits.
    fn low_res_side(&self) -> usize;
    /// Logits above this are inside.
    fn mask_threshold(&self) -> f32;
    /// The model's memory, where it has one.
    fn network(&mut self) -> Option<&mut dyn Network> {
        None
    }
}

impl Encode for ImageEncoder {
    fn encode(&mut self, image: &RgbImage) -> Result<Embedding, String> {
        ImageEncoder::encode(self, image).map_err(|e| e.to_string())
    }
}

impl Decode for MaskDecoder {
    fn decode(
        &mut self,
        embedding: &Embedding,
        prompts: &[crate::prompt::Prompt],
        options: &DecodeOptions,
    ) -> Result<Decodes, String> {
        MaskDecoder::decode(self, embedding, prompts, options).map_err(|e| e.to_string())
    }

    fn low_res_side(&self) -> usize {
        MaskDecoder::low_res_side(self)
    }

    fn mask_threshold(&self) -> f32 {
        MaskDecoder::mask_threshold(self)
    }

    fn network(&mut self) -> Option<&mut dyn Network> {
        MaskDecoder::network(self)
    }
}
