//! [`Network`] of a mask decoder with a memory.

use std::time::Instant;

use ort::value::{DynValue, Tensor};

use super::sessions::MemorySessions;
use crate::model::candidates::{self, WantedMask};
use crate::model::decoder::{MaskDecoder, RawOutput};
use crate::model::embedding::Embedding;
use crate::model::error::Error;
use crate::model::layout::IMAGE_EMBEDDINGS;
use crate::model::network::{Heads, Memories, MemorySpec, Network, SpatialMemory, StepTimings};
use crate::model::prompt_encoder::Token;
use crate::model::runtime::failure::run_failed;
use crate::model::timing;
use crate::prompt::{LowResLogits, Prompt};

impl MaskDecoder {
    /// Returns the networks that follow an object, if the bundle has a memory.
    pub fn network(&mut self) -> Option<&mut dyn Network> {
        self.memory.is_some().then_some(self as &mut dyn Network)
    }

    /// Returns the sessions of the memory.
    ///
    /// # Errors
    /// [`Error::NoMemory`] if the bundle has none.
    pub(in crate::model) fn memory(&mut self) -> Result<&mut MemorySessions, Error> {
        let model = &self.info.name;
        self.memory.as_mut().ok_or_else(|| Error::NoMemory { model: model.clone() })
    }

    /// Runs the decoder for one object. `conditioned` is the frame conditioned on memories.
    fn decode_object(
        &mut self,
        frame: &Embedding,
        conditioned: Option<&DynValue>,
        prompt: &Prompt,
        wanted: Vec<WantedMask>,
    ) -> Result<RawOutput, Error> {
        let mut tokens = self.tokens(prompt, &frame.geometry);
        if tokens.is_empty() {
            // Without a prompt the reference takes one point with the label of a pad, and the pad that ends every list
            // (`_forward_sam_heads`).
            tokens = vec![Token::PAD; 2];
        }
        let made = self.run(frame, conditioned, std::slice::from_ref(prompt), &[wanted], &[(0, tokens)])?;
        made.into_iter().next().ok_or_else(|| self.missing("low_res_masks"))
    }

    /// Returns the error for an output that the graph did not compute.
    fn missing(&self, tensor: &str) -> Error {
        let (file, tensor) = (self.info.decoder.file.clone(), tensor.to_owned());
        Error::Tensor { file, tensor, found: "nothing".to_owned(), expected: "one for each object".to_owned() }
    }

    /// Returns the image embedding without the part that the encoder's graph adds for frames without memories.
    fn without_memory(&mut self, frame: &Embedding) -> Result<DynValue, Error> {
        let (file, provider) = (self.info.decoder.file.clone(), self.providers.used);
        let failed = |e: ort::Error| run_failed(&file, provider, &e);
        let shape = self.info.embedding_shape.clone();
        let (_, values) = frame
            .tensor(IMAGE_EMBEDDINGS)
            .filter(|(_, values)| values.len() == shape.iter().product::<usize>())
            .ok_or_else(|| Error::ForeignEmbedding { reason: format!("its {IMAGE_EMBEDDINGS} are not {shape:?}") })?;
        let bare = self.memory()?.weights.without_memory(values);
        Ok(Tensor::from_array((shape, bare)).map_err(failed)?.into_dyn())
    }
}

impl Network for MaskDecoder {
    fn spec(&self) -> MemorySpec {
        self.info.memory.as_ref().map(|memory| memory.spec).unwrap_or_default()
    }

    fn heads(
        &mut self,
        frame: &Embedding,
        memories: Option<&Memories>,
        prompt: &Prompt,
        multimask: bool,
    ) -> Result<Heads, Error> {
        self.check(frame, std::slice::from_ref(prompt))?;
        let mut timings = StepTimings::default();
        let start = Instant::now();
        let conditioned = memories.map(|memories| self.memory()?.attend(frame, memories)).transpose()?;
        if conditioned.is_some() {
            timings.attention_ms = milliseconds(start);
        }
        let start = Instant::now();
        let wanted = match (multimask, self.info.dynamic_multimask) {
            (true, _) => vec![WantedMask::Best],
            (false, Some(_)) => vec![WantedMask::Mask(0), WantedMask::Best],
            (false, None) => vec![WantedMask::Mask(0)],
        };
        let raw = self.decode_object(frame, conditioned.as_ref(), prompt, wanted)?;
        timings.decoder_ms = milliseconds(start);
        let masks = raw.ious.len();
        let considered = if multimask { 1..masks } else { self.replace_unstable(0..1, &raw) };
        let chosen = candidates::best(&raw.ious, considered);
        // If the best candidate replaces a single mask, the pointer of the single mask stays: the memory was trained with it.
        let pointer = raw.pointer(if multimask { chosen } else { 0 });
        Ok(Heads {
            mask: raw.mask(chosen).to_vec(),
            iou: raw.ious.get(chosen).copied().ok_or_else(|| self.missing("iou_predictions"))?,
            object_score: raw.object_score.ok_or_else(|| self.missing("object_score_logits"))?,
            pointer: pointer.ok_or_else(|| self.missing("object_pointers"))?.to_vec(),
            timings,
        })
    }

    fn pointer_of_mask(&mut self, frame: &Embedding, mask: &[f32]) -> Result<Vec<f32>, Error> {
        self.check(frame, &[])?;
        let (side, small) = (self.info.image_size, self.info.low_res_size);
        if mask.len() != side * side {
            let (file, tensor) = (self.info.name.clone(), "mask".to_owned());
            return Err(Error::Tensor {
                file,
                tensor,
                found: format!("{} cells", mask.len()),
                expected: format!("{side} x {side}"),
            });
        }
        let weights = &self.memory()?.weights;
        if mask.iter().all(|v| *v <= 0.0) {
            return Ok(weights.no_object.clone());
        }
        let logits = LowResLogits { side: small, data: weights.downsample(mask, side).into() };
        let bare = self.without_memory(frame)?;
        let prompt = Prompt::default().with_mask(logits);
        let raw = self.decode_object(frame, Some(&bare), &prompt, vec![WantedMask::Mask(0)])?;
        Ok(raw.pointer(0).ok_or_else(|| self.missing("object_pointers"))?.to_vec())
    }

    fn encode_memory(
        &mut self,
        frame: &Embedding,
        mask: &[f32],
        binarize: bool,
        object_score: f32,
    ) -> Result<(SpatialMemory, f32), Error> {
        self.check(frame, &[])?;
        let start = Instant::now();
        let features = self.memory()?.encode(frame, mask, binarize, object_score)?;
        Ok((features, milliseconds(start)))
    }
}

/// Returns the milliseconds since `start`.
fn milliseconds(start: Instant) -> f32 {
    timing::milliseconds(start) as f32
}
