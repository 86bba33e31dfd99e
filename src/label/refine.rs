//! Decodes the prompt of a correction: the mask that is there is refined.

use image::RgbImage;

use super::followed::Followed;
use super::labeller::{LabelError, upscaled};
use super::record::Source;
use crate::model::{DecodeOptions, Model};
use crate::pixels::{LastUpscaler, Mask, SquareMask};
use crate::prompt::Prompt;

fn no_mask() -> LabelError {
    LabelError::Input("the model returned no mask".to_owned())
}

/// Decodes a prompt on an image. Returns the mask and its predicted IoU. With a model that has memory, points refine the mask
/// `before` if there is one; a box stands alone. A model without memory decodes the prompt alone.
///
/// # Errors
/// The prompt does not fit the image or the model, or the model fails.
pub fn refine(
    model: &mut Model,
    image: &RgbImage,
    prompt: &Prompt,
    before: Option<&Mask>,
) -> Result<(Mask, f32), LabelError> {
    if let Some(kind) = model.info.refusal(prompt) {
        return Err(LabelError::Input(format!("the model does not take {kind}")));
    }
    let prompt = prompt.check(image.width(), image.height()).map_err(|e| LabelError::Input(e.to_string()))?;
    let embedding = model.encoder.encode(image)?;
    if model.info.memory.is_none() {
        let decoded = model.decoder.decode(&embedding, std::slice::from_ref(&prompt), &DecodeOptions::default())?;
        let best = decoded.objects.into_iter().next().map(|object| (object.best.mask, object.best.iou));
        return best.ok_or_else(no_mask);
    }
    let network = model.decoder.network().ok_or_else(no_mask)?;
    let mut followed = Followed::new(String::new(), Source::Prompt, None);
    if let Some(mask) = before.filter(|mask| mask.area > 0 && prompt.bbox.is_none()) {
        let size = (mask.width as usize, mask.height as usize);
        let square = SquareMask::from_image(&mask.full(), size, network.spec().image_side);
        if let Some(square) = square.filter(|square| !square.is_empty()) {
            followed.track.mask(network, 0, &embedding, &square)?;
        }
    }
    let tracked = followed.prompt(network, 0, &embedding, &prompt)?;
    Ok((upscaled(&mut LastUpscaler::default(), &tracked, &embedding), tracked.iou))
}
