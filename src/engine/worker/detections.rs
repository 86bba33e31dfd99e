//! Questions that touch no current object: a detector's boxes, and `segment`. Clicks are answered in between.

use std::sync::Arc;
use std::time::Instant;

use super::decoder::{CHUNK, Worker, bad_prompt};
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{MAX_OBJECT_ID, result_from};
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::{DetectedBox, Detections};
use crate::engine::result::{ObjectResult, Source};
use crate::prompt::Prompt;

/// Ids of a detector's boxes start above the ids that clicks get.
const FIRST_DETECTION_ID: u32 = 1001;

impl Worker<'_> {
    pub(super) fn detect(&mut self, frame: &Arc<KeptFrame>, detections: Detections, since: Instant) {
        let source = Source::Detector(detections.source);
        let (width, height) = frame.embedding.image_size();
        let mut accepted: Vec<(DetectedBox, Prompt)> = Vec::new();
        for item in detections.boxes {
            let prompt = Prompt { bbox: Some(item.bbox), ..Prompt::default() };
            match prompt.check(width, height) {
                Ok(checked) => accepted.push((item, checked)),
                Err(e) => self.refuse(bad_prompt(format!("detection: {e}"))),
            }
        }
        let (caught_up, mut total) = match self.catch_up(frame, false) {
            Ok(caught_up) => caught_up,
            Err(refusal) => return self.refuse(refusal),
        };
        let mut found = Vec::with_capacity(accepted.len());
        for (turn, chunk) in accepted.chunks(CHUNK).enumerate() {
            if turn > 0 || caught_up > 0 {
                self.answer_clicks();
            }
            let prompts: Vec<Prompt> = chunk.iter().map(|(_, p)| p.clone()).collect();
            let (decoded, ms) = match self.decode(frame, &prompts, false) {
                Ok(done) => done,
                Err(refusal) => return self.refuse(refusal),
            };
            for ((item, prompt), decoded) in chunk.iter().zip(decoded) {
                let (class_id, tag) = (item.class_id.clone(), item.tag.clone());
                let detection_score = item.score;
                found.push(ObjectResult { class_id, tag, detection_score, ..result_from(prompt, decoded) });
            }
            total = total.then(ms);
        }
        // All at once, and numbered now: a click in between may have come with an object of any number.
        self.results.drop_detections(frame.number, detections.source);
        let count = found.len();
        let free = (FIRST_DETECTION_ID..=MAX_OBJECT_ID).chain(1..FIRST_DETECTION_ID);
        let is_free = |id: &u32| !self.objects.contains(*id) && !self.results.contains(frame.number, *id);
        let ids: Vec<u32> = free.filter(is_free).take(count).collect();
        if ids.len() < count {
            let message = format!("{} of {count} detections: all object numbers are taken", count - ids.len());
            self.refuse(Refusal::new(RefusalKind::TooManyObjects, message));
        }
        for (id, result) in ids.into_iter().zip(found) {
            self.results.keep_detection(frame.number, detections.source, ObjectResult { id, ..result });
        }
        total.total = self.shared.clock.ms_since(since);
        self.publish(frame, source, total, true, caught_up + count);
    }
}
