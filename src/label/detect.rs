//! The stage of detections: boxes of a detector become objects, or name the class of an object that is there already.

use super::followed::Followed;
use super::identity::{iou, link};
use super::labeller::{LabelError, Labelled, Labeller, upscaled};
use super::record::Source;
use crate::engine::DetectedBox;
use crate::model::{self, DecodeOptions, Embedding};
use crate::pixels::{Mask, RunLengths};
use crate::prompt::Prompt;
use crate::video::Position;

/// A box with its mask, before it is an object.
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
            if !is_double && proposal.mask.area > 0 && proposal.iou >= self.settings.min_iou {
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

    /// Decodes the masks of boxes.
    fn propose<'a>(
        &mut self,
        at: Position,
        embedding: &Embedding,
        detections: &'a [DetectedBox],
    ) -> Result<Vec<Proposal<'a>>, LabelError> {
        let (width, height) = embedding.image_size();
        let mut boxes = Vec::new();
        for detection in detections {
            let prompt = Prompt { bbox: Some(detection.bbox), ..Prompt::default() };
            match prompt.check(width, height) {
                Ok(prompt) => boxes.push((detection, prompt)),
                Err(e) => self.remarks.push(format!("a detection of \"{}\": {e}", detection.class_id)),
            }
        }
        if boxes.is_empty() {
            return Ok(Vec::new());
        }
        let mut proposals = Vec::new();
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
        for ((detection, _), model::Decoded { best, object_score, .. }) in boxes.into_iter().zip(decoded) {
            proposals.push(Proposal { detection, iou: best.iou, object_score, mask: best.mask, followed: None });
        }
        Ok(proposals)
    }
}
