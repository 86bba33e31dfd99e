//! What a tracker asks of a model with a memory.

use std::time::Instant;

use ort::value::{DynValue, Tensor};

use super::super::candidates::{self, Wanted};
use super::super::decoded::Raw;
use super::super::{Embedding, Error, MaskDecoder, session};
use super::{EMBEDDING, Memory, milliseconds};
use crate::model::network::{Heads, Memories, MemorySpec, Network, SpatialMemory, StepTimings};
use crate::model::prompt_encoder::Token;
use crate::prompt::{LowResLogits, Prompt};

impl MaskDecoder {
    /// The networks that follow an object, where the bundle has a memory.
    pub fn network(&mut self) -> Option<&mut dyn Network> {
        self.memory.is_some().then_some(self as &mut dyn Network)
    }

    pub(in crate::model) fn memory(&mut self) -> Result<&mut Memory, Error> {
        let model = &self.info.name;
        self.memory.as_mut().ok_or_else(|| Error::NoMemory { model: model.clone() })
    }

    /// One object's heads on a frame: the tokens of a prompt, or two pads where it has none.
    fn heads_of(
        &mut self,
        frame: &Embedding,
        seen: Option<&DynValue>,
        prompt: &Prompt,
        wanted: Vec<Wanted>,
    ) -> Result<Raw, Error> {
        let mut tokens = self.tokens(prompt, &frame.geometry);
        if tokens.is_empty() {
            // No prompt is one point that is none, and the pad that ends every list (`_forward_sam_heads`).
            tokens = vec![Token::PAD; 2];
        }
        let made = self.run(frame, seen, std::slice::from_ref(prompt), &[wanted], &[(0, tokens)])?;
        made.into_iter().next().ok_or_else(|| self.lacks("low_res_masks"))
    }

    fn lacks(&self, tensor: &str) -> Error {
        let (file, tensor) = (self.info.decoder.file.clone(), tensor.to_owned());
        Error::Tensor { file, tensor, found: "nothing".to_owned(), expected: "one for each object".to_owned() }
    }

    /// The image embedding as the encoder made it, without what stands for no memory.
    fn without_memory(&mut self, frame: &Embedding) -> Result<DynValue, Error> {
        let (file, provider) = (self.info.decoder.file.clone(), self.providers.used);
        let failed = |e: ort::Error| session::failed(&file, provider, &e);
        let shape = self.info.embedding_shape.clone();
        let (_, values) = frame
            .tensor(EMBEDDING)
            .filter(|(_, values)| values.len() == shape.iter().product::<usize>())
            .ok_or_else(|| Error::ForeignEmbedding { reason: format!("its {EMBEDDING} are not {shape:?}") })?;
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
        let seen = memories.map(|memories| self.memory()?.attend(frame, memories)).transpose()?;
        if seen.is_some() {
            timings.attention_ms = milliseconds(start);
        }
        let start = Instant::now();
        let wanted = match (multimask, self.info.dynamic_multimask) {
            (true, _) => vec![Wanted::Best],
            (false, Some(_)) => vec![Wanted::Mask(0), Wanted::Best],
            (false, None) => vec![Wanted::Mask(0)],
        };
        let raw = self.heads_of(frame, seen.as_ref(), prompt, wanted)?;
        timings.decoder_ms = milliseconds(start);
        let masks = raw.ious.len();
        let considered = if multimask { 1..masks } else { self.trusted(0..1, &raw) };
        let chosen = candidates::best(&raw.ious, considered);
        // Of a single mask that is not stable the pointer stays: those of a video were trained on that token.
        let pointer = raw.pointer(if multimask { chosen } else { 0 });
        Ok(Heads {
            mask: raw.mask(chosen).to_vec(),
            iou: raw.ious.get(chosen).copied().ok_or_else(|| self.lacks("iou_predictions"))?,
            object_score: raw.object_score.ok_or_else(|| self.lacks("object_score_logits"))?,
            pointer: pointer.ok_or_else(|| self.lacks("object_pointers"))?.to_vec(),
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
        let raw = self.heads_of(frame, Some(&bare), &prompt, vec![Wanted::Mask(0)])?;
        Ok(raw.pointer(0).ok_or_else(|| self.lacks("object_pointers"))?.to_vec())
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
        let features = self.memory()?.remember(frame, mask, binarize, object_score)?;
        Ok((features, milliseconds(start)))
    }
}
