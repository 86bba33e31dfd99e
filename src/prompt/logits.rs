//! Mask prompts: low-resolution logits.

use std::sync::Arc;

use super::error::PromptError;

/// Low-resolution mask logits in the model's square, row by row (256 x 256 for SAM): the result of an earlier
/// prediction on the same image, fed back as a prompt. Clones share the data.
#[derive(Debug, Clone, PartialEq)]
pub struct LowResLogits {
    /// Side of the square, in cells.
    pub side: usize,
    /// `[side, side]` logits; a cell above the model's mask threshold is inside the mask.
    pub data: Arc<[f32]>,
}

impl LowResLogits {
    /// Checks that the logits are a square of finite values.
    ///
    /// # Errors
    /// [`PromptError::MaskSize`] or [`PromptError::MaskNotFinite`].
    pub(super) fn check(&self) -> Result<(), PromptError> {
        let (found, expected) = (self.data.len(), self.side * self.side);
        if found != expected || expected == 0 {
            return Err(PromptError::MaskSize { found, expected, side: self.side });
        }
        if self.data.iter().any(|v| !v.is_finite()) {
            return Err(PromptError::MaskNotFinite);
        }
        Ok(())
    }
}
