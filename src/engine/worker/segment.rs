//! `segment` requests. Prompts are answered between two turns.

use std::sync::Arc;
use std::time::Instant;

use super::decoder::{MAX_OBJECTS_PER_TURN, Worker, bad_prompt, encoding_ms, unknown_object};
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{ObjectSet, check_count, object_result};
use crate::engine::persistence::Persistence;
use crate::engine::refusal::Refusal;
use crate::engine::request::{ObjectPrompt, Operation};
use crate::engine::result::{FrameResult, ResultSource};
use crate::model::Decoded;

impl Worker<'_> {
    /// Answers a `segment` request on a frame, without a change of the current objects.
    ///
    /// # Errors
    /// A prompt is not valid, or the model fails.
    pub(super) fn segment(
        &mut self,
        frame: &Arc<KeptFrame>,
        mut requested: Vec<ObjectPrompt>,
        all_candidates: bool,
        since: Instant,
    ) -> Result<FrameResult, Refusal> {
        if requested.is_empty() {
            return Err(bad_prompt("no objects: give at least one object with a point, a box or a mask".into()));
        }
        check_count(&requested)?;
        let (width, height) = frame.embedding.image_size();
        let mut objects = ObjectSet::default();
        let mut prompts = Vec::with_capacity(requested.len());
        for prompt in &mut requested {
            self.convert_mask(frame, prompt)?;
        }
        let ids = objects.apply(Operation::Set, requested, Persistence::Once, &frame.prompted())?;
        for id in &ids {
            let object = objects.get(*id).ok_or_else(|| unknown_object(*id))?;
            prompts.push(object.prompt.check(width, height).map_err(|e| bad_prompt(format!("object {id}: {e}")))?);
        }
        let mut results = Vec::with_capacity(ids.len());
        let mut total = encoding_ms(frame);
        for (turn, (ids, prompts)) in
            ids.chunks(MAX_OBJECTS_PER_TURN).zip(prompts.chunks(MAX_OBJECTS_PER_TURN)).enumerate()
        {
            if turn > 0 {
                self.answer_prompts();
            }
            let (decoded, ms) = self.decode(frame, prompts, all_candidates)?;
            total = total.plus_decoding(ms);
            for (id, mut decoded) in ids.iter().zip(decoded) {
                let Some(object) = objects.get(*id) else { continue };
                let others = std::mem::take(&mut decoded.others);
                let (ious, score) = (decoded.candidate_ious.clone(), decoded.object_score);
                results.push(Arc::new(object_result(object, &object.prompt, decoded)));
                for other in others {
                    let decoded =
                        Decoded { best: other, others: Vec::new(), candidate_ious: ious.clone(), object_score: score };
                    results.push(Arc::new(object_result(object, &object.prompt, decoded)));
                }
            }
        }
        total.total = self.shared.clock.ms_since(since);
        self.count(ResultSource::Segment, total, results.len());
        Ok(FrameResult {
            header: frame.header.clone(),
            source: ResultSource::Segment,
            image: Arc::clone(&frame.image),
            objects: results,
            corner: None,
            current: None,
            prompted: true,
            ms: total,
        })
    }
}
