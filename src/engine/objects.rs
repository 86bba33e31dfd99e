//! The objects that are being pointed at, and what each prompt does to them.

use std::collections::BTreeMap;

use super::command::{ObjectPrompt, Operation, Persistence, Refusal, RefusalKind};
use super::frame::Stamp;
use crate::prompt::{BoxPrompt, LowResLogits, Point, Prompt};

/// `~/labels` is mono16.
pub const MAX_OBJECT_ID: u32 = u16::MAX as u32;

/// One object, from its first prompt until it is cleared.
#[derive(Debug, Clone)]
pub struct Object {
    pub id: u32,
    pub class_id: String,
    /// Everything the user said about it so far, in pixels of the image.
    pub prompt: Prompt,
    /// What its last prompt was decoded with: `prompt` and the logits that were fed back. Held objects are decoded with
    /// the same on every frame, so that a mask does not change where the picture does not.
    pub held: Prompt,
    pub persistence: Persistence,
    /// The low-resolution logits of its last mask.
    pub previous: Option<LowResLogits>,
    /// Area of its last mask as a fraction of the image; judges jumps while tracking.
    pub previous_area: f32,
    /// Tracking gave up on it; it is tried again on every frame.
    pub lost: bool,
    /// The frame of its last prompt.
    pub prompted_on: Stamp,
}

impl Object {
    fn new(id: u32, class_id: String, persistence: Persistence) -> Self {
        Object {
            id,
            class_id,
            prompt: Prompt::default(),
            held: Prompt::default(),
            persistence,
            previous: None,
            previous_area: 0.0,
            lost: false,
            prompted_on: Stamp::NONE,
        }
    }

    /// The prompt as the decoder gets it when the user has just said something more: with the previous logits, as
    /// SAM's interactive use does. They hold what an earlier mask prompt said.
    pub fn refined(&self) -> Prompt {
        let mask = self.previous.clone().or_else(|| self.prompt.mask.clone());
        Prompt { mask, ..self.prompt.clone() }
    }

    /// A mask that somebody gave takes the place of the logits so far.
    fn give_mask(&mut self, mask: LowResLogits) {
        self.prompt.mask = Some(mask);
        self.previous = None;
    }
}

/// All current objects. The decoder's thread changes a copy and keeps it once the decoder accepted the prompts,
/// so that a bad prompt costs nothing that was there.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    map: BTreeMap<u32, Object>,
    /// The object that clicks belong to; `None`: the next click starts one.
    pub(super) current: Option<u32>,
    /// The first click of a box, waiting for the second.
    pub corner: Option<Point>,
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

    /// Forgets the objects that do not pass, but for the one that clicks belong to.
    pub fn retain(&mut self, pass: impl Fn(&Object) -> bool) {
        let current = self.current;
        self.map.retain(|id, object| current == Some(*id) || pass(object));
    }

    /// Ends the current object: the next click starts another. Returns the corner that waited for its box.
    pub fn new_object(&mut self) -> Option<Point> {
        self.current = None;
        self.corner.take()
    }

    pub fn clear(&mut self) {
        *self = Objects::default();
    }

    fn free_id(&self) -> u32 {
        (1..=MAX_OBJECT_ID).find(|id| !self.map.contains_key(id)).unwrap_or(MAX_OBJECT_ID)
    }

    fn current_mut(&mut self, persistence: Persistence) -> &mut Object {
        let id = self.current.filter(|id| self.map.contains_key(id)).unwrap_or_else(|| self.free_id());
        self.current = Some(id);
        let object = self.map.entry(id).or_insert_with(|| Object::new(id, String::new(), persistence));
        object.persistence = persistence;
        object
    }

    /// A click on the current object. Returns its id.
    pub fn click(&mut self, point: Point, persistence: Persistence) -> u32 {
        let object = self.current_mut(persistence);
        object.prompt.points.push(point);
        object.id
    }

    /// A box for the current object; it replaces an earlier one. Returns its id.
    pub fn region(&mut self, bbox: BoxPrompt, persistence: Persistence) -> u32 {
        let object = self.current_mut(persistence);
        object.prompt.bbox = Some(bbox);
        object.id
    }

    /// A mask of the current object; it replaces what was known of its mask. Returns the object's id.
    pub fn mask(&mut self, mask: LowResLogits, persistence: Persistence) -> u32 {
        let object = self.current_mut(persistence);
        object.give_mask(mask);
        object.id
    }

    /// Applies a PromptArray. Returns the ids that must be decoded again.
    ///
    /// # Errors
    /// An id that is out of range, given twice, or (for `Remove`) unknown; nothing is changed then.
    pub fn apply(
        &mut self,
        operation: Operation,
        prompts: Vec<ObjectPrompt>,
        persistence: Persistence,
    ) -> Result<Vec<u32>, Refusal> {
        if operation == Operation::Clear {
            self.clear();
            return Ok(Vec::new());
        }
        check_ids(&prompts)?;
        match operation {
            Operation::Clear | Operation::Remove => {
                if let Some(p) = prompts.iter().find(|p| !self.map.contains_key(&p.id)) {
                    let known: Vec<_> = self.map.keys().collect();
                    return Err(Refusal::new(
                        RefusalKind::UnknownObject,
                        format!("remove: there is no object {}; there are {known:?}", p.id),
                    ));
                }
                for p in &prompts {
                    self.map.remove(&p.id);
                }
                self.current = self.current.filter(|id| self.map.contains_key(id));
                Ok(Vec::new())
            }
            Operation::Set => {
                let before = std::mem::take(self);
                self.corner = before.corner;
                Ok(prompts.into_iter().map(|p| self.merge(p, &before, persistence)).collect())
            }
            Operation::Add => {
                let before = self.clone();
                Ok(prompts.into_iter().map(|p| self.merge(p, &before, persistence)).collect())
            }
        }
    }

    /// With `refine` the prompts join those that the object had `before`, and its logits are fed back; without, they
    /// replace them.
    fn merge(&mut self, p: ObjectPrompt, before: &Objects, persistence: Persistence) -> u32 {
        let id = if p.id == 0 { self.free_id() } else { p.id };
        let mut object = Object::new(id, p.class_id, persistence);
        if let Some(known) = before.map.get(&id).filter(|_| p.refine) {
            object.prompt.clone_from(&known.prompt);
            object.previous.clone_from(&known.previous);
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

fn check_ids(prompts: &[ObjectPrompt]) -> Result<(), Refusal> {
    for (i, p) in prompts.iter().enumerate() {
        if p.id > MAX_OBJECT_ID {
            return Err(Refusal::new(
                RefusalKind::BadPrompt,
                format!("object id {} is out of range: 1..={MAX_OBJECT_ID}, or 0 for the next free one", p.id),
            ));
        }
        if p.id != 0 && prompts[..i].iter().any(|q| q.id == p.id) {
            return Err(Refusal::new(RefusalKind::BadPrompt, format!("object id {} is given twice", p.id)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(id: u32, prompt: Prompt) -> ObjectPrompt {
        ObjectPrompt { id, prompt, ..ObjectPrompt::default() }
    }

    fn ids(objects: &Objects) -> Vec<u32> {
        objects.iter().map(|o| o.id).collect()
    }

    #[test]
    fn clicks_add_up_until_a_new_object_is_asked_for() {
        let mut objects = Objects::default();
        assert_eq!(objects.click(Point::foreground(1.0, 1.0), Persistence::Hold), 1);
        assert_eq!(objects.click(Point::background(5.0, 5.0), Persistence::Hold), 1);
        objects.new_object();
        assert_eq!(objects.click(Point::foreground(9.0, 9.0), Persistence::Hold), 2);
        assert_eq!(objects.get(1).unwrap().prompt.points.len(), 2);
        assert_eq!(objects.get(2).unwrap().prompt.points.len(), 1);
    }

    #[test]
    fn a_further_click_feeds_the_previous_logits_back() {
        let mut objects = Objects::default();
        objects.click(Point::foreground(1.0, 1.0), Persistence::Hold);
        assert_eq!(objects.get(1).unwrap().refined().mask, None);
        let logits = LowResLogits { side: 1, data: vec![3.0].into() };
        objects.get_mut(1).unwrap().previous = Some(logits.clone());
        objects.click(Point::foreground(2.0, 2.0), Persistence::Hold);
        assert_eq!(objects.get(1).unwrap().refined().mask, Some(logits));
    }

    #[test]
    fn a_given_mask_takes_the_place_of_the_logits_and_they_of_the_mask() {
        let logits = |v: f32| LowResLogits { side: 1, data: vec![v].into() };
        let mut objects = Objects::default();
        objects.click(Point::foreground(1.0, 1.0), Persistence::Hold);
        objects.get_mut(1).unwrap().previous = Some(logits(3.0));
        objects.mask(logits(7.0), Persistence::Hold);
        assert_eq!(objects.get(1).unwrap().refined().mask, Some(logits(7.0)));
        objects.get_mut(1).unwrap().previous = Some(logits(5.0));
        objects.click(Point::foreground(2.0, 2.0), Persistence::Hold);
        assert_eq!(objects.get(1).unwrap().refined().mask, Some(logits(5.0)));
    }

    #[test]
    fn clear_does_not_look_at_the_objects_of_its_message() {
        let mut objects = Objects::default();
        objects.click(Point::foreground(1.0, 1.0), Persistence::Hold);
        let twice = vec![asked(3, Prompt::default()), asked(3, Prompt::default()), asked(70_000, Prompt::default())];
        assert_eq!(objects.apply(Operation::Clear, twice, Persistence::Hold), Ok(Vec::new()));
        assert_eq!(ids(&objects), [0; 0]);
    }

    #[test]
    fn set_replaces_all_add_refines_or_replaces_one_remove_removes() {
        let mut objects = Objects::default();
        objects.click(Point::foreground(1.0, 1.0), Persistence::Hold);
        let set = vec![asked(7, Prompt::point(2.0, 2.0)), asked(0, Prompt::bbox(0.0, 0.0, 4.0, 4.0))];
        assert_eq!(objects.apply(Operation::Set, set, Persistence::Hold).unwrap(), [7, 1]);
        assert_eq!(ids(&objects), [1, 7]);
        let more = ObjectPrompt { refine: true, ..asked(7, Prompt::point(3.0, 3.0)) };
        objects.apply(Operation::Add, vec![more], Persistence::Hold).unwrap();
        assert_eq!(objects.get(7).unwrap().prompt.points.len(), 2);
        objects.apply(Operation::Add, vec![asked(7, Prompt::point(4.0, 4.0))], Persistence::Hold).unwrap();
        assert_eq!(objects.get(7).unwrap().prompt.points, [Point::foreground(4.0, 4.0)]);
        objects.apply(Operation::Remove, vec![asked(7, Prompt::default())], Persistence::Hold).unwrap();
        assert_eq!(ids(&objects), [1]);
        objects.apply(Operation::Clear, Vec::new(), Persistence::Hold).unwrap();
        assert_eq!(objects.iter().count(), 0);
    }

    #[test]
    fn what_is_wrong_changes_nothing() {
        let mut objects = Objects::default();
        objects.click(Point::foreground(1.0, 1.0), Persistence::Hold);
        let unknown = objects.apply(Operation::Remove, vec![asked(9, Prompt::default())], Persistence::Hold);
        assert_eq!(unknown.unwrap_err().kind, RefusalKind::UnknownObject);
        let twice = vec![asked(3, Prompt::point(1.0, 1.0)), asked(3, Prompt::point(2.0, 2.0))];
        assert!(objects.apply(Operation::Set, twice, Persistence::Hold).is_err());
        let large = vec![asked(70_000, Prompt::point(1.0, 1.0))];
        assert!(objects.apply(Operation::Set, large, Persistence::Hold).is_err());
        assert_eq!(ids(&objects), [1]);
    }
}
