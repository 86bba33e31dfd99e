//! Requests of operators. Each gets an answer: the object, a description, or the reason of a refusal.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::decoder::{Worker, bad_prompt, unknown_object};
use crate::engine::frame::Stamp;
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{object_result, update_previous_mask};
use crate::engine::persistence::Persistence;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::{Action, Answer, CandidateMask, FrameRef, Interaction, ObjectPrompt, Operation};
use crate::engine::result::StageMs;
use crate::model::{Candidate, Candidates, Decoded};
use crate::prompt::Prompt;

impl Worker<'_> {
    /// Performs the action of an operator. `frame`: frame of a prompt, or the newest frame for other actions.
    ///
    /// # Errors
    /// The action is refused, or the model fails.
    pub(super) fn operate(
        &mut self,
        action: Action,
        frame: Option<Arc<KeptFrame>>,
        since: Instant,
    ) -> Result<Answer, Refusal> {
        let done = |id: u32, description: String| Answer::Done { id, description };
        match action {
            Action::Prompt { at, object, persistence } => {
                let kept = self.objects.get(object.id).map(|object| object.persistence);
                let persistence = persistence.or(kept).unwrap_or_default();
                let ids = self.prompt(prompts(at, Operation::Add, *object, persistence), frame, since)?;
                Ok(done(ids.first().copied().unwrap_or_default(), "prompted".into()))
            }
            Action::Remove { id } => {
                let named = ObjectPrompt { id, ..ObjectPrompt::default() };
                self.prompt(prompts(FrameRef::Newest, Operation::Remove, named, Persistence::Hold), frame, since)?;
                Ok(done(id, format!("removed object {id}")))
            }
            Action::Clear => {
                self.clear(frame, since)?;
                Ok(done(0, "removed all objects".into()))
            }
            Action::Undo => Ok(self.undo(frame, since).map_or_else(Answer::Nothing, |text| done(0, text))),
            Action::Redo => Ok(self.redo(frame, since).map_or_else(Answer::Nothing, |text| done(0, text))),
            Action::Candidates { id } => self.candidates(id),
            Action::Choose { id, index } => self.choose(id, index, since),
            Action::Rename { id, class_id } => self.rename(id, class_id, frame, since),
            Action::Persist { id, persistence } => self.persist(id, persistence, frame, since),
        }
    }

    /// Counts a refusal, and sends the answer.
    pub(super) fn answer_operator(
        &self,
        reply: oneshot::Sender<Result<Answer, Refusal>>,
        answer: Result<Answer, Refusal>,
    ) {
        if let Err(refusal) = &answer {
            self.shared.lock().metrics.refuse(refusal.kind);
        }
        // The receiver may have been dropped.
        let _ = reply.send(answer);
    }

    /// Publishes the frame that an operator sees again, unless it is the newest frame, which was published already.
    pub(super) fn publish_shown(&mut self, shown: Option<Stamp>, since: Instant) {
        let frame = shown.and_then(|stamp| self.shared.lock().kept.at(stamp).cloned());
        let frame = frame.filter(|frame| !self.is_newest(frame));
        if let Err(refusal) = self.publish_again(frame, false, since) {
            self.refuse(refusal);
        }
    }

    /// Returns the frame on which an object was prompted last, and the input of the decoder there.
    fn prompted_frame(&self, id: u32) -> Result<(Arc<KeptFrame>, Prompt), Refusal> {
        let object = self.objects.get(id).ok_or_else(|| unknown_object(id))?;
        let frame = object.prompted_on.and_then(|number| self.shared.lock().kept.numbered(number).cloned());
        let frame = frame.ok_or_else(|| {
            let message = format!("the frame on which object {id} was prompted is gone: point at the object again");
            Refusal::new(RefusalKind::FrameGone, message)
        })?;
        let prompt = if object.memory.is_some() { &object.frame_prompt } else { &object.repeated_prompt };
        // A mask among the input decides which candidate is the best: without it the candidates are those of the clicks.
        let has_clicks = !prompt.points.is_empty() || prompt.bbox.is_some();
        let mask = prompt.mask.clone().filter(|_| !has_clicks);
        Ok((frame, Prompt { mask, ..prompt.clone() }))
    }

    /// Decodes all candidates of an object again.
    fn decode_candidates(&mut self, id: u32) -> Result<(Arc<KeptFrame>, Vec<Candidate>, Decoded, StageMs), Refusal> {
        let (frame, prompt) = self.prompted_frame(id)?;
        let (width, height) = frame.embedding.image_size();
        let prompt = prompt.check(width, height).map_err(|e| bad_prompt(format!("object {id}: {e}")))?;
        let (mut decoded, ms) = self.decode_among(Candidates::Multi, &frame, &[prompt], true)?;
        let Some(mut decoded) = decoded.pop() else { return Err(unknown_object(id)) };
        let mut all = std::mem::take(&mut decoded.others);
        all.push(decoded.best.clone());
        all.sort_by_key(|candidate| candidate.index);
        Ok((frame, all, decoded, ms))
    }

    fn candidates(&mut self, id: u32) -> Result<Answer, Refusal> {
        let (frame, all, ..) = self.decode_candidates(id)?;
        let current = self.results.on_frame(frame.number, &self.objects).into_iter().find(|result| result.id == id);
        let candidate = |candidate: Candidate| {
            let Candidate { index, iou, mask, .. } = candidate;
            let is_current = current.as_ref().is_some_and(|result| result.mask.cropped == mask.cropped);
            CandidateMask { index, iou, mask, is_current }
        };
        Ok(Answer::Candidates(all.into_iter().map(candidate).collect()))
    }

    /// Replaces the mask of an object with a candidate. Later frames and prompts start from the logits of the candidate.
    fn choose(&mut self, id: u32, index: usize, since: Instant) -> Result<Answer, Refusal> {
        let (frame, all, decoded, mut ms) = self.decode_candidates(id)?;
        let indices: Vec<usize> = all.iter().map(|candidate| candidate.index).collect();
        let Some(best) = all.into_iter().find(|candidate| candidate.index == index) else {
            return Err(bad_prompt(format!("object {id} has no candidate {index}; there are {indices:?}")));
        };
        let description = format!("the choice of the candidate with IoU {:.2}", best.iou);
        let object = self.objects.get(id).ok_or_else(|| unknown_object(id))?;
        if self.follows_by_memory(object) {
            // The tracker is conditioned on the mask.
            let prompt = Prompt { mask: Some(best.low_res), ..Prompt::default() };
            let object = ObjectPrompt { id, prompt, refine: true, ..ObjectPrompt::default() };
            let interaction = prompts(FrameRef::Newest, Operation::Add, object, Persistence::Track);
            self.prompt(interaction, Some(frame), since)?;
            return Ok(Answer::Done { id, description });
        }
        let mut objects = self.objects.clone();
        let Some(object) = objects.get_mut(id) else { return Err(unknown_object(id)) };
        let decoded = Decoded { best, ..decoded };
        object.repeated_prompt.mask = Some(decoded.best.low_res.clone());
        update_previous_mask(object, &decoded);
        let result = object_result(object, &object.prompt, decoded);
        self.results.remove_elsewhere(id, frame.number);
        self.results.keep(frame.number, result);
        self.history.record(description.clone(), &self.objects, &objects, &[id]);
        self.objects = objects;
        ms.total = self.shared.clock.ms_since(since);
        self.publish_answer(&frame, ms, true, 1, true);
        Ok(Answer::Done { id, description })
    }

    fn rename(
        &mut self,
        id: u32,
        class_id: String,
        newest: Option<Arc<KeptFrame>>,
        since: Instant,
    ) -> Result<Answer, Refusal> {
        let mut objects = self.objects.clone();
        let object = objects.get_mut(id).ok_or_else(|| unknown_object(id))?;
        let description = match class_id.as_str() {
            "" => format!("object {id} has no class"),
            class => format!("object {id} is a {class}"),
        };
        object.class_id.clone_from(&class_id);
        self.history.record(format!("the class of object {id}"), &self.objects, &objects, &[id]);
        self.objects = objects;
        self.results.rename(id, &class_id);
        self.publish_again(newest, true, since)?;
        Ok(Answer::Done { id, description })
    }

    /// Prompts an object again with another persistence, on the frame that was prompted last, or on the newest frame.
    fn persist(
        &mut self,
        id: u32,
        persistence: Persistence,
        newest: Option<Arc<KeptFrame>>,
        since: Instant,
    ) -> Result<Answer, Refusal> {
        let is_on_one_frame = self.objects.get(id).is_some_and(|o| o.persistence == Persistence::Once);
        let newest = newest.filter(|_| !is_on_one_frame);
        let prompted = self.prompted_frame(id).map(|(frame, _)| frame);
        let frame = prompted.or_else(|refusal| newest.ok_or(refusal))?;
        let object = ObjectPrompt { id, refine: true, ..ObjectPrompt::default() };
        self.prompt(prompts(FrameRef::Newest, Operation::Add, object, persistence), Some(frame), since)?;
        Ok(Answer::Done { id, description: format!("object {id}: {persistence}") })
    }
}

/// Returns a message about one object.
fn prompts(at: FrameRef, operation: Operation, object: ObjectPrompt, persistence: Persistence) -> Interaction {
    Interaction::Prompts { at, operation, objects: vec![object], persistence }
}
