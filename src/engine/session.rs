//! The two sessions of an engine, and how the engines of several cameras share them.

use std::sync::Arc;

use image::RgbImage;
use tokio::sync::Mutex;

use crate::everything;
use crate::model::network::Network;
use crate::model::{DecodeOptions, Decodes, Embedding, ImageEncoder, MaskDecoder};

/// An ONNX session that several engines may share. tokio's mutex is fair: the engine that waits longest is next, so that no
/// camera starves another.
pub type Session<S> = Arc<Turns<S>>;

/// An ONNX session, and the lock that decides which engine uses it next.
pub struct Turns<S: ?Sized> {
    /// Held by the engine that is next. It prepares its image while another engine encodes.
    pub(super) next: Mutex<()>,
    pub(super) session: Mutex<S>,
}

impl<S> Turns<S> {
    pub fn new(session: S) -> Self {
        Turns { next: Mutex::new(()), session: Mutex::new(session) }
    }

    /// Returns a session for several engines. It converts to a `Session<dyn Encode>` or a `Session<dyn Decode>`.
    pub fn shared(session: S) -> Session<S> {
        Arc::new(Turns::new(session))
    }
}

/// An image encoder. Tests implement this trait with a fake.
pub trait Encode: Send {
    /// Encodes an image.
    ///
    /// # Errors
    /// The runtime fails.
    fn encode(&mut self, image: &RgbImage) -> Result<Embedding, String>;
}

/// A mask decoder.
pub trait Decode: Send {
    /// Decodes the masks of prompts, one object for each prompt.
    ///
    /// # Errors
    /// The runtime fails.
    fn decode(
        &mut self,
        embedding: &Embedding,
        prompts: &[crate::prompt::Prompt],
        options: &DecodeOptions,
    ) -> Result<Decodes, String>;
    /// Returns the side of the square low-resolution logits.
    fn low_res_side(&self) -> usize;
    /// Returns the threshold of mask logits: pixels above it belong to the object.
    fn mask_threshold(&self) -> f32;
    /// Returns the networks of the model's memory; `None` for a model without memory.
    fn network(&mut self) -> Option<&mut dyn Network> {
        None
    }
    /// Returns the decoder of a grid of clicks.
    ///
    /// # Errors
    /// Why the model cannot decode a grid.
    fn grid_decoder(&mut self) -> Result<&mut dyn everything::Decoder, String> {
        Err("this decoder takes no grid of clicks".to_owned())
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

    fn grid_decoder(&mut self) -> Result<&mut dyn everything::Decoder, String> {
        match self.grid_refusal() {
            Some(reason) => Err(reason),
            None => Ok(self),
        }
    }
}
