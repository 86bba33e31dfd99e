//! Prompts for the current objects: a click, a box, a mask or a PromptArray is validated, decoded, and then committed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::decoder::{MAX_OBJECTS_PER_TURN, Worker, bad_prompt, unknown_object};
use super::frame::DueObjects;
use crate::engine::kept::KeptFrame;
use crate::engine::objects::{Corner, ObjectSet, check_count, mask_to_low_res, object_result, update_previous_mask};
use crate::engine::persistence::Persistence;
use crate::engine::refusal::Refusal;
use crate::engine::request::{ClickMode, Interaction, ObjectPrompt, Operation};
use crate::engine::result::{Event, StageMs};
use crate::model::Decoded;
use crate::pixels::MaskInput;
use crate::prompt::{BoxPrompt, Label, LowResLogits, Point, Prompt};

/// Least width and height of a box of two clicks, in pixels.
const MIN_BOX_SIDE: f32 = 1.0;

/// Change of the objects by a prompt.
enum ObjectChange {
    /// Ids of the objects to decode again, and a description for `undo`.
    Prompted(Vec<u32>, String),
    /// First corner of a box. No object changed.
    Corner,
}

/// A prompt that is valid, before it is decoded.
struct ValidPrompt {
    /// All objects after the prompt.
    objects: ObjectSet,
    changed: Vec<ChangedObject>,
    /// Description for `undo`; `None` for the first corner of a box.
    description: Option<String>,
}

/// An object that a prompt changed.
struct ChangedObject {
    id: u32,
    /// Input of the decoder, checked against the image.
    input: Prompt,
    /// The object is followed by memory.
    is_followed: bool,
    /// The results of the object on other frames are not valid any more.
    outdates_other_frames: bool,
}

impl ValidPrompt {
    fn changed_ids(&self) -> Vec<u32> {
        self.changed.iter().map(|object| object.id).collect()
    }
}

/// The decoder's output for a prompt.
struct DecodedPrompt {
    /// Id and output of each changed object.
    changed: Vec<(u32, Decoded)>,
    /// Other objects of the answer, with their outputs.
    due: DueObjects,
    due_decoded: Vec<Decoded>,
    /// The answer lacks no object of the frame.
    is_complete: bool,
    ms: StageMs,
}

impl Worker<'_> {
    /// Answers a prompt. The objects change once the decoder accepted the prompt: a bad prompt changes nothing. Returns the ids
    /// of the prompted objects.
    ///
    /// # Errors
    /// The prompt is not valid, or the model fails.
    pub(super) fn prompt(
        &mut self,
        interaction: Interaction,
        frame: Option<Arc<KeptFrame>>,
        since: Instant,
    ) -> Result<Vec<u32>, Refusal> {
        // If prompts answer every frame, `decode_new_frame` does not run.
        self.remove_expired();
        let Some(frame) = frame else {
            // Before the first image only `Remove` has a turn.
            return match interaction {
                Interaction::Prompts { objects, .. } => self.objects.remove(&objects).map(|()| Vec::new()),
                _ => Ok(Vec::new()),
            };
        };
        self.scale_prompts(&frame);
        let mut valid = self.validate(interaction, &frame)?;
        self.note_missing_memory(&valid.objects, &valid.changed_ids());
        let decoded = self.decode_prompt(&mut valid, &frame)?;
        let ids = valid.changed_ids();
        self.commit(valid, decoded, &frame, since);
        Ok(ids)
    }

    /// Applies a prompt to a copy of the objects and checks it against the image.
    fn validate(&self, interaction: Interaction, frame: &KeptFrame) -> Result<ValidPrompt, Refusal> {
        let mut objects = self.objects.clone();
        let change = self.change(&mut objects, interaction, frame)?;
        objects.check()?;
        let (ids, description) = match change {
            ObjectChange::Prompted(ids, description) => (ids, Some(description)),
            ObjectChange::Corner => (Vec::new(), None),
        };
        let (width, height) = frame.embedding.image_size();
        let mut changed = Vec::with_capacity(ids.len());
        for id in ids {
            let object = objects.get_mut(id).ok_or_else(|| unknown_object(id))?;
            let input = object.refined().check(width, height).map_err(|e| bad_prompt(e.to_string()))?;
            object.prompt.points.clone_from(&input.points);
            object.prompt.bbox = input.bbox;
            object.repeated_prompt.clone_from(&input);
            // Further prompts of a tracked object do not change what it was on other frames, unless the object is new.
            let outdates_other_frames = object.prompted_on.is_none() || object.persistence != Persistence::Track;
            object.prompted_on = Some(frame.number);
            let is_followed = self.follows_by_memory(object);
            if !is_followed {
                object.memory = None;
            }
            changed.push(ChangedObject { id, input, is_followed, outdates_other_frames });
        }
        Ok(ValidPrompt { objects, changed, description })
    }

    /// Decodes the changed objects, and as many other objects of the frame as fit into the last turn.
    fn decode_prompt(&mut self, valid: &mut ValidPrompt, frame: &KeptFrame) -> Result<DecodedPrompt, Refusal> {
        let (followed, alone): (Vec<_>, Vec<_>) = valid.changed.iter().partition(|object| object.is_followed);
        let followed: Vec<u32> = followed.iter().map(|object| object.id).collect();
        let alone_ids: Vec<u32> = alone.iter().map(|object| object.id).collect();
        let mut prompts: Vec<Prompt> = alone.iter().map(|object| object.input.clone()).collect();

        let changed: HashSet<u32> = valid.changed.iter().map(|object| object.id).collect();
        let mut due = self.due(frame, false);
        due.retain(|id| !changed.contains(id) && valid.objects.contains(*id));
        let (due_later, mut due) = self.split_by_memory(&due);
        let room = prompts.len().max(1).next_multiple_of(MAX_OBJECTS_PER_TURN) - prompts.len();
        let is_complete = due.len() <= room && due_later.is_empty();
        due.truncate(room);
        let due = self.due_prompts(&due, frame, false);
        prompts.extend(due.prompts());

        let (mut decoded, mut ms) = self.decode(frame, &prompts, false)?;
        let due_decoded = decoded.split_off(alone_ids.len());
        let mut changed: Vec<_> = alone_ids.into_iter().zip(decoded).collect();
        for id in followed {
            let (decoded, turn) = self.prompt_followed(&mut valid.objects, id, frame)?;
            ms.decode += turn.decode;
            changed.push((id, decoded));
        }
        Ok(DecodedPrompt { changed, due, due_decoded, is_complete, ms })
    }

    /// Stores the objects and results of a decoded prompt, and publishes the answer.
    fn commit(&mut self, valid: ValidPrompt, decoded: DecodedPrompt, frame: &Arc<KeptFrame>, since: Instant) {
        let ids = valid.changed_ids();
        let ValidPrompt { mut objects, changed, description } = valid;
        let mut ms = decoded.ms;
        let count = ids.len() + decoded.due.count();
        for object in changed.iter().filter(|object| object.outdates_other_frames) {
            self.results.remove_elsewhere(object.id, frame.number);
        }
        for (id, decoded) in decoded.changed {
            let Some(object) = objects.get_mut(id) else { continue };
            // The earlier object may have been replaced: it is found again all the same.
            if self.objects.get(id).is_some_and(|earlier| earlier.lost) {
                (self.events)(Event::Tracking { id, lost: false, reason: String::new() });
            }
            update_previous_mask(object, &decoded);
            let shown = if object.memory.is_some() { &object.frame_prompt } else { &object.prompt };
            let result = object_result(object, shown, decoded);
            self.results.keep(frame.number, result);
        }
        let prompted = description.is_some();
        if let Some(description) = description {
            self.history.record(description, &self.objects, &objects, &ids);
        }
        for removed in self.objects.iter().filter(|o| !objects.contains(o.id)) {
            self.results.remove(removed.id);
        }
        self.objects = objects;
        self.keep_decoded(frame, decoded.due, decoded.due_decoded);
        ms.total = self.shared.clock.ms_since(since);
        self.publish_answer(frame, ms, prompted, count, decoded.is_complete);
    }

    /// Applies an interaction to `objects`. Returns the change.
    fn change(
        &self,
        objects: &mut ObjectSet,
        interaction: Interaction,
        frame: &KeptFrame,
    ) -> Result<ObjectChange, Refusal> {
        Ok(match interaction {
            Interaction::Click { point, mode: ClickMode::Box, persistence, .. } if point.label == Label::Foreground => {
                return self.corner(objects, point, persistence, frame);
            }
            Interaction::Click { point, mode, persistence, .. } => {
                if mode == ClickMode::Point
                    && let Some(corner) = objects.corner.take()
                {
                    self.note_dropped_corner(&corner.point);
                }
                let id = objects.click(point, persistence, &frame.prompted())?;
                ObjectChange::Prompted(vec![id], click_in_words(&point))
            }
            Interaction::Region { bbox, persistence, .. } => {
                let id = objects.region(bbox, persistence, &frame.prompted())?;
                ObjectChange::Prompted(vec![id], box_in_words(&bbox))
            }
            Interaction::Mask { mask, persistence, .. } => {
                let mask = self.low_res(frame, &mask)?;
                let id = objects.mask(mask, persistence, &frame.prompted())?;
                ObjectChange::Prompted(vec![id], "the mask".into())
            }
            Interaction::Prompts { operation, objects: mut requested, persistence, .. } => {
                check_count(&requested)?;
                for prompt in &mut requested {
                    self.convert_mask(frame, prompt)?;
                }
                let description = match operation {
                    Operation::Remove => "a removal".into(),
                    _ => prompts_in_words(&requested),
                };
                let ids = objects.apply(operation, requested, persistence, &frame.prompted())?;
                ObjectChange::Prompted(ids, description)
            }
            // `interact` answers these.
            Interaction::Deferred(_)
            | Interaction::NewObject
            | Interaction::Clear
            | Interaction::Undo { .. }
            | Interaction::Operator(_) => ObjectChange::Prompted(Vec::new(), String::new()),
        })
    }

    /// Applies a click at a corner of a box: the first corner waits, the second completes the box.
    fn corner(
        &self,
        objects: &mut ObjectSet,
        point: Point,
        persistence: Persistence,
        frame: &KeptFrame,
    ) -> Result<ObjectChange, Refusal> {
        let (width, height) = frame.embedding.image_size();
        let checked = Prompt { points: vec![point], ..Prompt::default() }.check(width, height);
        let point = checked.map_err(|e| bad_prompt(e.to_string()))?.points[0];
        let first = objects.corner.and_then(|corner| {
            let scaled = corner.on((width, height));
            if scaled.is_none() {
                self.note_dropped_corner(&corner.point);
            }
            scaled
        });
        let Some(first) = first else {
            objects.corner = Some(Corner { point, image_size: (width, height) });
            return Ok(ObjectChange::Corner);
        };
        let bbox = BoxPrompt {
            x_min: first.x.min(point.x),
            y_min: first.y.min(point.y),
            x_max: first.x.max(point.x),
            y_max: first.y.max(point.y),
        };
        if bbox.x_max - bbox.x_min < MIN_BOX_SIDE || bbox.y_max - bbox.y_min < MIN_BOX_SIDE {
            return Err(bad_prompt(format!(
                "a box from ({}, {}) to ({}, {}) has no area: click on the opposite corner; the first one still waits",
                first.x, first.y, point.x, point.y
            )));
        }
        objects.corner = None;
        let id = objects.region(bbox, persistence, &frame.prompted())?;
        Ok(ObjectChange::Prompted(vec![id], box_in_words(&bbox)))
    }

    /// Converts the mask of a message to the mask prompt of its object.
    pub(super) fn convert_mask(&self, frame: &KeptFrame, prompt: &mut ObjectPrompt) -> Result<(), Refusal> {
        if let Some(mask) = prompt.mask.take() {
            prompt.prompt.mask = Some(self.low_res(frame, &mask)?);
        }
        Ok(())
    }

    fn low_res(&self, frame: &KeptFrame, mask: &MaskInput) -> Result<LowResLogits, Refusal> {
        mask_to_low_res(mask, &frame.embedding.geometry, self.low_res_side)
    }
}

/// Returns a description of the prompts of a message: the prompt itself if the message has a single one.
fn prompts_in_words(requested: &[ObjectPrompt]) -> String {
    let [ObjectPrompt { prompt, .. }] = requested else { return "prompts".into() };
    match (&prompt.points[..], &prompt.bbox, &prompt.mask) {
        ([point], None, None) => click_in_words(point),
        ([], Some(bbox), None) => box_in_words(bbox),
        ([], None, Some(_)) => "the mask".into(),
        _ => "prompts".into(),
    }
}

fn click_in_words(point: &Point) -> String {
    let label = if point.label == Label::Foreground { "foreground" } else { "background" };
    format!("the {label} click at ({}, {})", point.x, point.y)
}

fn box_in_words(b: &BoxPrompt) -> String {
    format!("the box from ({}, {}) to ({}, {})", b.x_min, b.y_min, b.x_max, b.y_max)
}
