//! `segment` requests.

use std::sync::Arc;
use std::time::Instant;

use super::decoder::{CHUNK, Worker, bad_prompt, encoding_ms, unknown};
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{Objects, check_count, result_of};
use crate::engine::refusal::Refusal;
use crate::engine::request::{ObjectPrompt, Operation, Persistence};
use crate::engine::result::{FrameResult, Source};
use crate::model::Decoded;

impl Worker<'_> {
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
