//! The last prompts, to be undone and repeated.

use std::collections::VecDeque;

use super::object::Object;
use super::set::ObjectSet;
use crate::engine::persistence::Persistence;

/// Most objects that all steps store together. An object may hold 256 kB of logits.
const MAX_STORED_OBJECTS: usize = 64;

/// One prompt or one PromptArray.
#[derive(Debug)]
struct Step {
    /// The prompt in words, for the answer to `undo`.
    description: String,
    /// Id of the current object on the other side of the prompt.
    current: Option<u32>,
    /// The changed objects on the other side of the prompt; `None` if there was no object of that id.
    objects: Vec<(u32, Option<Object>)>,
}

/// A prompt that was undone or repeated.
#[derive(Debug, PartialEq, Eq)]
pub struct Undone {
    /// The prompt in words, and the state of its object now.
    pub description: String,
    /// Ids of the objects that are in another state now.
    pub ids: Vec<u32>,
    /// Numbers of the frames on which an object with persistence `once` changed.
    pub frames: Vec<u64>,
}

/// The last prompts, and the prompts that were undone. The newest is at the back of each.
#[derive(Debug, Default)]
pub struct History {
    /// Prompts, each with the objects before it.
    done: VecDeque<Step>,
    /// Undone prompts, each with the objects after it. A further prompt removes them.
    undone: Vec<Step>,
}

impl History {
    pub fn clear(&mut self) {
        *self = History::default();
    }

    /// Returns all stored objects.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        let steps = self.done.iter().chain(&self.undone);
        steps.flat_map(|step| step.objects.iter().filter_map(|(_, object)| object.as_ref()))
    }

    /// Stores the objects that a prompt changed: those of ids `changed`, and those that do not exist `after` the prompt.
    pub fn record(&mut self, description: String, before: &ObjectSet, after: &ObjectSet, changed: &[u32]) {
        let removed = before.iter().map(|o| o.id).filter(|id| !after.contains(*id));
        let ids: Vec<u32> = changed.iter().copied().chain(removed).collect();
        if ids.is_empty() {
            return;
        }
        self.undone.clear();
        self.done.push_back(Step::new(description, before, &ids));
        // A prompt that changes more objects than fit cannot be undone, and neither can the prompts before it.
        while self.done.iter().map(|s| s.objects.len()).sum::<usize>() > MAX_STORED_OBJECTS {
            self.done.pop_front();
        }
    }

    /// Undoes the newest prompt. Returns `None` if there is no prompt.
    pub fn undo(&mut self, objects: &mut ObjectSet) -> Option<Undone> {
        let step = self.done.pop_back()?;
        let (inverse, undone) = step.restore(objects, "took back");
        self.undone.push(inverse);
        Some(undone)
    }

    /// Repeats the prompt that was undone last. Returns `None` if there is no such prompt.
    pub fn redo(&mut self, objects: &mut ObjectSet) -> Option<Undone> {
        let step = self.undone.pop()?;
        let (inverse, redone) = step.restore(objects, "repeated");
        self.done.push_back(inverse);
        Some(redone)
    }
}

impl Step {
    /// Stores the objects of the ids as they are now.
    fn new(description: String, objects: &ObjectSet, ids: &[u32]) -> Self {
        // Undoing a prompt does not reset the memory of a model with memory.
        let stored = |id: &u32| (*id, objects.get(*id).map(|object| Object { memory: None, ..object.clone() }));
        Step { description, current: objects.current, objects: ids.iter().map(stored).collect() }
    }

    /// Restores the objects. Returns the step back, and a description that starts with `verb`.
    fn restore(self, objects: &mut ObjectSet, verb: &str) -> (Step, Undone) {
        let Step { description, current, objects: stored } = self;
        let ids: Vec<u32> = stored.iter().map(|(id, _)| *id).collect();
        let inverse = Step::new(description.clone(), objects, &ids);
        let mut frames = Vec::new();
        for (id, object) in stored {
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
        (inverse, Undone { description: format!("{verb} {description}: {left}"), ids, frames })
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
    fn undone_prompts_are_repeated_until_a_further_prompt() {
        let (mut objects, mut history) = (ObjectSet::default(), History::default());
        for x in [1.0, 2.0, 3.0] {
            click(&mut objects, &mut history, x);
        }
        let points = |objects: &ObjectSet| objects.get(1).map_or(0, |o| o.prompt.points.len());
        assert_eq!(history.redo(&mut objects), None);
        history.undo(&mut objects).unwrap();
        history.undo(&mut objects).unwrap();
        assert_eq!(history.redo(&mut objects).unwrap().description, "repeated the click at 2: object 1 has 2 points");
        assert_eq!(history.redo(&mut objects).unwrap().description, "repeated the click at 3: object 1 has 3 points");
        assert_eq!((points(&objects), history.redo(&mut objects)), (3, None));
        history.undo(&mut objects).unwrap();
        click(&mut objects, &mut history, 9.0);
        assert_eq!(history.redo(&mut objects), None, "the further prompt removed it");
        assert_eq!(objects.get(1).unwrap().prompt.points[2], Point::foreground(9.0, 9.0));
        for _ in 0..3 {
            history.undo(&mut objects).unwrap();
        }
        assert_eq!((objects.get(1).is_none(), history.redo(&mut objects).is_some(), points(&objects)), (true, true, 1));
    }

    #[test]
    fn the_number_of_stored_objects_is_bounded() {
        let (mut objects, mut history) = (ObjectSet::default(), History::default());
        for _ in 0..1000 {
            click(&mut objects, &mut history, 1.0);
        }
        assert_eq!(history.done.len(), MAX_STORED_OBJECTS);
        // Neither this prompt nor an earlier one can be undone.
        set(&mut objects, &mut history, 1..1000);
        assert_eq!(history.undo(&mut objects), None);
    }
}
