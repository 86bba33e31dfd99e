//! What was prompted, to be taken back: the last prompts with the objects as they were before each of them.

use std::collections::VecDeque;

use super::object::Object;
use super::set::Objects;
use crate::engine::request::Persistence;

/// Most objects that are remembered as they were: each may hold 256 kB of logits.
const MOST_STATES: usize = 64;

/// One prompt, or one PromptArray.
#[derive(Debug)]
struct Step {
    /// In words, for whoever takes it back.
    what: String,
    current: Option<u32>,
    /// The objects that it changed, as they were; `None`: there was none of that id.
    before: Vec<(u32, Option<Object>)>,
}

/// What was taken back.
#[derive(Debug, PartialEq, Eq)]
pub struct Undone {
    /// In words, with what is left.
    pub what: String,
    /// The objects that are as they were before.
    pub ids: Vec<u32>,
    /// Numbers of the frames whose own objects (persistence `once`) it changed.
    pub frames: Vec<u64>,
}

/// The last prompts, newest at the back.
#[derive(Debug, Default)]
pub struct History(VecDeque<Step>);

impl History {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The objects as they were.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.0.iter().flat_map(|step| step.before.iter().filter_map(|(_, object)| object.as_ref()))
    }

    /// Keeps what a prompt changed: the objects `changed`, and those that are gone `after` it.
    pub fn record(&mut self, what: String, before: &Objects, after: &Objects, changed: &[u32]) {
        let gone = before.iter().map(|o| o.id).filter(|id| !after.contains(*id));
        let ids: Vec<u32> = changed.iter().copied().chain(gone).collect();
        if ids.is_empty() {
            return;
        }
        // What a model remembers of an object goes on, whatever is taken back.
        let before_of = |id: &u32| (*id, before.get(*id).map(|object| Object { memory: None, ..object.clone() }));
        self.0.push_back(Step { what, current: before.current, before: ids.iter().map(before_of).collect() });
        // A prompt of more objects than are remembered cannot be taken back, nor can those before it.
        while self.0.iter().map(|s| s.before.len()).sum::<usize>() > MOST_STATES {
            self.0.pop_front();
        }
    }

    /// Takes the newest prompt back. `None`: there is none.
    pub fn undo(&mut self, objects: &mut Objects) -> Option<Undone> {
        let Step { what, current, before } = self.0.pop_back()?;
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
        Some(Undone { what: format!("took back {what}: {left}"), ids, frames })
    }
}

/// "2 points, a box".
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

    fn click(objects: &mut Objects, history: &mut History, x: f32) {
        let before = objects.clone();
        let id = objects.click(Point::foreground(x, x), Persistence::Hold, &FRAME).unwrap();
        history.record(format!("the click at {x}"), &before, objects, &[id]);
    }

    fn set(objects: &mut Objects, history: &mut History, ids: std::ops::Range<u32>) {
        let before = objects.clone();
        let prompt = Prompt::point(1.0, 1.0);
        let asked = ids.map(|id| ObjectPrompt { id, prompt: prompt.clone(), ..ObjectPrompt::default() }).collect();
        let changed = objects.apply(Operation::Set, asked, Persistence::Hold, &FRAME).unwrap();
        history.record("the SET".into(), &before, objects, &changed);
    }

    #[test]
    fn prompts_are_taken_back_one_by_one_across_objects() {
        let (mut objects, mut history) = (Objects::default(), History::default());
        click(&mut objects, &mut history, 1.0);
        let before = objects.clone();
        let bbox = BoxPrompt { x_min: 0.0, y_min: 0.0, x_max: 4.0, y_max: 4.0 };
        objects.region(bbox, Persistence::Hold, &FRAME).unwrap();
        history.record("the box".into(), &before, &objects, &[1]);
        objects.new_object();
        click(&mut objects, &mut history, 2.0);
        assert_eq!(history.undo(&mut objects).unwrap().what, "took back the click at 2: object 2 is gone");
        assert_eq!(objects.current, None, "as after new_object");
        assert_eq!(history.undo(&mut objects).unwrap().what, "took back the box: object 1 has 1 point");
        assert_eq!((objects.current, objects.get(1).unwrap().prompt.bbox), (Some(1), None));
        assert_eq!(history.undo(&mut objects).unwrap().what, "took back the click at 1: object 1 is gone");
        assert_eq!(history.undo(&mut objects), None);
    }

    #[test]
    fn a_set_is_taken_back_with_what_it_replaced() {
        let (mut objects, mut history) = (Objects::default(), History::default());
        click(&mut objects, &mut history, 1.0);
        set(&mut objects, &mut history, 5..8);
        assert_eq!(objects.iter().map(|o| o.id).collect::<Vec<_>>(), [5, 6, 7]);
        assert_eq!(history.undo(&mut objects).unwrap().ids, [5, 6, 7, 1]);
        assert_eq!(objects.iter().map(|o| o.id).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut objects, mut history) = (Objects::default(), History::default());
        for _ in 0..1000 {
            click(&mut objects, &mut history, 1.0);
        }
        assert_eq!(history.0.len(), MOST_STATES);
        // It cannot be taken back, and neither can what was before it: that would not be the last prompt.
        set(&mut objects, &mut history, 1..1000);
        assert_eq!(history.undo(&mut objects), None);
    }
}
