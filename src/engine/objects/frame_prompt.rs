//! Prompts of an object on one frame, for a tracker that conditions on prompted frames.

use super::object::Object;
use crate::prompt::{LowResLogits, Prompt};

/// Prompts of an object on the frame that is prompted.
pub struct FramePrompt {
    /// New mask. The points and the box of `prompt` refine it.
    pub new_mask: Option<LowResLogits>,
    /// All prompts on the frame.
    pub prompt: Prompt,
}

impl FramePrompt {
    /// Returns the new prompts of `object` together with its earlier prompts on the frame of that number. `earlier`: the
    /// object before the prompt.
    pub fn new(earlier: Option<&Object>, object: &Object, number: u64) -> Self {
        let (current, previous) = (&object.prompt, earlier.map(|e| &e.prompt));
        let points = match previous {
            Some(previous) if current.points.starts_with(&previous.points) => &current.points[previous.points.len()..],
            _ => &current.points[..],
        };
        let bbox = current.bbox.filter(|b| previous.is_none_or(|p| p.bbox != Some(*b)));
        let new_mask = current.mask.clone().filter(|m| previous.is_none_or(|p| p.mask.as_ref() != Some(m)));
        let mut prompt = Prompt { points: points.to_vec(), bbox, mask: new_mask.clone() };
        if let Some(earlier) = earlier.filter(|e| e.prompted_on == Some(number) && object.memory.is_some()) {
            prompt.points.splice(0..0, earlier.frame_prompt.points.iter().copied());
            prompt.bbox = prompt.bbox.or(earlier.frame_prompt.bbox);
            prompt.mask = prompt.mask.or_else(|| earlier.frame_prompt.mask.clone());
        }
        if prompt.points.is_empty() && prompt.bbox.is_none() && new_mask.is_none() {
            // Without a new prompt the object is prompted with all its prompts.
            prompt = Prompt { mask: prompt.mask, ..current.clone() };
        }
        FramePrompt { new_mask, prompt }
    }
}
