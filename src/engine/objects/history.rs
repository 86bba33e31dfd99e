//! The last prompts, to be undone: each with the objects before it.

use std::collections::VecDeque;

use super::object::Object;
use super::set::ObjectSet;
use crate::engine::request::Persistence;

/// Most objects that all steps store together. An object may hold 256 kB of logits.
const MAX_STORED_OBJECTS: usize = 64;

/// One prompt or one PromptArray.
#[derive(Debug)]
struct Step {
    /// The prompt in words, for the answer to `undo`.
    description: String,
    /// Id of the current object before the prompt.
    current: Option<u32>,
    /// The changed objects before the prompt; `None` if there was no object of that id.
    before: Vec<(u32, Option<Object>)>,
}

/// A prompt that was undone.
#[derive(Debug, PartialEq, Eq)]
pub struct Undone {
    /// The prompt in words, and the state of its object now.
    pub description: String,
    /// Ids of the objects that are in their earlier state.
    pub ids: Vec<u32>,
    /// Numbers of the frames on which an object with persistence `once` changed.
    pub frames: Vec<u64>,
}

/// The last prompts, the newest at the back.
#[derive(Debug, Default)]
pub struct History(VecDeque<Step>);

impl History {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns all stored objects.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.0.iter().flat_map(|step| step.before.iter().filter_map(|(_, object)| object.as_ref()))
    }

    /// Stores the objects that a prompt changed: those of ids `changed`, and those that do not exist `after` the prompt.
    pub fn record(&mut self, description: String, before: &ObjectSet, after: &ObjectSet, changed: &[u32]) {
        let removed = before.iter().map(|o| o.id).filter(|id| !after.contains(*id));
        let ids: Vec<u32> = changed.iter().copied().chain(removed).collect();
        if ids.is_empty() {
            return;
        }
        // Undoing a prompt does not reset the memory of a model with memory.
        let earlier = |id: &u32| (*id, before.get(*id).map(|object| Object { memory: None, ..object.clone() }));
        self.0.push_back(Step { description, current: before.current, before: ids.iter().map(earlier).collect() });
        // A prompt that changes more objects than fit cannot be undone, and neither can the prompts before it.
        while self.0.iter().map(|s| s.before.len()).sum::<usize>() > MAX_STORED_OBJECTS {
            self.0.pop_front();
        }
    }

    /// Undoes the newest prompt. Returns `None` if there is no prompt.
    pub fn undo(&mut self, objects: &mut ObjectSet) -> Option<Undone> {
        let Step { description, current, before } = self.0.pop_back()?;
        let ids: Vec<u32> = before.iter().map(|(id, _)| *id).collect();
        let mut frames = Vec::new();
        for (id, object) in before {
            let both = [objects.get(id), object.as_ref()];
            frames.extend(
                both.into_iter().flatten().filter(|o| o.persistence == Persistence::Once).filter_map(|o| o.prompted_on),
            );
            objects.restore(id, object);
        }
        objects.current = current;
        frames.sort_unstable();
        frames.dedup();
        let left = match ids.as_slice() {
            [id] => match objects.get(*id) {
                Some(object) => format!("object {id} has {}", in_words(object)),
                None => format!("object {id} is gone"),
            },
            _ => format!("there are {} objects", objects.iter().count()),
        };
        Some(Undone { description: format!("took back {description}: {left}"), ids, frames })
    }
}

/// Returns the prompts of an object in words: "2 points, a box".
fn in_words(object: &Object) -> String {
    let mut parts = Vec::new();
    match object.prompt.points.len() {
        0 => {}
        1 => parts.push("1 point".to_owned()),
        n => parts.push(format!("{n} points")),
    }
    if object.prompt.bbox.is_some() {
        parts.push("a box".to_owned());
    }
    if object.prompt.mask.is_some() {
        parts.push("a mask".to_owned());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ObjectPrompt;
    use crate::engine::frame::PromptedFrame;
    use crate::engine::request::Operation;
    use crate::prompt::{BoxPrompt, Point, Prompt};

    const FRAME: PromptedFrame = PromptedFrame { number: 1, size: (640, 480) };

    fn click(objects: &mut ObjectSet, history: &mut History, x: f32) {
        let before = objects.clone();
        let id = objects.click(Point::foreground(x, x), Persistence::Hold, &FRAME).unwrap();
        history.record(format!("the click at {x}"), &before, objects, &[id]);
    }

    fn set(objects: &mut ObjectSet, history: &mut History, ids: std::ops::Range<u32>) {
        let before = objects.clone();
        let prompt = Prompt::point(1.0, 1.0);
        let prompts = ids.map(|id| ObjectPrompt { id, prompt: prompt.clone(), ..ObjectPrompt::default() }).collect();
        let changed = objects.apply(Operation::Set, prompts, Persistence::Hold, &FRAME).unwrap();
        history.record("the SET".into(), &before, objects, &changed);
    }

    #[test]
    fn prompts_are_undone_one_by_one_across_objects() {
        let (mut objects, mut history) = (ObjectSet::default(), History::default());
        click(&mut objects, &mut history, 1.0);
        let before = objects.clone();
        let bbox = BoxPrompt { x_min: 0.0, y_min: 0.0, x_max: 4.0, y_max: 4.0 };
        objects.region(bbox, Persistence::Hold, &FRAME).unwrap();
        history.record("the box".into(), &before, &objects, &[1]);
        objects.new_object();
        click(&mut objects, &mut history, 2.0);
        assert_eq!(history.undo(&mut objects).unwrap().description, "took back the click at 2: object 2 is gone");
        assert_eq!(objects.current, None, "as after new_object");
        assert_eq!(history.undo(&mut objects).unwrap().description, "took back the box: object 1 has 1 point");
        assert_eq!((objects.current, objects.get(1).unwrap().prompt.bbox), (Some(1), None));
        assert_eq!(history.undo(&mut objects).unwrap().description, "took back the click at 1: object 1 is gone");
        assert_eq!(history.undo(&mut objects), None);
    }

    #[test]
    fn undoing_a_set_restores_the_replaced_objects() {
        let (mut objects, mut history) = (ObjectSet::default(), History::default());
        click(&mut objects, &mut history, 1.0);
        set(&mut objects, &mut history, 5..8);
        assert_eq!(objects.iter().map(|o| o.id).collect::<Vec<_>>(), [5, 6, 7]);
        assert_eq!(history.undo(&mut objects).unwrap().ids, [5, 6, 7, 1]);
        assert_eq!(objects.iter().map(|o| o.id).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn the_number_of_stored_objects_is_bounded() {
        let (mut objects, mut history) = (ObjectSet::default(), History::default());
        for _ in 0..1000 {
            click(&mut objects, &mut history, 1.0);
        }
        assert_eq!(history.0.len(), MAX_STORED_OBJECTS);
        // Neither this prompt nor an earlier one can be undone.
        set(&mut objects, &mut history, 1..1000);
        assert_eq!(history.undo(&mut objects), None);
    }
}
