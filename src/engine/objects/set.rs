//! The objects that are being pointed at, and what each prompt does to them.

use std::collections::{BTreeMap, BTreeSet};

use super::object::{Corner, Object};
use crate::engine::frame::PromptedFrame;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::{ObjectPrompt, Operation, Persistence};
use crate::prompt::{BoxPrompt, LowResLogits, MAX_POINTS, Point};

/// `~/labels` is mono16.
pub const MAX_OBJECT_ID: u32 = u16::MAX as u32;
/// Most objects at a time: each may hold 256 kB of logits, and costs the decoder time on every frame.
pub const MAX_OBJECTS: usize = 1024;
/// All current objects. The decoder's thread changes a copy and keeps it once the decoder accepted the prompts,
/// so that a bad prompt costs nothing that was there.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    map: BTreeMap<u32, Object>,
    /// The object that clicks belong to; `None`: the next click starts one.
    pub current: Option<u32>,
    pub corner: Option<Corner>,
}

impl Objects {
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.map.values()
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut Object> {
        self.map.get_mut(&id)
    }

    pub fn get(&self, id: u32) -> Option<&Object> {
        self.map.get(&id)
    }

    pub fn contains(&self, id: u32) -> bool {
        self.map.contains_key(&id)
    }

    /// Puts an object back as it was, or takes it away.
    pub fn restore(&mut self, id: u32, object: Option<Object>) {
        match object {
            Some(object) => self.map.insert(id, object),
            None => self.map.remove(&id),
        };
    }

    /// Removes the objects that do not pass.
    pub fn retain(&mut self, pass: impl Fn(&Object) -> bool) {
        self.map.retain(|_, object| pass(object));
        self.current = self.current.filter(|id| self.map.contains_key(id));
    }

    /// Scales the prompts of the objects on a frame to its picture. Returns how many there were, and the size of the
    /// picture before.
    pub fn scale_to(&mut self, frame: &PromptedFrame) -> Option<(usize, (u32, u32))> {
        let (mut count, mut before) = (0, None);
        for object in self.map.values_mut().filter(|o| o.image != frame.size && o.is_on(frame)) {
            before.get_or_insert(object.image);
            object.scale_to(frame.size);
            count += 1;
        }
        before.map(|size| (count, size))
    }

    /// Ends the current object: the next click starts another. Returns the corner that waited for its box.
    pub fn new_object(&mut self) -> Option<Corner> {
        self.current = None;
        self.corner.take()
    }

    pub fn clear(&mut self) {
        *self = Objects::default();
    }

    pub fn count(&self) -> usize {
        self.map.len()
    }

    fn free_id(&self) -> Result<u32, Refusal> {
        (1..=MAX_OBJECT_ID).find(|id| !self.map.contains_key(id)).ok_or_else(no_id)
    }

    /// The object that a prompt on the frame belongs to. An object that is not on that frame starts anew under its number.
    fn current_mut(&mut self, persistence: Persistence, frame: &PromptedFrame) -> Result<&mut Object, Refusal> {
        let id = match self.current.filter(|id| self.map.contains_key(id)) {
            Some(id) => id,
            None => self.free_id()?,
        };
        self.current = Some(id);
        let new = |class_id| Object::new(id, class_id, persistence, frame.size);
        let object = self.map.entry(id).or_insert_with(|| new(String::new()));
        if !object.is_on(frame) {
            *object = new(std::mem::take(&mut object.class_id));
        }
        object.persistence = persistence;
        Ok(object)
    }

    /// Whether there are more objects, or more points on one, than are kept.
    ///
    /// # Errors
    /// There are.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.map.len() > MAX_OBJECTS {
            let message = format!(
                "{} objects would be more than the {MAX_OBJECTS} that may be held at a time: remove some, or clear them",
                self.map.len()
            );
            return Err(Refusal::new(RefusalKind::TooManyObjects, message));
        }
        if let Some(object) = self.map.values().find(|o| o.prompt.points.len() > MAX_POINTS) {
            let message = format!("object {} has {MAX_POINTS} points already: take some back, or clear it", object.id);
            return Err(Refusal::new(RefusalKind::BadPrompt, message));
        }
        Ok(())
    }

    /// A click on the current object. Returns its id.
    ///
    /// # Errors
    /// There is no current object, and no id for another one. So for the next two.
    pub fn click(&mut self, point: Point, persistence: Persistence, frame: &PromptedFrame) -> Result<u32, Refusal> {
        let object = self.current_mut(persistence, frame)?;
        object.prompt.points.push(point);
        Ok(object.id)
    }

    /// A box for the current object; it replaces an earlier one. Returns its id.
    pub fn region(&mut self, bbox: BoxPrompt, persistence: Persistence, frame: &PromptedFrame) -> Result<u32, Refusal> {
        let object = self.current_mut(persistence, frame)?;
        object.prompt.bbox = Some(bbox);
        Ok(object.id)
    }

    /// A mask of the current object; it replaces what was known of its mask. Returns the object's id.
    pub fn mask(
        &mut self,
        mask: LowResLogits,
        persistence: Persistence,
        frame: &PromptedFrame,
    ) -> Result<u32, Refusal> {
        let object = self.current_mut(persistence, frame)?;
        object.give_mask(mask);
        Ok(object.id)
    }

    /// Applies a PromptArray on a frame. Returns the ids that must be decoded again.
    ///
    /// # Errors
    /// An id that is out of range, given twice, or (for `Remove`) unknown; no id is left. For a copy of the objects that is
    /// kept only when all went well.
    pub fn apply(
        &mut self,
        operation: Operation,
        prompts: Vec<ObjectPrompt>,
        persistence: Persistence,
        frame: &PromptedFrame,
    ) -> Result<Vec<u32>, Refusal> {
        match operation {
            Operation::Clear => {
                self.clear();
                Ok(Vec::new())
            }
            Operation::Remove => self.remove(&prompts).map(|()| Vec::new()),
            Operation::Set | Operation::Add => {
                check_ids(&prompts)?;
                let before = self.clone();
                if operation == Operation::Set {
                    self.map.clear();
                    self.current = None;
                }
                let taken: BTreeSet<u32> = self.map.keys().copied().chain(prompts.iter().map(|p| p.id)).collect();
                let mut free = (1..=MAX_OBJECT_ID).filter(|id| !taken.contains(id));
                let mut merge = |mut p: ObjectPrompt| {
                    if p.id == 0 {
                        p.id = free.next().ok_or_else(no_id)?;
                    }
                    Ok(self.merge(p, &before, persistence, frame))
                };
                prompts.into_iter().map(&mut merge).collect()
            }
        }
    }

    /// Removes the objects that a message names.
    ///
    /// # Errors
    /// An id that is out of range, given twice, or unknown. Then none is removed.
    pub fn remove(&mut self, named: &[ObjectPrompt]) -> Result<(), Refusal> {
        check_ids(named)?;
        if let Some(p) = named.iter().find(|p| !self.map.contains_key(&p.id)) {
            let known: Vec<_> = self.map.keys().collect();
            let message = format!("remove: there is no object {}; there are {known:?}", p.id);
            return Err(Refusal::new(RefusalKind::UnknownObject, message));
        }
        for p in named {
            self.map.remove(&p.id);
        }
        self.current = self.current.filter(|id| self.map.contains_key(id));
        Ok(())
    }

    /// With `refine` the prompts join those that the object had `before` on this frame, and its logits are fed back;
    /// without, they replace them.
    fn merge(&mut self, p: ObjectPrompt, before: &Objects, persistence: Persistence, frame: &PromptedFrame) -> u32 {
        let id = p.id;
        let mut object = Object::new(id, p.class_id, persistence, frame.size);
        if let Some(known) = before.map.get(&id).filter(|_| p.refine) {
            if known.is_on(frame) {
                object.prompt.clone_from(&known.prompt);
                object.previous.clone_from(&known.previous);
                object.prompted_on = known.prompted_on;
                object.here.clone_from(&known.here);
                object.memory.clone_from(&known.memory);
            }
            if object.class_id.is_empty() {
                object.class_id.clone_from(&known.class_id);
            }
        }
        object.prompt.points.extend(p.prompt.points);
        object.prompt.bbox = p.prompt.bbox.or(object.prompt.bbox);
        if let Some(mask) = p.prompt.mask {
            object.give_mask(mask);
        }
        self.map.insert(id, object);
        id
    }
}

fn no_id() -> Refusal {
    let message = format!("all object ids (1 to {MAX_OBJECT_ID}) are taken: remove objects, or clear them");
    Refusal::new(RefusalKind::TooManyObjects, message)
}

/// Before anything is made of a message: a mask of a few pixels becomes 256 kB of logits.
///
/// # Errors
/// It has more objects than may be held.
pub fn check_count(asked: &[ObjectPrompt]) -> Result<(), Refusal> {
    if asked.len() <= MAX_OBJECTS {
        return Ok(());
    }
    let message = format!("{} objects in one message, at most {MAX_OBJECTS} are possible", asked.len());
    Err(Refusal::new(RefusalKind::TooManyObjects, message))
}

fn check_ids(prompts: &[ObjectPrompt]) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for p in prompts {
        if p.id > MAX_OBJECT_ID {
            return Err(Refusal::new(
                RefusalKind::BadPrompt,
                format!("object id {} is out of range: 1..={MAX_OBJECT_ID}, or 0 for the next free one", p.id),
            ));
        }
        if p.id != 0 && !seen.insert(p.id) {
            return Err(Refusal::new(RefusalKind::BadPrompt, format!("object id {} is given twice", p.id)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Prompt;

    const FRAME: PromptedFrame = PromptedFrame { number: 1, size: (640, 480) };

    fn asked(id: u32, prompt: Prompt) -> ObjectPrompt {
        ObjectPrompt { id, prompt, ..ObjectPrompt::default() }
    }

    fn ids(objects: &Objects) -> Vec<u32> {
        objects.iter().map(|o| o.id).collect()
    }

    #[test]
    fn clicks_add_up_until_a_new_object_is_asked_for() {
        let mut objects = Objects::default();
        assert_eq!(objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME), Ok(1));
        assert_eq!(objects.click(Point::background(5.0, 5.0), Persistence::Hold, &FRAME), Ok(1));
        objects.new_object();
        assert_eq!(objects.click(Point::foreground(9.0, 9.0), Persistence::Hold, &FRAME), Ok(2));
        assert_eq!(objects.get(1).unwrap().prompt.points.len(), 2);
        assert_eq!(objects.get(2).unwrap().prompt.points.len(), 1);
    }

    #[test]
    fn a_further_click_feeds_the_previous_logits_back() {
        let mut objects = Objects::default();
        objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME).unwrap();
        assert_eq!(objects.get(1).unwrap().refined().mask, None);
        let logits = LowResLogits { side: 1, data: vec![3.0].into() };
        objects.get_mut(1).unwrap().previous = Some(logits.clone());
        objects.click(Point::foreground(2.0, 2.0), Persistence::Hold, &FRAME).unwrap();
        assert_eq!(objects.get(1).unwrap().refined().mask, Some(logits));
    }

    #[test]
    fn a_given_mask_takes_the_place_of_the_logits_and_they_of_the_mask() {
        let logits = |v: f32| LowResLogits { side: 1, data: vec![v].into() };
        let mut objects = Objects::default();
        objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME).unwrap();
        objects.get_mut(1).unwrap().previous = Some(logits(3.0));
        objects.mask(logits(7.0), Persistence::Hold, &FRAME).unwrap();
        assert_eq!(objects.get(1).unwrap().refined().mask, Some(logits(7.0)));
        objects.get_mut(1).unwrap().previous = Some(logits(5.0));
        objects.click(Point::foreground(2.0, 2.0), Persistence::Hold, &FRAME).unwrap();
        assert_eq!(objects.get(1).unwrap().refined().mask, Some(logits(5.0)));
    }

    #[test]
    fn clear_does_not_look_at_the_objects_of_its_message() {
        let mut objects = Objects::default();
        objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME).unwrap();
        let twice = vec![asked(3, Prompt::default()), asked(3, Prompt::default()), asked(70_000, Prompt::default())];
        assert_eq!(objects.apply(Operation::Clear, twice, Persistence::Hold, &FRAME), Ok(Vec::new()));
        assert_eq!(ids(&objects), [0; 0]);
    }

    #[test]
    fn set_replaces_all_add_refines_or_replaces_one_remove_removes() {
        let mut objects = Objects::default();
        objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME).unwrap();
        let set = vec![asked(7, Prompt::point(2.0, 2.0)), asked(0, Prompt::bbox(0.0, 0.0, 4.0, 4.0))];
        assert_eq!(objects.apply(Operation::Set, set, Persistence::Hold, &FRAME).unwrap(), [7, 1]);
        assert_eq!(ids(&objects), [1, 7]);
        let more = ObjectPrompt { refine: true, ..asked(7, Prompt::point(3.0, 3.0)) };
        objects.apply(Operation::Add, vec![more], Persistence::Hold, &FRAME).unwrap();
        assert_eq!(objects.get(7).unwrap().prompt.points.len(), 2);
        objects.apply(Operation::Add, vec![asked(7, Prompt::point(4.0, 4.0))], Persistence::Hold, &FRAME).unwrap();
        assert_eq!(objects.get(7).unwrap().prompt.points, [Point::foreground(4.0, 4.0)]);
        objects.apply(Operation::Remove, vec![asked(7, Prompt::default())], Persistence::Hold, &FRAME).unwrap();
        assert_eq!(ids(&objects), [1]);
        objects.apply(Operation::Clear, Vec::new(), Persistence::Hold, &FRAME).unwrap();
        assert_eq!(objects.iter().count(), 0);
    }

    #[test]
    fn what_is_wrong_changes_nothing() {
        let mut objects = Objects::default();
        objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME).unwrap();
        let unknown = objects.apply(Operation::Remove, vec![asked(9, Prompt::default())], Persistence::Hold, &FRAME);
        assert_eq!(unknown.unwrap_err().kind, RefusalKind::UnknownObject);
        let twice = vec![asked(3, Prompt::point(1.0, 1.0)), asked(3, Prompt::point(2.0, 2.0))];
        assert!(objects.apply(Operation::Set, twice, Persistence::Hold, &FRAME).is_err());
        let large = vec![asked(70_000, Prompt::point(1.0, 1.0))];
        assert!(objects.apply(Operation::Set, large, Persistence::Hold, &FRAME).is_err());
        assert_eq!(ids(&objects), [1]);
    }

    #[test]
    fn an_object_without_a_number_takes_none_that_the_message_names() {
        let mut objects = Objects::default();
        let set =
            vec![asked(0, Prompt::point(1.0, 1.0)), asked(1, Prompt::point(2.0, 2.0)), asked(0, Prompt::default())];
        assert_eq!(objects.apply(Operation::Set, set, Persistence::Hold, &FRAME).unwrap(), [2, 1, 3]);
        assert_eq!(ids(&objects), [1, 2, 3]);
    }

    #[test]
    fn when_all_ids_are_taken_none_is_overwritten() {
        let mut objects = Objects::default();
        let all = (1..=MAX_OBJECT_ID).map(|id| asked(id, Prompt::point(id as f32, 0.0))).collect();
        objects.apply(Operation::Set, all, Persistence::Hold, &FRAME).unwrap();
        let last = objects.get(MAX_OBJECT_ID).unwrap().prompt.clone();
        let refused = |r: Result<u32, Refusal>| assert_eq!(r.unwrap_err().kind, RefusalKind::TooManyObjects);
        refused(objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME));
        let one = vec![asked(0, Prompt::point(1.0, 1.0))];
        refused(objects.clone().apply(Operation::Add, one, Persistence::Hold, &FRAME).map(|_| 0));
        assert_eq!(objects.get(MAX_OBJECT_ID).unwrap().prompt, last);
        assert_eq!(objects.check().unwrap_err().kind, RefusalKind::TooManyObjects);
    }

    #[test]
    fn an_object_has_so_many_points_and_no_more() {
        let mut objects = Objects::default();
        for i in 0..MAX_POINTS {
            objects.click(Point::foreground(i as f32, 1.0), Persistence::Hold, &FRAME).unwrap();
        }
        assert_eq!(objects.check(), Ok(()));
        objects.click(Point::foreground(1.0, 1.0), Persistence::Hold, &FRAME).unwrap();
        assert_eq!(objects.check().unwrap_err().kind, RefusalKind::BadPrompt);
    }
}
