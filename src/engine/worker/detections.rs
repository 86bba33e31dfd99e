//! Boxes and masks of detectors. Prompts are answered between two turns.

use std::sync::Arc;
use std::time::Instant;

use super::decoder::{MAX_OBJECTS_PER_TURN, Worker, bad_prompt};
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{MAX_OBJECT_ID, unnamed_result};
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::{DetectedBox, Detections};
use crate::engine::result::{ObjectResult, ResultSource, StageMs};
use crate::model::Decoded;
use crate::prompt::Prompt;

/// First id of detectors' boxes, above the ids of most prompted objects.
const FIRST_DETECTION_ID: u32 = 1001;

impl Worker<'_> {
    /// Decodes the boxes of a detector on a frame, and publishes their masks, or those that the detector made itself, with the
    /// objects of the frame.
    pub(super) fn detect(&mut self, frame: &Arc<KeptFrame>, detections: Detections, since: Instant) {
        let source = ResultSource::Detector(detections.source);
        let mut accepted: Vec<(DetectedBox, Prompt)> = Vec::new();
        for item in detections.boxes {
            match checked_prompt(&item, frame.embedding.image_size()) {
                Ok(checked) => accepted.push((item, checked)),
                Err(e) => self.refuse(bad_prompt(format!("detection: {e}"))),
            }
        }
        let (due_count, mut total) = match self.decode_all_due(frame, false) {
            Ok(decoded) => decoded,
            Err(refusal) => return self.refuse(refusal),
        };
        let mut results = Vec::with_capacity(accepted.len());
        for (turn, chunk) in accepted.chunks_mut(MAX_OBJECTS_PER_TURN).enumerate() {
            if turn > 0 || due_count > 0 {
                self.answer_prompts();
            }
            let (masks, ms) = match self.masks(frame, chunk) {
                Ok(masks) => masks,
                Err(refusal) => return self.refuse(refusal),
            };
            for ((item, prompt), decoded) in chunk.iter().zip(masks) {
                let (class_id, tag) = (item.class_id.clone(), item.tag.clone());
                let detection_score = item.score;
                results.push(ObjectResult { class_id, tag, detection_score, ..unnamed_result(prompt, decoded) });
            }
            total = total.plus_decoding(ms);
        }
        // The boxes get their ids after the last turn: a prompt between two turns may have added an object of any id.
        self.results.remove_detections(frame.number, detections.source);
        let count = results.len();
        let free = (FIRST_DETECTION_ID..=MAX_OBJECT_ID).chain(1..FIRST_DETECTION_ID);
        let is_free = |id: &u32| !self.objects.contains(*id) && !self.results.contains(frame.number, *id);
        let ids: Vec<u32> = free.filter(is_free).take(count).collect();
        if ids.len() < count {
            let message = format!("{} of {count} detections: all object numbers are taken", count - ids.len());
            self.refuse(Refusal::new(RefusalKind::TooManyObjects, message));
        }
        for (id, result) in ids.into_iter().zip(results) {
            self.results.keep_detection(frame.number, detections.source, ObjectResult { id, ..result });
        }
        total.total = self.shared.clock.ms_since(since);
        self.publish(frame, source, total, true, due_count + count);
    }

    /// Returns the masks of detections, in their order: those of the detector itself, which are taken, and masks that are decoded
    /// from the boxes of the others.
    fn masks(
        &mut self,
        frame: &KeptFrame,
        detections: &mut [(DetectedBox, Prompt)],
    ) -> Result<(Vec<Decoded>, StageMs), Refusal> {
        let boxes = detections.iter().filter(|(item, _)| item.mask.is_none());
        let prompts: Vec<Prompt> = boxes.map(|(_, prompt)| prompt.clone()).collect();
        let (decoded, ms) = self.decode(frame, &prompts, false)?;
        let mut decoded = decoded.into_iter();
        let masks = detections.iter_mut().filter_map(|(item, _)| item.mask.take().or_else(|| decoded.next()));
        Ok((masks.collect(), ms))
    }
}

/// Returns the box of a detection as a prompt. With a mask of its own the box is only shown, and a box without area is left out.
///
/// # Errors
/// The box is not valid and there is no mask, or the mask has another size than the image.
fn checked_prompt(item: &DetectedBox, (width, height): (u32, u32)) -> Result<Prompt, String> {
    let prompt = Prompt { bbox: Some(item.bbox), ..Prompt::default() }.check(width, height);
    match item.mask.as_ref().map(|mask| (mask.best.mask.width, mask.best.mask.height)) {
        None => prompt.map_err(|e| e.to_string()),
        Some(size) if size == (width, height) => Ok(prompt.unwrap_or_default()),
        Some((w, h)) => Err(format!("a mask of {w}x{h} pixels, the image is {width}x{height}")),
    }
}
