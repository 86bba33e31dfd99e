//! On which frames each object is, and which objects are the same although they have two numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::record::{FrameRecord, Source};

/// The frames of each object.
#[derive(Debug, Clone, Default)]
pub struct Presence(BTreeMap<u32, Seen>);

/// An object on all its frames.
#[derive(Debug, Clone)]
struct Seen {
    source: Source,
    /// Class on the first frame with a class; empty without one.
    class: String,
    /// Runs of frames, ascending.
    runs: Vec<Range<usize>>,
}

impl Seen {
    fn meets(&self, other: &Seen) -> bool {
        let is_shared = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        self.runs.iter().any(|a| other.runs.iter().any(|b| is_shared(a, b)))
    }
}

impl Presence {
    /// Adds the objects of a frame. Frames are added in ascending order.
    pub fn add(&mut self, at: usize, record: &FrameRecord) {
        for object in &record.objects {
            let seen = self.0.entry(object.object).or_insert_with(|| Seen {
                source: object.source,
                class: String::new(),
                runs: Vec::new(),
            });
            if seen.class.is_empty() {
                seen.class.clone_from(&object.class);
            }
            match seen.runs.last_mut().filter(|run| run.end == at) {
                Some(run) => run.end += 1,
                None => seen.runs.push(at..at + 1),
            }
        }
    }
}

/// Objects that have the number and the class of another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identities(BTreeMap<u32, (u32, String)>);

impl Identities {
    /// Merges objects whose masks met, given as pairs of numbers. Two objects that are together on any frame are not the same,
    /// nor are two objects of prompts. The number of a prompt stays, then the lower number.
    pub fn of(meetings: &BTreeSet<(u32, u32)>, presence: Presence) -> Self {
        let mut seen = presence.0;
        let mut number: BTreeMap<u32, u32> = BTreeMap::new();
        for (a, b) in meetings {
            let root = |object: u32| number.get(&object).copied().unwrap_or(object);
            let (a, b) = (root(*a), root(*b));
            let (Some(first), Some(second)) = (seen.get(&a), seen.get(&b)) else { continue };
            let is_prompt = |object: &Seen| object.source == Source::Prompt;
            if a == b || is_prompt(first) && is_prompt(second) || first.meets(second) {
                continue;
            }
            let keeps_first = if is_prompt(first) || is_prompt(second) { is_prompt(first) } else { a < b };
            let (kept, gone) = if keeps_first { (a, b) } else { (b, a) };
            let Some(other) = seen.remove(&gone) else { continue };
            if let Some(object) = seen.get_mut(&kept) {
                object.runs.extend(other.runs);
                if object.class.is_empty() {
                    object.class = other.class;
                }
            }
            for known in number.values_mut().filter(|known| **known == gone) {
                *known = kept;
            }
            number.insert(gone, kept);
            number.insert(kept, kept);
        }
        let class = |kept: u32| seen.get(&kept).map_or_else(String::new, |object| object.class.clone());
        Identities(number.into_iter().map(|(object, kept)| (object, (kept, class(kept)))).collect())
    }

    /// Returns the number of objects that have the number of another one.
    pub fn merged(&self) -> usize {
        self.0.iter().filter(|(object, (kept, _))| *object != kept).count()
    }

    /// Returns the number that an object has.
    pub fn number(&self, object: u32) -> u32 {
        self.0.get(&object).map_or(object, |(kept, _)| *kept)
    }

    /// Gives the objects of a frame their numbers and classes.
    pub fn apply(&self, record: &mut FrameRecord) {
        for object in &mut record.objects {
            if let Some((kept, class)) = self.0.get(&object.object) {
                object.object = *kept;
                object.class.clone_from(class);
            }
        }
        record.objects.sort_by_key(|object| object.object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::record::ObjectRecord;
    use crate::pixels::Mask;

    fn object(number: u32, source: Source, class: &str) -> ObjectRecord {
        ObjectRecord::sample(number, class, source, &Mask::empty(1, 1))
    }

    fn frame(objects: Vec<ObjectRecord>) -> FrameRecord {
        FrameRecord::sample(0, (1, 1), objects)
    }

    /// Objects as (number, source, class, frames).
    fn presence(objects: &[(u32, Source, &str, &[usize])]) -> Presence {
        let mut presence = Presence::default();
        for at in 0..20 {
            let there = objects.iter().filter(|(.., frames)| frames.contains(&at));
            presence.add(at, &frame(there.map(|(number, source, class, _)| object(*number, *source, class)).collect()));
        }
        presence
    }

    fn numbers(meetings: &[(u32, u32)], presence: Presence) -> Vec<(u32, String)> {
        let identities = Identities::of(&meetings.iter().copied().collect(), presence);
        let mut record = frame((1..=4).map(|number| object(number, Source::Detection, "own")).collect());
        // The order of the numbers before.
        let mut named = Vec::new();
        for before in std::mem::take(&mut record.objects) {
            let mut alone = frame(vec![before]);
            identities.apply(&mut alone);
            named.extend(alone.objects.into_iter().map(|object| (object.object, object.class)));
        }
        named
    }

    fn named(list: [(u32, &str); 4]) -> Vec<(u32, String)> {
        list.into_iter().map(|(number, class)| (number, class.to_owned())).collect()
    }

    #[test]
    fn objects_that_met_and_are_never_together_get_one_number_and_class() {
        use Source::{Detection, Prompt};
        let chain = presence(&[
            (1, Detection, "", &[0, 1, 2]),
            (2, Detection, "cup", &[5, 6]),
            (3, Detection, "mug", &[9, 10, 11]),
            (4, Detection, "", &[1]),
        ]);
        assert_eq!(numbers(&[(3, 2), (2, 1)], chain), named([(1, "cup"), (1, "cup"), (1, "cup"), (4, "own")]));
        let prompt = presence(&[(1, Detection, "cup", &[0]), (4, Prompt, "egg", &[5])]);
        assert_eq!(numbers(&[(4, 1)], prompt), named([(4, "egg"), (2, "own"), (3, "own"), (4, "egg")]));
    }

    #[test]
    fn objects_that_are_together_on_a_frame_stay_apart_also_through_a_third() {
        use Source::{Detection, Prompt};
        let together = presence(&[(1, Detection, "", &[0, 5]), (2, Detection, "", &[5, 6])]);
        assert_eq!(numbers(&[(2, 1)], together)[1].0, 2);
        let third = presence(&[(1, Detection, "", &[0, 9]), (2, Detection, "", &[4]), (3, Detection, "", &[8, 9])]);
        let found: Vec<u32> = numbers(&[(2, 1), (3, 2)], third).into_iter().map(|(number, _)| number).collect();
        assert_eq!(found, [1, 1, 3, 4]);
        let prompts = presence(&[(1, Prompt, "", &[0]), (2, Prompt, "", &[4])]);
        assert_eq!(numbers(&[(2, 1)], prompts)[1].0, 2);
    }
}
