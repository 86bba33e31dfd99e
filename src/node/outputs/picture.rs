//! Picture of `~/overlay`: the image with masks, contours, prompts and scores.

use image::RgbImage;

use crate::engine::{FrameResult, ObjectResult, ResultSource};
use crate::pixels::{Mask, OverlayObject, draw_corner, draw_overlay, draw_segments};

/// Overlay of one result: drawn once, when the first output needs it.
#[derive(Default)]
pub struct Picture(Option<RgbImage>);

impl Picture {
    /// Returns the overlay, and draws it if no output has needed it.
    pub fn get(&mut self, result: &FrameResult) -> &RgbImage {
        self.0.get_or_insert_with(|| overlay(result))
    }

    /// Takes the overlay out, for a message.
    pub fn take(&mut self, result: &FrameResult) -> RgbImage {
        self.0.take().unwrap_or_else(|| overlay(result))
    }

    /// Gives the pixels of a published message back, for the next output.
    pub fn give_back(&mut self, width: u32, height: u32, pixels: Vec<u8>) {
        self.0 = RgbImage::from_raw(width, height, pixels);
    }
}

/// Draws masks, contours, prompts and scores on the image.
fn overlay(result: &FrameResult) -> RgbImage {
    if result.source == ResultSource::Everything {
        // The labels of a hundred masks would hide the image.
        let masks: Vec<&Mask> = result.objects.iter().map(|o| &o.mask).collect();
        return draw_segments(&result.image, &masks);
    }
    // A lost object has a label without a score, at the box where it was last searched.
    let name = |o: &ObjectResult| match o.lost {
        Some(_) => (format!("{} lost", o.class_id).trim().to_owned(), f32::NAN),
        None => (o.class_id.clone(), o.iou),
    };
    let names: Vec<(String, f32)> = result.objects.iter().map(|o| name(o)).collect();
    let objects: Vec<OverlayObject> = result
        .objects
        .iter()
        .zip(&names)
        .map(|(o, (class_id, iou))| OverlayObject {
            mask: &o.mask,
            id: o.id,
            iou: *iou,
            class_id,
            points: &o.points,
            bbox: o.bbox,
        })
        .collect();
    let mut picture = draw_overlay(&result.image, &objects);
    if let Some(corner) = result.corner {
        draw_corner(&mut picture, &corner);
    }
    picture
}
