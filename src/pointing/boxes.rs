//! From boxes in metres, in any TF frame, to box prompts on the image of their stamp.

use std::fmt;
use std::sync::Arc;

use nalgebra::{Isometry3, Vector3};

use super::{Pointing, refused};
use crate::engine::kept::{KeptFrame, KeptFrames};
use crate::engine::{
    DeferredPrompt, FrameRef, Header, Interaction, ObjectPrompt, Operation, Persistence, Refusal, RefusalKind, Stamp,
};
use crate::prompt::{BoxPrompt, Prompt};

/// A box in metres, and the object that it prompts.
#[derive(Debug, Clone)]
pub struct SpaceBox {
    /// `frame_from_box`: centre and axes of the box in the frame of the message.
    pub pose: Isometry3<f64>,
    /// Full lengths along the axes of the box.
    pub size: Vector3<f64>,
    /// Object with the tag and the class; id 0 for the object of that tag, or a new one.
    pub object: ObjectPrompt,
}

/// Boxes of one message, whose image is not known yet.
pub struct Boxes {
    pointing: Arc<Pointing>,
    header: Header,
    boxes: Vec<SpaceBox>,
    rectified: bool,
    persistence: Persistence,
    refuse: Box<dyn Fn(Refusal) + Send>,
}

impl Boxes {
    /// Returns the boxes as a deferred prompt. `refuse` receives the reason of each box that the camera does not see, if it
    /// sees another one.
    pub fn prompt(
        pointing: &Arc<Pointing>,
        header: Header,
        boxes: Vec<SpaceBox>,
        (rectified, persistence): (bool, Persistence),
        refuse: impl Fn(Refusal) + Send + 'static,
    ) -> Interaction {
        let pointing = Arc::clone(pointing);
        let boxes = Boxes { pointing, header, boxes, rectified, persistence, refuse: Box::new(refuse) };
        Interaction::Deferred(Some(Box::new(boxes)))
    }

    /// Returns the image of the boxes: that of their stamp; the newest one before it, once a later image is known or the
    /// timeout has passed; the newest of all without a stamp.
    fn image<'a>(&self, kept: &'a KeptFrames, is_last: bool) -> Option<Result<&'a Arc<KeptFrame>, Refusal>> {
        let stamp = self.header.stamp;
        let newest = kept.newest()?;
        if stamp == Stamp::NONE {
            return Some(Ok(newest));
        }
        if let Some(image) = kept.at(stamp) {
            return Some(Ok(image));
        }
        if newest.header.stamp < stamp {
            return is_last.then_some(Ok(newest));
        }
        Some(kept.newest_until(stamp).ok_or_else(|| {
            let oldest = kept.stamps().map_or(stamp, |(oldest, _)| oldest);
            let message = format!(
                "no image of the time {stamp} is kept, the oldest is {oldest}; a larger 'keep.frames' keeps it"
            );
            Refusal::new(RefusalKind::FrameGone, message)
        }))
    }

    /// Returns the box prompt of a box on an image.
    fn project(
        &self,
        b: &SpaceBox,
        optical_from_frame: &Isometry3<f64>,
        image: &KeptFrame,
    ) -> Result<BoxPrompt, Refusal> {
        let size = image.image.dimensions();
        let calibration = self.pointing.calibration(&image.header, size, self.rectified)?;
        let projected = calibration.model.project_box(&(optical_from_frame * b.pose), &b.size);
        let b =
            projected.map_err(|error| Refusal { message: format!("box {}: {error}", name(b)), ..refused(error) })?;
        // Whole numbers are the centres of pixels there, and the corners of pixels in a box prompt.
        let [x_min, y_min, x_max, y_max] = [b.x_min, b.y_min, b.x_max, b.y_max].map(|v| (v + 0.5) as f32);
        Ok(BoxPrompt { x_min, y_min, x_max, y_max })
    }

    /// Returns the prompts of the boxes that the camera sees.
    ///
    /// # Errors
    /// The camera sees none.
    fn prompts(
        &mut self,
        optical_from_frame: &Isometry3<f64>,
        image: &KeptFrame,
    ) -> Result<Vec<ObjectPrompt>, Refusal> {
        let (mut prompts, mut unseen) = (Vec::new(), Vec::new());
        for b in &self.boxes {
            match self.project(b, optical_from_frame, image) {
                Ok(bbox) => {
                    let prompt = Prompt { bbox: Some(bbox), ..Prompt::default() };
                    prompts.push(ObjectPrompt { prompt, ..b.object.clone() });
                }
                Err(refusal) => unseen.push(refusal),
            }
        }
        if prompts.is_empty()
            && let Some(first) = unseen.pop()
        {
            unseen.into_iter().for_each(&self.refuse);
            return Err(first);
        }
        unseen.into_iter().for_each(&self.refuse);
        Ok(prompts)
    }
}

fn name(b: &SpaceBox) -> String {
    if b.object.tag.is_empty() { b.object.id.to_string() } else { format!("'{}'", b.object.tag) }
}

impl DeferredPrompt for Boxes {
    fn resolve(&mut self, kept: &KeptFrames, is_last: bool) -> Option<Result<Interaction, Refusal>> {
        let image = match self.image(kept, is_last)? {
            Ok(image) => Arc::clone(image),
            Err(refusal) => return Some(Err(refusal)),
        };
        let transform = self.pointing.transform(&image.header.frame_id, &self.header.frame_id, image.header.stamp);
        let transform = match (transform, self.header.stamp) {
            // Boxes without a stamp use the latest transforms.
            (Err(error), Stamp::NONE) if error.may_pass() => {
                self.pointing.transform(&image.header.frame_id, &self.header.frame_id, Stamp::NONE)
            }
            (transform, _) => transform,
        };
        let optical_from_frame = match transform {
            Ok(transform) => transform,
            Err(error) if error.may_pass() && !is_last => return None,
            Err(error) => {
                let message = format!("boxes in \"{}\": {error}", self.header.frame_id);
                return Some(Err(Refusal::new(RefusalKind::NoTransform, message)));
            }
        };
        let objects = match self.prompts(&optical_from_frame, &image) {
            Ok(objects) => objects,
            Err(refusal) => return Some(Err(refusal)),
        };
        let (at, operation, persistence) = (FrameRef::At(image.header.stamp), Operation::Add, self.persistence);
        Some(Ok(Interaction::Prompts { at, operation, objects, persistence }))
    }
}

impl fmt::Debug for Boxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boxes").field("header", &self.header).field("boxes", &self.boxes).finish_non_exhaustive()
    }
}
