//! An encoder and a decoder that answer with the stored logits of `tests/golden/everything/drawn.safetensors`.

use image::RgbImage;
use promptseg::everything::{Decoder, Encoder};
use promptseg::model::{self, Candidates, Embedding, LowResMasks};
use promptseg::pixels::{Geometry, Resize};
use promptseg::prompt::Prompt;
use safetensors::SafeTensors;

/// Answers clicks with stored logits.
pub struct DrawnDecoder {
    logits: Vec<f32>,
    ious: Vec<f32>,
    side: usize,
    next: usize,
    /// Returns the number of the answer to a click. `None`: answers come in turn.
    number: Option<fn(&Prompt) -> usize>,
}

impl DrawnDecoder {
    /// `file` is the content of drawn.safetensors, `logits` the name of a tensor, `side` the side of the network's square.
    pub fn new(file: &[u8], logits: &str, side: u32, number: Option<fn(&Prompt) -> usize>) -> Self {
        let tensors = SafeTensors::deserialize(file).unwrap();
        let half = |bytes: &[u8]| half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        let logits = tensors.tensor(logits).unwrap().data().chunks_exact(2).map(half).collect();
        let single = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let ious = tensors.tensor("ious").unwrap().data().chunks_exact(4).map(single).collect();
        DrawnDecoder { logits, ious, side: side as usize / 4, next: 0, number }
    }
}

impl Decoder for DrawnDecoder {
    fn low_res_masks(
        &mut self,
        _: &Embedding,
        prompts: &[Prompt],
        candidates: Candidates,
    ) -> Result<Vec<LowResMasks>, model::Error> {
        assert_eq!(candidates, Candidates::Multi);
        let cells = 3 * self.side * self.side;
        let answer = |click: usize| {
            let ious = self.ious[3 * click..3 * (click + 1)].to_vec();
            LowResMasks::from_parts(ious, self.logits[cells * click..cells * (click + 1)].to_vec(), self.side)
        };
        let first = self.next;
        self.next += prompts.len();
        let number = |(prompt, next)| self.number.map_or(next, |number| number(prompt));
        prompts.iter().zip(first..).map(number).map(answer).collect()
    }

    fn low_res_side(&self) -> usize {
        self.side
    }

    fn mask_threshold(&self) -> f32 {
        0.0
    }
}

/// Keeps the size of each crop, and nothing else.
pub struct DrawnEncoder {
    pub side: u32,
}

impl Encoder for DrawnEncoder {
    fn encode(&mut self, crop: &RgbImage) -> Result<Embedding, model::Error> {
        Embedding::from_parts(Vec::new(), Geometry::new(crop.width(), crop.height(), self.side, Resize::Letterbox))
    }
}
