//! The text thread of a camera.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug_span, info};

use super::control::{Change, TextControl, Turn};
use super::finder::{FoundObject, SearchLimits, SharedTextModel};
use crate::engine::kept::KeptFrame;
use crate::engine::{DetectedBox, Detections, Engine, FrameRef, Refusal, Stage};
use crate::node::config::TextConfig;
use crate::text::identity::Identities;
use crate::text::{Phrase, RefusedPhrase, Understood};

/// Source of the boxes, and what a refusal is a refusal of, in the log.
pub const INPUT: &str = "text";
/// Period at which a due search looks for a new frame, and changed parameters are noticed.
const POLL: Duration = Duration::from_millis(20);

/// What the text thread of a camera works with.
pub struct TextCamera<'a> {
    pub engine: &'a Engine,
    pub control: &'a TextControl,
    pub model: &'a SharedTextModel,
    /// Returns the current parameters.
    pub config: &'a dyn Fn() -> TextConfig,
    /// Logs a refusal, which is counted already.
    pub warn: &'a dyn Fn(&Refusal),
    /// Beginning of each line of the log.
    pub log_prefix: &'a str,
}

/// Works until the control is stopped.
pub fn run(camera: &TextCamera<'_>) {
    let mut worker =
        Worker { camera, phrases: Vec::new(), number: 0, first: None, last: None, names: Identities::default() };
    let thread = format!("{}the text thread", camera.log_prefix);
    while let Some(turn) = camera.control.next(worker.wait()) {
        camera.engine.guard(&thread, || worker.work(turn));
    }
    camera.engine.end_search();
}

struct Worker<'a> {
    camera: &'a TextCamera<'a>,
    /// Phrases that are searched for, and their number.
    phrases: Vec<Phrase>,
    number: u64,
    /// Frame of the first search for the phrases, and when they came; `None` after that search.
    first: Option<(FrameRef, Instant)>,
    /// Start of the last search, and the number of its frame.
    last: Option<(Instant, u64)>,
    names: Identities,
}

impl Worker<'_> {
    /// Returns how long the thread waits for new phrases before it looks for a frame; `None` for ever.
    fn wait(&self) -> Option<Duration> {
        (!self.phrases.is_empty()).then_some(POLL)
    }

    fn work(&mut self, turn: Turn) {
        match turn {
            Turn::Change(change, number) => self.understand(change, number),
            Turn::Search => {
                if let Some(frame) = self.due_frame() {
                    self.search(&frame);
                }
            }
        }
    }

    /// Prepares phrases. If all of them are refused, those before stay.
    fn understand(&mut self, change: Change, number: u64) {
        let Change { phrases, mut refused, at, since, reply } = change;
        self.number = number;
        let mut accepted = Vec::with_capacity(phrases.len());
        let mut finder = self.camera.model.finder.blocking_lock();
        for phrase in phrases {
            match finder.understand(&phrase) {
                Ok(()) => accepted.push(phrase),
                Err(refusal) => {
                    self.refuse_phrase(&refusal);
                    refused.push(RefusedPhrase { text: phrase.text, reason: refusal.message });
                }
            }
        }
        drop(finder);
        let understood = Understood { accepted, refused };
        if !understood.accepted.is_empty() || understood.refused.is_empty() {
            info!("{}text: {understood}", self.camera.log_prefix);
            self.phrases.clone_from(&understood.accepted);
            self.first = (!self.phrases.is_empty()).then_some((at, since));
            self.names.keep_classes(|class| self.phrases.iter().any(|phrase| phrase.class_id == class));
            self.camera.control.set_searched(&self.phrases);
        }
        if self.phrases.is_empty() {
            self.camera.engine.end_search();
        }
        // The client may be gone.
        let _ = reply.send(Ok(understood));
    }

    /// Returns the frame of the next search, if a search is due and there is such a frame.
    fn due_frame(&mut self) -> Option<Arc<KeptFrame>> {
        let engine = self.camera.engine;
        if let Some((FrameRef::At(stamp), since)) = self.first {
            match engine.find_frame(FrameRef::At(stamp), since) {
                Ok(frame) => return frame,
                Err(refusal) => {
                    // The next search is that of the newest frame.
                    self.first = Some((FrameRef::Newest, since));
                    engine.count_text(|counts| counts.frames_gone += 1);
                    self.refuse(&refusal);
                }
            }
        }
        let is_first = self.first.is_some();
        let is_due = match ((self.camera.config)().period, self.last) {
            _ if is_first => true,
            (Some(period), Some((started, _))) => started.elapsed() >= period,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if !is_due {
            engine.end_search();
            return None;
        }
        // New phrases are searched for on a frame that was searched for others, too.
        engine.frame_to_search(self.last.map(|(_, number)| number).filter(|_| !is_first))
    }

    /// Searches a frame, and hands the objects to the engine.
    fn search(&mut self, frame: &Arc<KeptFrame>) {
        let _span = debug_span!("text", stamp = %frame.header.stamp).entered();
        let TextCamera { engine, control, model, config, .. } = *self.camera;
        let config = config();
        let mut finder = model.finder.blocking_lock();
        // Another camera may have used the model in the meantime.
        if !control.is_current(self.number) {
            return;
        }
        let started = Instant::now();
        self.first = None;
        self.last = Some((started, frame.number));
        let limits = SearchLimits { min_score: config.min_score, max_objects: config.max_objects };
        let found = finder.find(&frame.image, &self.phrases, limits);
        drop(finder);
        let ms = started.elapsed().as_secs_f32() * 1e3;
        engine.record(Stage::TextSearch, ms);
        engine.count_text(|counts| {
            counts.searches += 1;
            counts.last_ms = ms;
        });
        match found {
            Err(refusal) => self.refuse(&Refusal::new(refusal.kind, format!("the text model: {}", refusal.message))),
            Ok(_) if !control.is_current(self.number) => engine.count_text(|counts| counts.superseded += 1),
            Ok(found) => {
                let boxes = self.detected(found);
                engine.count_text(|counts| counts.boxes += boxes.len() as u64);
                let detections = Detections { source: INPUT, at: FrameRef::At(frame.header.stamp), boxes };
                if let Err(refusal) = engine.detections_on(Arc::clone(frame), detections) {
                    (self.camera.warn)(&refusal);
                }
            }
        }
    }

    /// Returns the objects as those of a detector, with names that stay from one search to the next.
    fn detected(&mut self, found: Vec<FoundObject>) -> Vec<DetectedBox> {
        let class = |found: &FoundObject| self.phrases.get(found.phrase).map(|phrase| phrase.class_id.clone());
        let found: Vec<_> = found.into_iter().filter_map(|found| Some((class(&found)?, found))).collect();
        let boxes: Vec<_> = found.iter().map(|(class, found)| (class.clone(), found.bbox)).collect();
        let names = self.names.names(&boxes);
        let named = found.into_iter().zip(names);
        named
            .map(|((class_id, FoundObject { bbox, score, mask, .. }), tag)| DetectedBox {
                bbox,
                mask,
                class_id,
                tag,
                score: Some(score.into()),
            })
            .collect()
    }

    fn refuse_phrase(&self, refusal: &Refusal) {
        self.camera.engine.count_text(|counts| counts.refused += 1);
        self.refuse(refusal);
    }

    fn refuse(&self, refusal: &Refusal) {
        self.camera.engine.count_refusal(refusal.kind);
        (self.camera.warn)(refusal);
    }
}
