//! Boxes of detectors. Prompts are answered between two turns.

use std::sync::Arc;
use std::time::Instant;

use super::decoder::{MAX_OBJECTS_PER_TURN, Worker, bad_prompt};
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{MAX_OBJECT_ID, unnamed_result};
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::{DetectedBox, Detections};
use crate::engine::result::{ObjectResult, ResultSource};
use crate::prompt::Prompt;

/// First id of detectors' boxes, above the ids of most prompted objects.
const FIRST_DETECTION_ID: u32 = 1001;

impl Worker<'_> {
    /// Decodes the boxes of a detector on a frame, and publishes them with the objects of the frame.
    pub(super) fn detect(&mut self, frame: &Arc<KeptFrame>, detections: Detections, since: Instant) {
        let source = ResultSource::Detector(detections.source);
        let (width, height) = frame.embedding.image_size();
        let mut accepted: Vec<(DetectedBox, Prompt)> = Vec::new();
        for item in detections.boxes {
            let prompt = Prompt { bbox: Some(item.bbox), ..Prompt::default() };
            match prompt.check(width, height) {
                Ok(checked) => accepted.push((item, checked)),
                Err(e) => self.refuse(bad_prompt(format!("detection: {e}"))),
            }
        }
        let (due_count, mut total) = match self.decode_all_due(frame, false) {
            Ok(decoded) => decoded,
            Err(refusal) => return self.refuse(refusal),
        };
        let mut results = Vec::with_capacity(accepted.len());
        for (turn, chunk) in accepted.chunks(MAX_OBJECTS_PER_TURN).enumerate() {
            if turn > 0 || due_count > 0 {
                self.answer_prompts();
            }
            let prompts: Vec<Prompt> = chunk.iter().map(|(_, p)| p.clone()).collect();
            let (decoded, ms) = match self.decode(frame, &prompts, false) {
                Ok(decoded) => decoded,
                Err(refusal) => return self.refuse(refusal),
            };
            for ((item, prompt), decoded) in chunk.iter().zip(decoded) {
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
}
