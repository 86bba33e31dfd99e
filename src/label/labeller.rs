//! The objects on one frame after the other: prompts, objects that are followed, detections, and everything else.

use std::collections::BTreeMap;

use image::RgbImage;
use thiserror::Error;

use super::followed::{Followed, admit_seeds};
use super::identity::iou;
use super::record::Source;
use super::seeds::Seed;
use crate::engine::DetectedBox;
use crate::everything::{self, AutomaticMaskGenerator};
use crate::model::{self, DecodeOptions, Embedding, Model};
use crate::pixels::{LastUpscaler, Mask, RunLengths};
use crate::prompt::Prompt;
use crate::video::{Position, TrackedMask};

/// Rules of the stages.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Least predicted IoU of the mask of a new object from a detection.
    pub min_iou: f32,
    /// Two objects on a frame whose masks have an IoU above this are the same object.
    pub merge_iou: f32,
    /// Least IoU of the masks of an object on two frames, where no memory follows it.
    pub link_iou: f32,
    /// Frames after which an object that is not seen ends.
    pub lost_after: usize,
    /// Frames after which the memories begin again with the masks of the frame before: a run that is resumed computes at most
    /// this many frames again.
    pub window: usize,
    /// Finds the masks of everything that is left over.
    pub everything: Option<everything::Settings>,
}

/// An object on a frame.
#[derive(Debug, Clone)]
pub struct Labelled {
    pub object: u32,
    pub class: String,
    pub source: Source,
    /// IoU that the model predicts.
    pub iou: f32,
    /// Logit of the object's presence, from models that predict it.
    pub object_score: Option<f32>,
    pub detection_score: Option<f64>,
    pub mask: Mask,
}

/// Reason why a frame has no result.
#[derive(Debug, Error)]
pub enum LabelError {
    #[error(transparent)]
    Model(#[from] model::Error),
    #[error(transparent)]
    Everything(#[from] everything::Error),
    /// A prompt or a stored mask does not fit.
    #[error("{0}")]
    Input(String),
}

/// An object on the last frame.
#[derive(Debug, Clone)]
pub struct Previous {
    pub object: u32,
    pub class: String,
    pub source: Source,
    pub detection_score: Option<f64>,
    pub mask: RunLengths,
}

/// Labels frames in their order.
pub struct Labeller {
    pub(super) model: Model,
    pub(super) settings: Settings,
    pub(super) generator: Option<AutomaticMaskGenerator>,
    pub(super) upscaler: LastUpscaler,
    /// Objects that the memory follows, by number.
    pub(super) followed: BTreeMap<u32, Followed>,
    /// Objects on the last frame.
    previous: Vec<Previous>,
    /// Last frame, for the masks that the memories begin again with.
    last: Option<(Position, Embedding)>,
    /// Number of the window of the last frame.
    current_window: Position,
    /// Lowest number that no object has had so far.
    next_object: u32,
    pub(super) remarks: Vec<String>,
}

impl Labeller {
    /// Makes a labeller without objects. `first_object` is the number of the first object that is not in the prompts.
    ///
    /// # Errors
    /// A setting of the automatic mask generator is out of range.
    pub fn new(model: Model, settings: Settings, first_object: u32) -> Result<Self, everything::SettingsError> {
        let generator = settings.everything.clone().map(AutomaticMaskGenerator::new).transpose()?;
        Ok(Labeller {
            model,
            settings,
            generator,
            upscaler: LastUpscaler::default(),
            followed: BTreeMap::new(),
            previous: Vec::new(),
            last: None,
            current_window: 0,
            next_object: first_object,
            remarks: Vec::new(),
        })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the model and the rules of the stages.
    pub fn into_parts(self) -> (Model, Settings) {
        (self.model, self.settings)
    }

    /// Returns the number of frames after which the state of the labeller is that of the frame before: a run is resumed at a
    /// multiple of it.
    pub fn window(&self) -> usize {
        if self.model.info.memory.is_some() { self.settings.window.max(1) } else { 1 }
    }

    /// Returns the lowest number that no object has had so far.
    pub fn next_object(&self) -> u32 {
        self.next_object
    }

    /// Returns what was refused since the last call, as sentences for people.
    pub fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    /// Continues after a frame that an earlier run labelled. `image` is that frame, for models with memory.
    ///
    /// # Errors
    /// The image cannot be encoded.
    pub fn resume(
        &mut self,
        next_object: u32,
        previous: Vec<Previous>,
        image: Option<(Position, &RgbImage)>,
    ) -> Result<(), LabelError> {
        self.next_object = next_object;
        self.previous = previous;
        if let Some((at, image)) = image {
            self.last = Some((at, self.model.encoder.encode(image)?));
        }
        Ok(())
    }

    /// Labels a frame. `at` is its index among the frames of the run; `seeds` are its prompts by object, `detections` its
    /// boxes.
    ///
    /// # Errors
    /// The model fails. Prompts and boxes that do not fit the image are left out and reported by
    /// [`Labeller::take_remarks`].
    pub fn frame(
        &mut self,
        at: Position,
        image: &RgbImage,
        seeds: Option<&BTreeMap<u32, Seed>>,
        detections: &[DetectedBox],
    ) -> Result<Vec<Labelled>, LabelError> {
        let has_memory = self.model.info.memory.is_some();
        let window = at / self.window() as Position;
        if has_memory && window != self.current_window {
            self.current_window = window;
            self.restart()?;
        }
        let embedding = self.model.encoder.encode(image)?;
        let seeds = self.checked(seeds, image.dimensions());
        let mut objects = match has_memory {
            true => self.follow(at, &embedding, &seeds)?,
            false => self.decode_seeds(&embedding, &seeds)?,
        };
        self.detect(at, &embedding, detections, &mut objects)?;
        self.add_everything(image, &embedding, &mut objects)?;
        objects.sort_by_key(|object| object.object);
        let previous = |object: &Labelled| Previous {
            object: object.object,
            class: object.class.clone(),
            source: object.source,
            detection_score: object.detection_score,
            mask: RunLengths::of(&object.mask),
        };
        self.previous = objects.iter().map(previous).collect();
        self.last = has_memory.then_some((at, embedding));
        Ok(objects)
    }

    /// Returns the prompts that fit the image.
    fn checked(&mut self, seeds: Option<&BTreeMap<u32, Seed>>, (width, height): (u32, u32)) -> BTreeMap<u32, Seed> {
        let mut checked = BTreeMap::new();
        for (id, seed) in seeds.into_iter().flatten() {
            let refused = self.model.info.refusal(&seed.prompt).map(|kind| format!("the model does not take {kind}"));
            let prompt = match refused {
                Some(reason) => Err(reason),
                None => seed.prompt.check(width, height).map_err(|e| e.to_string()),
            };
            match prompt {
                Ok(prompt) => drop(checked.insert(*id, Seed { class: seed.class.clone(), prompt })),
                Err(reason) => self.remarks.push(format!("the prompt of object {id}: {reason}")),
            }
        }
        checked
    }

    /// Begins the memories again with the masks of the last frame.
    fn restart(&mut self) -> Result<(), LabelError> {
        self.followed.clear();
        let (Some((at, embedding)), Some(network)) = (&self.last, self.model.decoder.network()) else { return Ok(()) };
        for object in self.previous.iter().filter(|object| object.source != Source::Auto) {
            let mut followed = Followed::new(object.class.clone(), object.source, object.detection_score);
            if followed.restart(network, *at, embedding, &object.mask.to_mask())? {
                self.followed.insert(object.object, followed);
            }
        }
        Ok(())
    }

    /// Follows all objects to a frame, and applies its prompts.
    fn follow(
        &mut self,
        at: Position,
        embedding: &Embedding,
        seeds: &BTreeMap<u32, Seed>,
    ) -> Result<Vec<Labelled>, LabelError> {
        admit_seeds(&mut self.followed, seeds);
        let (mut objects, mut masks) = (Vec::new(), Vec::<RunLengths>::new());
        let mut ended = Vec::new();
        for (id, followed) in &mut self.followed {
            let Some(network) = self.model.decoder.network() else { break };
            let tracked = followed.step(network, at, embedding, seeds.get(id).map(|seed| &seed.prompt))?;
            let seen = tracked.filter(TrackedMask::is_there);
            let mask = seen.as_ref().map(|tracked| upscaled(&mut self.upscaler, tracked, embedding));
            let (Some(tracked), Some(mask)) = (seen, mask.filter(|mask| mask.area > 0)) else {
                if followed.absent > self.settings.lost_after {
                    ended.push(*id);
                }
                continue;
            };
            // Two numbers of one object: the later one ends, except if the prompts file names it.
            let runs = RunLengths::of(&mask);
            let is_double = masks.iter().any(|other| iou(other, &runs) > self.settings.merge_iou);
            if followed.source != Source::Prompt && is_double {
                ended.push(*id);
                continue;
            }
            masks.push(runs);
            objects.push(Labelled {
                object: *id,
                class: followed.class.clone(),
                source: followed.source,
                iou: tracked.iou,
                object_score: Some(tracked.object_score),
                detection_score: followed.detection_score,
                mask,
            });
        }
        for id in ended {
            self.followed.remove(&id);
        }
        Ok(objects)
    }

    /// Decodes the prompts of a frame, for a model without memory.
    fn decode_seeds(
        &mut self,
        embedding: &Embedding,
        seeds: &BTreeMap<u32, Seed>,
    ) -> Result<Vec<Labelled>, LabelError> {
        let prompts: Vec<Prompt> = seeds.values().map(|seed| seed.prompt.clone()).collect();
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let decoded = self.model.decoder.decode(embedding, &prompts, &DecodeOptions::default())?.objects;
        let object = |((id, seed), decoded): ((&u32, &Seed), model::Decoded)| Labelled {
            object: *id,
            class: seed.class.clone(),
            source: Source::Prompt,
            iou: decoded.best.iou,
            object_score: decoded.object_score,
            detection_score: None,
            mask: decoded.best.mask,
        };
        Ok(seeds.iter().zip(decoded).map(object).filter(|object| object.mask.area > 0).collect())
    }

    /// Returns the objects of the last frame that have a source and are not among `objects`.
    pub(super) fn of_source(&self, source: Source, objects: &[Labelled]) -> Vec<&Previous> {
        let is_new = |p: &&Previous| p.source == source && objects.iter().all(|object| object.object != p.object);
        self.previous.iter().filter(is_new).collect()
    }

    pub(super) fn new_object(&mut self) -> u32 {
        self.next_object += 1;
        self.next_object - 1
    }
}

/// Scales the low-resolution logits of an object that is followed to a mask of the image's size.
pub(super) fn upscaled(upscaler: &mut LastUpscaler, tracked: &TrackedMask, embedding: &Embedding) -> Mask {
    upscaler.get(tracked.mask.len().isqrt(), &embedding.geometry).mask(&tracked.mask, 0.0, 1.0)
}
