//! The stage of detections: boxes and masks of a detector become objects, or name the class of an object that is there already.

use super::followed::Followed;
use super::identity::{iou, link};
use super::labeller::{LabelError, Labelled, Labeller, upscaled};
use super::record::Source;
use crate::engine::DetectedBox;
use crate::model::{DecodeOptions, Decoded, Embedding};
use crate::pixels::{Mask, RunLengths};
use crate::prompt::Prompt;
use crate::video::Position;

/// A detection with its mask, before it is an object.
struct Proposal<'a> {
    detection: &'a DetectedBox,
    iou: f32,
    object_score: Option<f32>,
    mask: Mask,
    /// The object with its memory, if the model has one.
    followed: Option<Followed>,
}

impl Labeller {
    /// Adds the objects of a detector: a box whose mask is an object that is there already names its class, other boxes are
    /// new objects.
    pub(super) fn detect(
        &mut self,
        at: Position,
        embedding: &Embedding,
        detections: &[DetectedBox],
        objects: &mut Vec<Labelled>,
    ) -> Result<(), LabelError> {
        let mut proposals = self.propose(at, embedding, detections)?;
        let score = |proposal: &Proposal<'_>| proposal.detection.score.filter(|s| !s.is_nan()).unwrap_or(f64::MIN);
        proposals.sort_by(|a, b| score(b).total_cmp(&score(a)));
        let there: Vec<RunLengths> = objects.iter().map(|object| RunLengths::of(&object.mask)).collect();
        let mut admitted: Vec<(Proposal<'_>, RunLengths)> = Vec::new();
        for proposal in proposals {
            let runs = RunLengths::of(&proposal.mask);
            let merge = self.settings.merge_iou;
            if let Some(index) = there.iter().position(|other| iou(other, &runs) > merge) {
                self.confirm(&mut objects[index], proposal.detection);
                continue;
            }
            let is_double = admitted.iter().any(|(_, other)| iou(other, &runs) > merge);
            // A mask of the detector itself has no predicted IoU: the detector's score is its threshold.
            let is_good = proposal.detection.mask.is_some() || proposal.iou >= self.settings.min_iou;
            if !is_double && proposal.mask.area > 0 && is_good {
                admitted.push((proposal, runs));
            }
        }
        let links = self.linked(&admitted, objects);
        for ((proposal, _), linked) in admitted.into_iter().zip(links) {
            let id = linked.unwrap_or_else(|| self.new_object());
            let Proposal { detection, iou, object_score, mask, followed } = proposal;
            if let (Some(mut followed), Some(network)) = (followed, self.model.decoder.network()) {
                followed.settle(network, at, embedding)?;
                self.followed.insert(id, followed);
            }
            objects.push(Labelled {
                object: id,
                class: detection.class_id.clone(),
                source: Source::Detection,
                iou,
                object_score,
                detection_score: detection.score,
                mask,
            });
        }
        Ok(())
    }

    /// Returns the numbers that new objects have had on the last frame, where no memory follows the objects.
    fn linked(&self, admitted: &[(Proposal<'_>, RunLengths)], objects: &[Labelled]) -> Vec<Option<u32>> {
        if self.model.info.memory.is_some() {
            return vec![None; admitted.len()];
        }
        let before = self.of_source(Source::Detection, objects);
        let old: Vec<&RunLengths> = before.iter().map(|previous| &previous.mask).collect();
        let new: Vec<&RunLengths> = admitted.iter().map(|(_, runs)| runs).collect();
        let same_class = |i: usize, j: usize| before[i].class == admitted[j].0.detection.class_id;
        let links = link(&old, &new, self.settings.link_iou, same_class);
        links.into_iter().map(|index| index.map(|i| before[i].object)).collect()
    }

    /// Takes class and score of a detection for the object that it shows.
    fn confirm(&mut self, object: &mut Labelled, detection: &DetectedBox) {
        if object.class.is_empty() {
            object.class.clone_from(&detection.class_id);
        }
        if object.detection_score.is_none_or(|score| detection.score.is_some_and(|new| new > score)) {
            object.detection_score = detection.score;
        }
        if let Some(followed) = self.followed.get_mut(&object.object) {
            followed.class.clone_from(&object.class);
            followed.detection_score = object.detection_score;
        }
    }

    /// Returns the masks of detections: their own, or masks that are decoded from their boxes.
    fn propose<'a>(
        &mut self,
        at: Position,
        embedding: &Embedding,
        detections: &'a [DetectedBox],
    ) -> Result<Vec<Proposal<'a>>, LabelError> {
        let (width, height) = embedding.image_size();
        let (mut masks, mut boxes) = (Vec::new(), Vec::new());
        for detection in detections {
            let prompt = Prompt { bbox: Some(detection.bbox), ..Prompt::default() };
            match (&detection.mask, prompt.check(width, height)) {
                (Some(mask), _) => masks.push((detection, mask)),
                (None, Ok(prompt)) => boxes.push((detection, prompt)),
                (None, Err(e)) => self.remarks.push(format!("a detection of \"{}\": {e}", detection.class_id)),
            }
        }
        let mut proposals = self.own_masks(at, embedding, masks)?;
        proposals.extend(self.masks_of_boxes(at, embedding, boxes)?);
        Ok(proposals)
    }

    /// Returns the masks that the detector made itself. The memory follows them from this frame on.
    fn own_masks<'a>(
        &mut self,
        at: Position,
        embedding: &Embedding,
        masks: Vec<(&'a DetectedBox, &'a Decoded)>,
    ) -> Result<Vec<Proposal<'a>>, LabelError> {
        let mut proposals = Vec::with_capacity(masks.len());
        for (detection, Decoded { best, object_score, .. }) in masks {
            let mut followed = None;
            if let Some(network) = self.model.decoder.network() {
                let mut object = Followed::new(detection.class_id.clone(), Source::Detection, detection.score);
                if object.prompt_mask(network, at, embedding, &best.mask)?.is_none() {
                    let class = &detection.class_id;
                    self.remarks.push(format!("a detection of \"{class}\": its mask vanishes in the model's square"));
                    continue;
                }
                followed = Some(object);
            }
            let (iou, object_score, mask) = (best.iou, *object_score, best.mask.clone());
            proposals.push(Proposal { detection, iou, object_score, mask, followed });
        }
        Ok(proposals)
    }

    /// Decodes the masks of boxes.
    fn masks_of_boxes<'a>(
        &mut self,
        at: Position,
        embedding: &Embedding,
        boxes: Vec<(&'a DetectedBox, Prompt)>,
    ) -> Result<Vec<Proposal<'a>>, LabelError> {
        let mut proposals = Vec::with_capacity(boxes.len());
        if boxes.is_empty() {
            return Ok(proposals);
        }
        if let Some(network) = self.model.decoder.network() {
            for (detection, prompt) in boxes {
                let mut followed = Followed::new(detection.class_id.clone(), Source::Detection, detection.score);
                let tracked = followed.prompt(network, at, embedding, &prompt)?;
                let mask = upscaled(&mut self.upscaler, &tracked, embedding);
                let (iou, object_score) = (tracked.iou, Some(tracked.object_score));
                proposals.push(Proposal { detection, iou, object_score, mask, followed: Some(followed) });
            }
            return Ok(proposals);
        }
        let prompts: Vec<Prompt> = boxes.iter().map(|(_, prompt)| prompt.clone()).collect();
        let decoded = self.model.decoder.decode(embedding, &prompts, &DecodeOptions::default())?.objects;
        for ((detection, _), Decoded { best, object_score, .. }) in boxes.into_iter().zip(decoded) {
            proposals.push(Proposal { detection, iou: best.iou, object_score, mask: best.mask, followed: None });
        }
        Ok(proposals)
    }
}
