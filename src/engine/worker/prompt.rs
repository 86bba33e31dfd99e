//! What people and programs do to the current objects: point, take back, start anew, clear.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::decoder::{CHUNK, Worker, bad_prompt, unknown};
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{self, Corner, Objects, check_count, remember, result_of};
use crate::engine::refusal::Refusal;
use crate::engine::request::{ClickMode, Interaction, ObjectPrompt, Operation, Persistence};
use crate::engine::result::Event;
use crate::pixels::MaskInput;
use crate::prompt::{BoxPrompt, Label, LowResLogits, Point, Prompt};

/// A box of two clicks is at least this long and wide, in pixels.
const LEAST_BOX: f32 = 1.0;

/// What a prompt did to the objects.
enum Done {
    /// These must be decoded again; the words are for whoever takes it back.
    Prompted(Vec<u32>, String),
    /// First corner of a box. No object changed.
    Corner,
}

impl Worker<'_> {
    /// A prompt for some objects. It is kept once the decoder accepted it: a bad one costs nothing that was there.
    pub(super) fn prompt(
        &mut self,
        what: Interaction,
        frame: Option<Arc<KeptFrame>>,
        since: Instant,
    ) -> Result<(), Refusal> {
        // Here too: where prompts answer every frame, none is left for `decode_current`.
        self.forget_passed();
        let Some(frame) = frame else {
            // Only a REMOVE comes before the first image.
            return match what {
                Interaction::Prompts { objects: asked, .. } => self.objects.remove(&asked),
                _ => Ok(()),
            };
        };
        self.scale_prompts(&frame);
        let mut objects = self.objects.clone();
        let done = self.change(&mut objects, what, &frame)?;
        objects.check()?;
        let (changed, undo) = match done {
            Done::Prompted(changed, what) => (changed, Some(what)),
            Done::Corner => (Vec::new(), None),
        };
        let (width, height) = frame.embedding.image_size();
        let mut prompts = Vec::with_capacity(changed.len());
        let (mut followed, mut decoded_alone, mut others_are_old) = (Vec::new(), Vec::new(), Vec::new());
        for id in &changed {
            let object = objects.get_mut(*id).ok_or_else(|| unknown(*id))?;
            let checked = object.refined().check(width, height).map_err(|e| bad_prompt(e.to_string()))?;
            object.prompt.points.clone_from(&checked.points);
            object.prompt.bbox = checked.bbox;
            object.held.clone_from(&checked);
            // What was tracked on other frames is still the same thing, unless the object is another.
            if object.prompted_on.is_none() || object.persistence != Persistence::Track {
                others_are_old.push(*id);
            }
            object.prompted_on = Some(frame.number);
            if self.follows(object) {
                followed.push(*id);
            } else {
                object.memory = None;
                decoded_alone.push(*id);
                prompts.push(checked);
            }
        }
        self.say_how_objects_are_followed(&objects, &changed);
        // The others fill up the last turn of these; what does not fit follows, so that nobody waits for it.
        let mut due = self.due(&frame, false);
        let is_changed: HashSet<u32> = changed.iter().copied().collect();
        due.retain(|id| !is_changed.contains(id) && objects.contains(*id));
        let (due_later, mut due) = self.split(&due);
        let room = prompts.len().max(1).next_multiple_of(CHUNK) - prompts.len();
        let is_whole = due.len() <= room && due_later.is_empty();
        due.truncate(room);
        let due = self.prompts_of(&due, &frame, false);
        prompts.extend(due.prompts());
        let count = changed.len() + due.count();
        let (mut decoded, mut ms) = self.decode(&frame, &prompts, false)?;
        let others = decoded.split_off(decoded_alone.len());
        let mut answers: Vec<_> = decoded_alone.into_iter().zip(decoded).collect();
        for id in followed {
            let (decoded, turn) = self.point_at(&mut objects, id, &frame)?;
            ms.decode += turn.decode;
            answers.push((id, decoded));
        }
        for id in others_are_old {
            self.results.forget_elsewhere(id, frame.number);
        }
        for (id, decoded) in answers {
            let Some(object) = objects.get_mut(id) else { continue };
            // Also of an object that starts anew on another picture.
            if self.objects.get(id).is_some_and(|before| before.lost) {
                (self.events)(Event::Tracking { id, lost: false, reason: String::new() });
            }
            remember(object, &decoded);
            let shown = if object.memory.is_some() { &object.here } else { &object.prompt };
            let result = result_of(object, shown, decoded);
            self.results.keep(frame.number, result);
        }
        if let Some(what) = &undo {
            self.history.record(what.clone(), &self.objects, &objects, &changed);
        }
        for gone in self.objects.iter().filter(|o| !objects.contains(o.id)) {
            self.results.forget(gone.id);
        }
        self.objects = objects;
        self.settle(&frame, due, others);
        ms.total = self.shared.clock.ms_since(since);
        self.answered(&frame, ms, undo.is_some(), count, is_whole);
        Ok(())
    }

    /// Changes the objects, and says how.
    fn change(&self, objects: &mut Objects, what: Interaction, frame: &KeptFrame) -> Result<Done, Refusal> {
        Ok(match what {
            Interaction::Click { point, mode: ClickMode::Box, persistence, .. } if point.label == Label::Foreground => {
                return self.corner(objects, point, persistence, frame);
            }
            Interaction::Click { point, mode, persistence, .. } => {
                if mode == ClickMode::Point
                    && let Some(corner) = objects.corner.take()
                {
                    self.forgot_corner(&corner.point);
                }
                let id = objects.click(point, persistence, &frame.prompted())?;
                let label = if point.label == Label::Foreground { "foreground" } else { "background" };
                Done::Prompted(vec![id], format!("the {label} click at ({}, {})", point.x, point.y))
            }
            Interaction::Region { bbox, persistence, .. } => {
                Done::Prompted(vec![objects.region(bbox, persistence, &frame.prompted())?], box_in_words(&bbox))
            }
            Interaction::Mask { mask, persistence, .. } => {
                let mask = self.low_res(frame, &mask)?;
                Done::Prompted(vec![objects.mask(mask, persistence, &frame.prompted())?], "the mask".into())
            }
            Interaction::Prompts { operation, objects: mut asked, persistence, .. } => {
                check_count(&asked)?;
                for p in &mut asked {
                    self.bring_mask_to_low_res(frame, p)?;
                }
                let ids = objects.apply(operation, asked, persistence, &frame.prompted())?;
                let what = if operation == Operation::Remove { "a removal" } else { "prompts" };
                Done::Prompted(ids, what.into())
            }
            // These prompt nothing and do not come here.
            Interaction::Later(_) | Interaction::NewObject | Interaction::Clear | Interaction::Undo { .. } => {
                Done::Prompted(Vec::new(), String::new())
            }
        })
    }

    /// A click that is a corner: the first waits, the second makes the box.
    fn corner(
        &self,
        objects: &mut Objects,
        point: Point,
        persistence: Persistence,
        frame: &KeptFrame,
    ) -> Result<Done, Refusal> {
        let (width, height) = frame.embedding.image_size();
        let checked = Prompt { points: vec![point], ..Prompt::default() }.check(width, height);
        let point = checked.map_err(|e| bad_prompt(e.to_string()))?.points[0];
        let first = objects.corner.and_then(|corner| {
            let on_picture = corner.on((width, height));
            if on_picture.is_none() {
                self.forgot_corner(&corner.point);
            }
            on_picture
        });
        let Some(first) = first else {
            objects.corner = Some(Corner { point, image: (width, height) });
            return Ok(Done::Corner);
        };
        let bbox = BoxPrompt {
            x_min: first.x.min(point.x),
            y_min: first.y.min(point.y),
            x_max: first.x.max(point.x),
            y_max: first.y.max(point.y),
        };
        if bbox.x_max - bbox.x_min < LEAST_BOX || bbox.y_max - bbox.y_min < LEAST_BOX {
            return Err(bad_prompt(format!(
                "a box from ({}, {}) to ({}, {}) has no area: click on the opposite corner; the first one still waits",
                first.x, first.y, point.x, point.y
            )));
        }
        objects.corner = None;
        Ok(Done::Prompted(vec![objects.region(bbox, persistence, &frame.prompted())?], box_in_words(&bbox)))
    }

    pub(super) fn bring_mask_to_low_res(&self, frame: &KeptFrame, asked: &mut ObjectPrompt) -> Result<(), Refusal> {
        if let Some(mask) = asked.mask.take() {
            asked.prompt.mask = Some(self.low_res(frame, &mask)?);
        }
        Ok(())
    }

    fn low_res(&self, frame: &KeptFrame, mask: &MaskInput) -> Result<LowResLogits, Refusal> {
        objects::low_res(mask, &frame.embedding.geometry, self.low_res_side)
    }
}

fn box_in_words(b: &BoxPrompt) -> String {
    format!("the box from ({}, {}) to ({}, {})", b.x_min, b.y_min, b.x_max, b.y_max)
}
