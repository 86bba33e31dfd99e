//! All current objects, and the change that each prompt makes.

use std::collections::{BTreeMap, BTreeSet};

use super::object::{Corner, Object};
use crate::engine::frame::PromptedFrame;
use crate::engine::persistence::Persistence;
use crate::engine::refusal::{Refusal, RefusalKind};
use crate::engine::request::{ObjectPrompt, Operation};
use crate::prompt::{BoxPrompt, LowResLogits, MAX_POINTS, Point};

/// Largest object id. The labels image has 16 bits per pixel.
pub const MAX_OBJECT_ID: u32 = u16::MAX as u32;
/// Most objects at a time. An object may hold 256 kB of logits and takes time of the decoder on every frame.
pub const MAX_OBJECTS: usize = 1024;
/// All current objects. The decoder's thread changes a copy and stores it once the decoder accepted the prompts, so that
/// a bad prompt changes nothing.
#[derive(Debug, Clone, Default)]
pub struct ObjectSet {
    map: BTreeMap<u32, Object>,
    /// Object that clicks belong to. `None`: the next click starts an object.
    pub current: Option<u32>,
    pub corner: Option<Corner>,
}

impl ObjectSet {
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

    /// Puts an object back into its earlier state. `None` removes the object.
    pub fn restore(&mut self, id: u32, object: Option<Object>) {
        match object {
            Some(object) => self.map.insert(id, object),
            None => self.map.remove(&id),
        };
    }

    /// Keeps the objects for which `pass` is true and removes the others.
    pub fn retain(&mut self, pass: impl Fn(&Object) -> bool) {
        self.map.retain(|_, object| pass(object));
        self.current = self.current.filter(|id| self.map.contains_key(id));
    }

    /// Scales the prompts of the objects on a frame to the frame's image. Returns the number of scaled objects and the
    /// previous image size; `None` if no object was scaled.
    pub fn scale_to(&mut self, frame: &PromptedFrame) -> Option<(usize, (u32, u32))> {
        let (mut count, mut before) = (0, None);
        for object in self.map.values_mut().filter(|o| o.image_size != frame.size && o.is_on(frame)) {
            before.get_or_insert(object.image_size);
            object.scale_to(frame.size);
            count += 1;
        }
        before.map(|size| (count, size))
    }

    /// Ends the current object, so that the next click starts an object. Returns the corner of an unfinished box.
    pub fn new_object(&mut self) -> Option<Corner> {
        self.current = None;
        self.corner.take()
    }

    pub fn clear(&mut self) {
        *self = ObjectSet::default();
    }

    pub fn count(&self) -> usize {
        self.map.len()
    }

    fn free_id(&self) -> Result<u32, Refusal> {
        (1..=MAX_OBJECT_ID).find(|id| !self.map.contains_key(id)).ok_or_else(no_id)
    }

    /// Returns the id of the object with a tag.
    fn tagged(&self, tag: &str) -> Option<u32> {
        self.map.values().find(|o| !tag.is_empty() && o.tag == tag).map(|o| o.id)
    }

    /// Returns the object that a prompt on the frame belongs to. An object that is not on the frame is replaced by a new
    /// object with the same id.
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

    /// Checks the number of objects and the number of points of each.
    ///
    /// # Errors
    /// A number is above its limit.
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

    /// Adds a click to the current object. Returns the id of the object.
    ///
    /// # Errors
    /// There is no current object and no free id for a new object.
    pub fn click(&mut self, point: Point, persistence: Persistence, frame: &PromptedFrame) -> Result<u32, Refusal> {
        let object = self.current_mut(persistence, frame)?;
        object.prompt.points.push(point);
        Ok(object.id)
    }

    /// Sets the box of the current object. Returns the id of the object.
    ///
    /// # Errors
    /// There is no current object and no free id for a new object.
    pub fn region(&mut self, bbox: BoxPrompt, persistence: Persistence, frame: &PromptedFrame) -> Result<u32, Refusal> {
        let object = self.current_mut(persistence, frame)?;
        object.prompt.bbox = Some(bbox);
        Ok(object.id)
    }

    /// Sets the mask prompt of the current object, in place of all earlier masks. Returns the id of the object.
    ///
    /// # Errors
    /// There is no current object and no free id for a new object.
    pub fn mask(
        &mut self,
        mask: LowResLogits,
        persistence: Persistence,
        frame: &PromptedFrame,
    ) -> Result<u32, Refusal> {
        let object = self.current_mut(persistence, frame)?;
        object.set_mask(mask);
        Ok(object.id)
    }

    /// Applies a PromptArray on a frame. Returns the ids of the objects to decode again.
    ///
    /// # Errors
    /// An id is out of range, occurs twice or (for `Remove`) is unknown, or no id is free. The set may be half changed then:
    /// call this method on a copy.
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
                        p.id = match before.tagged(&p.tag) {
                            Some(id) => id,
                            None => free.next().ok_or_else(no_id)?,
                        };
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
    /// An id is out of range, occurs twice or is unknown. No object is removed then.
    pub fn remove(&mut self, named: &[ObjectPrompt]) -> Result<(), Refusal> {
        check_ids(named)?;
        if let Some(p) = named.iter().find(|p| !self.map.contains_key(&p.id)) {
            let ids: Vec<_> = self.map.keys().collect();
            let message = format!("remove: there is no object {}; there are {ids:?}", p.id);
            return Err(Refusal::new(RefusalKind::UnknownObject, message));
        }
        for p in named {
            self.map.remove(&p.id);
        }
        self.current = self.current.filter(|id| self.map.contains_key(id));
        Ok(())
    }

    /// Adds an object. With `refine` the prompts join the prompts that the object had `before` on this frame, and its
    /// logits are fed back; without `refine` they replace them.
    fn merge(&mut self, p: ObjectPrompt, before: &ObjectSet, persistence: Persistence, frame: &PromptedFrame) -> u32 {
        let id = p.id;
        let mut object = Object::new(id, p.class_id, persistence, frame.size);
        object.tag = p.tag;
        if let Some(earlier) = before.map.get(&id).filter(|_| p.refine) {
            if earlier.is_on(frame) {
                object.prompt.clone_from(&earlier.prompt);
                object.previous_logits.clone_from(&earlier.previous_logits);
                object.prompted_on = earlier.prompted_on;
                object.frame_prompt.clone_from(&earlier.frame_prompt);
                object.memory.clone_from(&earlier.memory);
            }
            if object.class_id.is_empty() {
                object.class_id.clone_from(&earlier.class_id);
            }
            if object.tag.is_empty() {
                object.tag.clone_from(&earlier.tag);
            }
        }
        object.prompt.points.extend(p.prompt.points);
        object.prompt.bbox = p.prompt.bbox.or(object.prompt.bbox);
        if let Some(mask) = p.prompt.mask {
            object.set_mask(mask);
        }
        self.map.insert(id, object);
        id
    }
}

fn no_id() -> Refusal {
    let message = format!("all object ids (1 to {MAX_OBJECT_ID}) are taken: remove objects, or clear them");
    Refusal::new(RefusalKind::TooManyObjects, message)
}

/// Checks the number of objects in a message before its masks are converted: a mask of a few pixels becomes 256 kB of
/// logits.
///
/// # Errors
/// The message has more than [`MAX_OBJECTS`] objects.
pub fn check_count(prompts: &[ObjectPrompt]) -> Result<(), Refusal> {
    if prompts.len() <= MAX_OBJECTS {
        return Ok(());
    }
    let message = format!("{} objects in one message, at most {MAX_OBJECTS} are possible", prompts.len());
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
#[path = "set_tests.rs"]
mod tests;
