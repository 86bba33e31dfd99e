//! Follows objects from given masks over the frames of a window, forward or backward in time.

use image::RgbImage;

use super::followed::Followed;
use super::identity::iou;
use super::labeller::{LabelError, Settings, upscaled};
use super::record::{ObjectRecord, Source, run_lengths};
use super::tracklet::{Beginning, Sighting, Tracklet};
use crate::model::network::Network;
use crate::model::{Embedding, Model};
use crate::pixels::{LastUpscaler, RunLengths};
use crate::video::{Position, TrackedMask};

/// An object of the first pass on a frame.
pub struct Other {
    pub object: u32,
    pub mask: RunLengths,
}

/// Follows objects over the frames of a window, which are given in the order of following.
pub struct Propagation<'a> {
    model: &'a mut Model,
    settings: &'a Settings,
    upscaler: LastUpscaler,
    pursuits: Vec<Pursuit>,
}

/// An object that is followed.
struct Pursuit {
    /// The memory; none before the first frame, and after the object ended.
    followed: Option<Followed>,
    tracklet: Tracklet,
}

impl<'a> Propagation<'a> {
    /// Begins with objects whose directions are the same.
    pub fn new(model: &'a mut Model, settings: &'a Settings, beginnings: Vec<Beginning>) -> Self {
        let pursuit = |beginning| Pursuit { followed: None, tracklet: Tracklet::new(beginning) };
        let pursuits = beginnings.into_iter().map(pursuit).collect();
        Propagation { model, settings, upscaler: LastUpscaler::default(), pursuits }
    }

    /// Returns whether any object begins on a frame or is followed to it.
    pub fn needs(&self, at: usize) -> bool {
        self.pursuits.iter().any(|pursuit| pursuit.needs(at))
    }

    /// Follows all objects to a frame. `others` are the objects of the first pass on it, except those of everything mode. An
    /// object of a detection ends where its mask is one of them.
    ///
    /// # Errors
    /// The model fails, or the mask of a beginning is no run lengths.
    pub fn frame(&mut self, at: usize, image: &RgbImage, others: &[Other]) -> Result<(), LabelError> {
        let embedding = self.model.encoder.encode(image)?;
        let Some(network) = self.model.decoder.network() else { return Ok(()) };
        for pursuit in self.pursuits.iter_mut().filter(|pursuit| pursuit.needs(at)) {
            if at == pursuit.tracklet.beginning.at {
                pursuit.begin(network, &embedding)?;
            } else {
                pursuit.follow(network, &mut self.upscaler, at, &embedding, others, self.settings)?;
            }
        }
        Ok(())
    }

    /// Returns the tracklets, in the order of their beginnings.
    pub fn finish(self) -> Vec<Tracklet> {
        self.pursuits.into_iter().map(|pursuit| pursuit.tracklet).collect()
    }
}

impl Pursuit {
    fn needs(&self, at: usize) -> bool {
        let beginning = &self.tracklet.beginning;
        at == beginning.at || self.followed.is_some() && beginning.frames.contains(&at)
    }

    /// Returns the position of a frame for the memory: its distance from the first frame. So the memory keeps and selects frames
    /// backward as it does forward.
    fn position(&self, at: usize) -> Position {
        self.tracklet.beginning.at.abs_diff(at) as Position
    }

    /// Begins the memory with the given mask.
    fn begin(&mut self, network: &mut dyn Network, frame: &Embedding) -> Result<(), LabelError> {
        let Beginning { object, class, source, detection_score, at, size, counts, .. } =
            &self.tracklet.beginning.clone();
        let wrong = || LabelError::Input(format!("object {object}: no run lengths of {}x{} pixels", size.0, size.1));
        let mask = run_lengths(counts, *size).ok_or_else(wrong)?.to_mask();
        let mut followed = Followed::new(class.clone(), *source, *detection_score);
        if followed.restart(network, self.position(*at), frame, &mask)? {
            self.followed = Some(followed);
        } else {
            // The mask vanishes in the network's square.
            self.tracklet.lost = Some(*at);
        }
        Ok(())
    }

    fn follow(
        &mut self,
        network: &mut dyn Network,
        upscaler: &mut LastUpscaler,
        at: usize,
        frame: &Embedding,
        others: &[Other],
        settings: &Settings,
    ) -> Result<(), LabelError> {
        let position = self.position(at);
        let Some(followed) = &mut self.followed else { return Ok(()) };
        let tracked = followed.step(network, position, frame, None)?.filter(TrackedMask::is_there);
        let mask = tracked.as_ref().map(|tracked| upscaled(upscaler, tracked, frame));
        let (Some(tracked), Some(mask)) = (tracked, mask.filter(|mask| mask.area > 0)) else {
            if followed.absent > settings.lost_after {
                self.tracklet.lost = Some(at);
                self.followed = None;
            }
            return Ok(());
        };
        let Beginning { object, source, .. } = self.tracklet.beginning;
        if source == Source::Detection {
            let runs = RunLengths::of(&mask);
            let is_same = |other: &&Other| other.object != object && iou(&other.mask, &runs) > settings.merge_iou;
            if let Some(other) = others.iter().find(is_same) {
                self.tracklet.met = Some(other.object);
                self.followed = None;
                return Ok(());
            }
        }
        let (area, bbox, counts) = ObjectRecord::of_mask(&mask);
        let record = ObjectRecord {
            object,
            class: followed.class.clone(),
            source,
            iou: tracked.iou,
            stability: mask.stability,
            object_score: Some(tracked.object_score),
            detection_score: followed.detection_score,
            area,
            bbox,
            counts,
        };
        self.tracklet.sightings.push(Sighting { at, size: frame.image_size(), object: record });
        Ok(())
    }
}
