//! Questions that touch no current object: a detector's boxes, and `segment`. Clicks are answered in between.

use std::sync::Arc;
use std::time::Instant;

use super::command::{
    DetectedBox, Detections, FrameResult, ObjectPrompt, ObjectResult, Operation, Persistence, Refusal, RefusalKind,
    Source,
};
use super::decode::{CHUNK, Worker, bad_prompt, encoding_ms, unknown};
use super::kept::KeptFrame;
use super::objects::{MAX_OBJECT_ID, Objects, check_count};
use super::results::{result_from, result_of};
use crate::model::Decoded;
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

    pub(super) fn segment(
        &mut self,
        frame: &Arc<KeptFrame>,
        asked: Vec<ObjectPrompt>,
        all_candidates: bool,
        since: Instant,
    ) -> Result<FrameResult, Refusal> {
        if asked.is_empty() {
            return Err(bad_prompt("no objects: give at least one object with a point, a box or a mask".into()));
        }
        check_count(&asked)?;
        let (width, height) = frame.embedding.image_size();
        let mut objects = Objects::default();
        let mut prompts = Vec::with_capacity(asked.len());
        let mut asked = asked;
        for p in &mut asked {
            self.bring_mask_to_low_res(frame, p)?;
        }
        let ids = objects.apply(Operation::Set, asked, Persistence::Once, &frame.prompted())?;
        for id in &ids {
            let object = objects.get(*id).ok_or_else(|| unknown(*id))?;
            prompts.push(object.prompt.check(width, height).map_err(|e| bad_prompt(format!("object {id}: {e}")))?);
        }
        let mut results = Vec::with_capacity(ids.len());
        let mut total = encoding_ms(frame);
        for (turn, (ids, prompts)) in ids.chunks(CHUNK).zip(prompts.chunks(CHUNK)).enumerate() {
            if turn > 0 {
                self.answer_clicks();
            }
            let (decoded, ms) = self.decode(frame, prompts, all_candidates)?;
            total = total.then(ms);
            for (id, mut decoded) in ids.iter().zip(decoded) {
                let Some(object) = objects.get(*id) else { continue };
                let others = std::mem::take(&mut decoded.others);
                let (ious, score) = (decoded.candidate_ious.clone(), decoded.object_score);
                results.push(Arc::new(result_of(object, &object.prompt, decoded)));
                for other in others {
                    let decoded =
                        Decoded { best: other, others: Vec::new(), candidate_ious: ious.clone(), object_score: score };
                    results.push(Arc::new(result_of(object, &object.prompt, decoded)));
                }
            }
        }
        total.total = self.shared.clock.ms_since(since);
        self.count(Source::Question, total, results.len());
        Ok(FrameResult {
            header: frame.header.clone(),
            source: Source::Question,
            image: Arc::clone(&frame.image),
            objects: results,
            corner: None,
            prompted: true,
            ms: total,
        })
    }
}
