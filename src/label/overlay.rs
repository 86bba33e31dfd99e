//! Picture of a frame with its objects, as the node draws `~/overlay`.

use image::RgbImage;

use super::record::{FrameRecord, ObjectRecord, Source};
use crate::pixels::{Mask, OverlayObject, draw_overlay, draw_segments};

/// Draws the objects of a frame on its image: those of everything mode without labels, which would hide the image, then the
/// others with number, class and predicted IoU.
///
/// # Errors
/// A mask is no run lengths of the frame's size, in words.
pub fn overlay(image: &RgbImage, record: &FrameRecord) -> Result<RgbImage, String> {
    let (auto, named): (Vec<&ObjectRecord>, Vec<&ObjectRecord>) =
        record.objects.iter().partition(|object| object.source == Source::Auto);
    let segments: Vec<Mask> = auto.into_iter().map(|object| record.mask(object)).collect::<Result<_, _>>()?;
    let masks: Vec<Mask> = named.iter().map(|object| record.mask(object)).collect::<Result<_, _>>()?;
    let objects: Vec<OverlayObject<'_>> = named
        .iter()
        .zip(&masks)
        .map(|(object, mask)| OverlayObject {
            mask,
            id: object.object,
            iou: object.iou,
            class_id: &object.class,
            points: &[],
            bbox: None,
        })
        .collect();
    if segments.is_empty() {
        return Ok(draw_overlay(image, &objects));
    }
    Ok(draw_overlay(&draw_segments(image, &segments.iter().collect::<Vec<_>>()), &objects))
}
