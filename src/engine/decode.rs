//! The decoder's thread: prompts in, masks out. It owns the objects.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tracing::debug_span;

use super::command::{
    DetectedBox, Detections, Event, FrameResult, Interaction, ObjectPrompt, ObjectResult, Operation, Persistence,
    Refusal, RefusalKind, StageMs,
};
use super::kept::KeptFrame;
use super::objects::{Object, Objects};
use super::results::{RecentResults, lost, remember, result_from, result_of};
use super::schedule::{Work, next, next_interaction};
use super::state::Shared;
use super::{Decode, EventSink, Session, Settings, feedback};
use crate::model::{DecodeOptions, Decoded};
use crate::prompt::Prompt;

/// Objects decoded in one go. Clicks are answered between two chunks of a large detection message.
const CHUNK: usize = 32;

/// While a prompt waits for a frame that never comes, how often its timeout is looked at.
const PATIENCE: Duration = Duration::from_millis(20);

/// Ids of a detector's boxes start above the ids that clicks get.
const FIRST_DETECTION_ID: u32 = 1001;

pub(super) struct Worker<'a> {
    shared: &'a Shared,
    decoder: &'a Session<dyn Decode>,
    /// Side of the square of low-resolution logits.
    low_res_side: usize,
    mask_threshold: f32,
    events: &'a EventSink,
    settings: Settings,
    objects: Objects,
    results: RecentResults,
}

pub(super) fn run(shared: &Shared, decoder: &Session<dyn Decode>, events: &EventSink) {
    let settings = shared.lock().settings.clone();
    let (low_res_side, mask_threshold) = {
        let decoder = decoder.blocking_lock();
        (decoder.low_res_side(), decoder.mask_threshold())
    };
    let (objects, results) = (Objects::default(), RecentResults::default());
    let mut worker = Worker { shared, decoder, low_res_side, mask_threshold, events, settings, objects, results };
    loop {
        let work = worker.wait();
        if matches!(work, Work::Stop) {
            return;
        }
        worker.work(work);
    }
}

impl Worker<'_> {
    fn wait(&mut self) -> Work {
        let mut state = self.shared.lock();
        loop {
            if state.stop {
                return Work::Stop;
            }
            let encoder_had_work = state.wanted.len();
            let work = next(&mut state);
            if state.wanted.len() > encoder_had_work {
                self.shared.encode.notify_all();
            }
            if let Some(work) = work {
                self.settings.clone_from(&state.settings);
                return work;
            }
            state = if state.interactions.is_empty() && state.batches.is_empty() {
                self.shared.decode.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.shared.decode.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }

    fn work(&mut self, work: Work) {
        match work {
            Work::Interaction(what, frame, since) => {
                let _span = debug_span!("prompt").entered();
                if let Err(refusal) = self.interact(what, frame, since) {
                    self.refuse(refusal);
                }
            }
            Work::Detections(frame, detections, since) => {
                let _span = debug_span!("detections", boxes = detections.boxes.len()).entered();
                self.detect(&frame, detections, since);
            }
            Work::Segment(frame, segment, since) => {
                let _span = debug_span!("segment").entered();
                let result = self.segment(&frame, segment.objects, segment.all_candidates, since);
                if let Err(refusal) = &result {
                    self.shared.lock().metrics.refuse(refusal.kind);
                }
                // Whoever asked may be gone by now.
                let _ = segment.reply.send(result);
            }
            Work::Fresh(frame) => {
                let _span = debug_span!("frame").entered();
                self.decode_current(&frame);
            }
            Work::Refused(refusal, None) => self.refuse(refusal),
            Work::Refused(refusal, Some(segment)) => {
                self.shared.lock().metrics.refuse(refusal.kind);
                let _ = segment.reply.send(Err(refusal));
            }
            Work::Stop => {}
        }
    }

    fn refuse(&self, refusal: Refusal) {
        self.shared.lock().metrics.refuse(refusal.kind);
        (self.events)(Event::Refused(refusal));
    }

    fn interact(&mut self, what: Interaction, frame: Option<Arc<KeptFrame>>, since: Instant) -> Result<(), Refusal> {
        let mut objects = self.objects.clone();
        let changed = match what {
            // It is another one by now.
            Interaction::Later(_) => return Ok(()),
            Interaction::NewObject => {
                self.objects.new_object();
                return Ok(());
            }
            Interaction::Clear => {
                self.results.clear();
                objects.clear();
                Vec::new()
            }
            Interaction::Click { point, persistence, .. } => vec![objects.click(point, persistence)],
            Interaction::Region { bbox, persistence, .. } => vec![objects.region(bbox, persistence)],
            Interaction::Prompts { operation, objects: mut asked, persistence, .. } => {
                if let (Some(frame), Operation::Set | Operation::Add) = (&frame, operation) {
                    for p in &mut asked {
                        self.bring_mask_to_low_res(frame, p)?;
                    }
                }
                if operation == Operation::Clear {
                    self.results.clear();
                }
                objects.apply(operation, asked, persistence)?
            }
        };
        let Some(frame) = frame else {
            self.objects = objects;
            return Ok(());
        };
        let (width, height) = frame.embedding.image_size();
        let mut prompts = Vec::with_capacity(changed.len());
        for id in &changed {
            let object = objects.get_mut(*id).ok_or_else(|| unknown(*id))?;
            let refined = object.refined();
            let checked =
                refined.check(width, height).map_err(|e| Refusal::new(RefusalKind::BadPrompt, e.to_string()))?;
            object.prompt.points.clone_from(&checked.points);
            object.prompt.bbox = checked.bbox;
            object.held.clone_from(&checked);
            prompts.push(checked);
        }
        let mut ids = changed.clone();
        for (id, prompt) in held_elsewhere(&objects, &self.results, &frame) {
            if !changed.contains(&id) {
                ids.push(id);
                prompts.push(prompt);
            }
        }
        let (decoded, mut ms) = self.decode(&frame, &prompts, false)?;
        for (i, (id, decoded)) in ids.iter().zip(decoded).enumerate() {
            let Some(object) = objects.get_mut(*id) else { continue };
            if i < changed.len() {
                remember(object, &decoded);
            }
            let result = result_of(object, &object.prompt, decoded);
            self.results.keep(frame.header.stamp, result);
        }
        self.objects = objects;
        ms.total = since.elapsed().as_secs_f32() * 1e3;
        self.publish(&frame, ms, true, changed.len());
        let mut state = self.shared.lock();
        if state.fresh.as_ref().is_some_and(|f| f.header.stamp == frame.header.stamp) && !self.tracks() {
            state.fresh = None;
        }
        Ok(())
    }

    fn tracks(&self) -> bool {
        self.objects.iter().any(|o| o.persistence == Persistence::Track)
    }

    /// The objects that live on, on a new frame of the camera.
    fn decode_current(&mut self, frame: &Arc<KeptFrame>) {
        let (width, height) = frame.embedding.image_size();
        let mut due = held_elsewhere(&self.objects, &self.results, frame);
        for object in self.objects.iter().filter(|o| o.persistence == Persistence::Track) {
            if !self.results.contains(frame.header.stamp, object.id) {
                let follow = feedback::follow(object, &frame.embedding.geometry, self.mask_threshold);
                due.extend(follow.and_then(|p| p.check(width, height).ok()).map(|prompt| (object.id, prompt)));
            }
        }
        let (ids, prompts): (Vec<u32>, Vec<Prompt>) = due.into_iter().unzip();
        let (decoded, mut ms) = match self.decode(frame, &prompts, false) {
            Ok(done) => done,
            Err(refusal) => return self.refuse(refusal),
        };
        for ((id, prompt), decoded) in ids.iter().zip(&prompts).zip(decoded) {
            let Some(object) = self.objects.get_mut(*id) else { continue };
            if object.persistence == Persistence::Track {
                let lost = lost(object, &decoded, &self.settings);
                if lost.is_some() != object.lost {
                    object.lost = lost.is_some();
                    let reason = lost.clone().unwrap_or_default();
                    (self.events)(Event::Tracking { id: *id, lost: object.lost, reason });
                }
                if lost.is_some() {
                    continue;
                }
                remember(object, &decoded);
            }
            let shown = if object.persistence == Persistence::Track { prompt } else { &object.prompt };
            let result = result_of(object, shown, decoded);
            self.results.keep(frame.header.stamp, result);
        }
        ms.total = frame.age_ms + ms.decode + ms.postprocess;
        self.publish(frame, ms, !ids.is_empty(), ids.len());
    }

    fn detect(&mut self, frame: &Arc<KeptFrame>, detections: Detections, since: Instant) {
        let (width, height) = frame.embedding.image_size();
        let mut accepted: Vec<(DetectedBox, Prompt)> = Vec::new();
        for item in detections.boxes {
            let prompt = Prompt { bbox: Some(item.bbox), ..Prompt::default() };
            match prompt.check(width, height) {
                Ok(checked) => accepted.push((item, checked)),
                Err(e) => self.refuse(Refusal::new(RefusalKind::BadPrompt, format!("detection: {e}"))),
            }
        }
        self.results.drop_detections(frame.header.stamp);
        let (ids, held): (Vec<u32>, Vec<Prompt>) =
            held_elsewhere(&self.objects, &self.results, frame).into_iter().unzip();
        match self.decode(frame, &held, false) {
            Ok((decoded, _)) => {
                for (id, decoded) in ids.iter().zip(decoded) {
                    let Some(object) = self.objects.get(*id) else { continue };
                    let result = result_of(object, &object.prompt, decoded);
                    self.results.keep(frame.header.stamp, result);
                }
            }
            Err(refusal) => return self.refuse(refusal),
        }
        let first = FIRST_DETECTION_ID.max(self.objects.max_id() + 1);
        let mut total = StageMs::default();
        for (i, chunk) in accepted.chunks(CHUNK).enumerate() {
            let prompts: Vec<Prompt> = chunk.iter().map(|(_, p)| p.clone()).collect();
            let (decoded, ms) = match self.decode(frame, &prompts, false) {
                Ok(done) => done,
                Err(refusal) => return self.refuse(refusal),
            };
            for (j, ((item, prompt), decoded)) in chunk.iter().zip(decoded).enumerate() {
                let id = first + (i * CHUNK + j) as u32;
                let result = ObjectResult {
                    id,
                    class_id: item.class_id.clone(),
                    tag: item.tag.clone(),
                    ..result_from(prompt, decoded)
                };
                self.results.keep_detection(frame.header.stamp, result);
            }
            total = total.then(ms);
            self.answer_clicks();
        }
        total.total = since.elapsed().as_secs_f32() * 1e3;
        self.publish(frame, total, true, accepted.len());
    }

    /// Between two chunks of a long batch: prompts of people that have become due.
    fn answer_clicks(&mut self) {
        loop {
            let work = next_interaction(&mut self.shared.lock());
            self.shared.encode.notify_all();
            match work {
                Some(work) => self.work(work),
                None => return,
            }
        }
    }

    fn segment(
        &mut self,
        frame: &Arc<KeptFrame>,
        asked: Vec<ObjectPrompt>,
        all_candidates: bool,
        since: Instant,
    ) -> Result<FrameResult, Refusal> {
        let bad = |message: String| Refusal::new(RefusalKind::BadPrompt, message);
        if asked.is_empty() {
            return Err(bad("no objects: give at least one object with a point, a box or a mask".into()));
        }
        let (width, height) = frame.embedding.image_size();
        let mut objects = Objects::default();
        let mut prompts = Vec::with_capacity(asked.len());
        let mut asked = asked;
        for p in &mut asked {
            self.bring_mask_to_low_res(frame, p)?;
        }
        let ids = objects.apply(Operation::Set, asked, Persistence::Once)?;
        for id in &ids {
            let object = objects.get(*id).ok_or_else(|| unknown(*id))?;
            prompts.push(object.prompt.check(width, height).map_err(|e| bad(format!("object {id}: {e}")))?);
        }
        let mut results = Vec::with_capacity(ids.len());
        let mut total = StageMs::default();
        for (ids, prompts) in ids.chunks(CHUNK).zip(prompts.chunks(CHUNK)) {
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
            self.answer_clicks();
        }
        total.total = since.elapsed().as_secs_f32() * 1e3;
        self.shared.lock().metrics.result(total, results.len());
        Ok(FrameResult {
            header: frame.header.clone(),
            image: Arc::clone(&frame.image),
            objects: results,
            prompted: true,
            ms: total,
        })
    }

    fn bring_mask_to_low_res(&self, frame: &KeptFrame, asked: &mut ObjectPrompt) -> Result<(), Refusal> {
        if let Some(mask) = asked.mask.take() {
            asked.prompt.mask = Some(feedback::low_res(&mask, &frame.embedding.geometry, self.low_res_side)?);
        }
        Ok(())
    }

    fn decode(&mut self, frame: &KeptFrame, prompts: &[Prompt], all: bool) -> Result<(Vec<Decoded>, StageMs), Refusal> {
        let encoded = &frame.embedding.timings;
        let mut ms =
            StageMs { preprocess: encoded.preprocess_ms as f32, encode: encoded.run_ms as f32, ..StageMs::default() };
        let options = DecodeOptions {
            candidates: self.settings.candidates,
            all_masks: all,
            logits: false,
            stability_offset: self.settings.stability_offset,
        };
        let mut objects = Vec::with_capacity(prompts.len());
        for chunk in prompts.chunks(CHUNK) {
            // One chunk is one turn: a click on another camera goes between two chunks of this one.
            let mut decoder = self.decoder.blocking_lock();
            // As in the encoder: a panic loses this prompt, not the node.
            let decoded = catch_unwind(AssertUnwindSafe(|| decoder.decode(&frame.embedding, chunk, &options)))
                .unwrap_or_else(|_| Err("the mask decoder panicked".into()))
                .map_err(|e| Refusal::new(RefusalKind::ModelFailed, e))?;
            ms.decode += decoded.timings.run_ms as f32;
            ms.postprocess += decoded.timings.postprocess_ms as f32;
            objects.extend(decoded.objects);
        }
        Ok((objects, ms))
    }

    /// Hands out everything that is known about a frame now.
    fn publish(&mut self, frame: &KeptFrame, ms: StageMs, prompted: bool, masks: usize) {
        let objects = self.results.of(frame.header.stamp, &self.objects);
        self.shared.lock().metrics.result(ms, masks);
        let (header, image) = (frame.header.clone(), Arc::clone(&frame.image));
        (self.events)(Event::Result(FrameResult { header, image, objects, prompted, ms }));
    }
}

/// Objects that live on every frame but were not decoded on this one yet: they belong into any answer on it.
fn held_elsewhere(objects: &Objects, results: &RecentResults, frame: &KeptFrame) -> Vec<(u32, Prompt)> {
    let (width, height) = frame.embedding.image_size();
    let missing = |o: &&Object| o.persistence == Persistence::Hold && !results.contains(frame.header.stamp, o.id);
    // A prompt that does not fit a camera that changed its size is silent here: it was said when it came.
    let checked = |o: &Object| o.held.check(width, height).ok().map(|prompt| (o.id, prompt));
    objects.iter().filter(missing).filter_map(checked).collect()
}

fn unknown(id: u32) -> Refusal {
    Refusal::new(RefusalKind::UnknownObject, format!("there is no object {id}"))
}
