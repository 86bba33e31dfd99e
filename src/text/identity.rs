//! Names of the objects that one search after another finds: the same object keeps its name.

use std::collections::BTreeMap;

use crate::everything::pairs::best_pairs;
use crate::prompt::BoxPrompt;

/// Least IoU of the boxes of an object in two searches.
const LEAST_IOU: f32 = 0.3;
/// Most searches in a row that may miss an object before its name ends.
const MOST_MISSED: u32 = 5;

/// The objects of the last searches, with their names.
#[derive(Debug, Default)]
pub struct Identities {
    known: Vec<Known>,
    /// Number of the last object of each class.
    last: BTreeMap<String, u32>,
}

/// An object of an earlier search.
#[derive(Debug)]
struct Known {
    class: String,
    number: u32,
    bbox: BoxPrompt,
    /// Searches since the object was found last.
    missed: u32,
}

impl Identities {
    /// Returns the names of the boxes of a search, given with their classes: the class and a number, such as "red cup 2". A box
    /// that overlaps the box of an earlier object of its class has the name of that object.
    pub fn names(&mut self, boxes: &[(String, BoxPrompt)]) -> Vec<String> {
        let overlap = |i: usize, j: usize| {
            let (known, (class, bbox)) = (&self.known[i], &boxes[j]);
            let overlap = if known.class == *class { iou(&known.bbox, bbox) } else { 0.0 };
            if overlap >= LEAST_IOU { overlap } else { 0.0 }
        };
        let predecessors = best_pairs(self.known.len(), boxes.len(), overlap, |i, j| (i, j));
        self.known.iter_mut().for_each(|known| known.missed += 1);
        let mut names = Vec::with_capacity(boxes.len());
        for ((class, bbox), predecessor) in boxes.iter().zip(predecessors) {
            let number = match predecessor {
                Some(i) => {
                    let known = &mut self.known[i];
                    (known.bbox, known.missed) = (*bbox, 0);
                    known.number
                }
                None => {
                    let last = self.last.entry(class.clone()).or_default();
                    *last += 1;
                    self.known.push(Known { class: class.clone(), number: *last, bbox: *bbox, missed: 0 });
                    *last
                }
            };
            names.push(format!("{class} {number}"));
        }
        self.known.retain(|known| known.missed <= MOST_MISSED);
        names
    }

    /// Forgets the objects of all other classes. Their numbers start again.
    pub fn keep_classes(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.known.retain(|known| is_kept(&known.class));
        self.last.retain(|class, _| is_kept(class));
    }
}

/// Returns the intersection over union of two boxes; 0 for boxes without area.
pub(super) fn iou(a: &BoxPrompt, b: &BoxPrompt) -> f32 {
    let area = |b: &BoxPrompt| (b.x_max - b.x_min).max(0.0) * (b.y_max - b.y_min).max(0.0);
    let width = a.x_max.min(b.x_max) - a.x_min.max(b.x_min);
    let height = a.y_max.min(b.y_max) - a.y_min.max(b.y_min);
    let shared = width.max(0.0) * height.max(0.0);
    let union = area(a) + area(b) - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(class: &str, x: f32) -> (String, BoxPrompt) {
        (class.into(), BoxPrompt { x_min: x, y_min: 0.0, x_max: x + 10.0, y_max: 10.0 })
    }

    #[test]
    fn an_object_keeps_its_name_while_its_boxes_overlap() {
        let mut identities = Identities::default();
        assert_eq!(identities.names(&[at("cup", 0.0), at("cup", 50.0), at("egg", 0.0)]), ["cup 1", "cup 2", "egg 1"]);
        // In another order, and moved.
        assert_eq!(identities.names(&[at("cup", 53.0), at("egg", 2.0), at("cup", 4.0)]), ["cup 2", "egg 1", "cup 1"]);
        // Another class at the same place, and another place.
        assert_eq!(identities.names(&[at("dog", 4.0), at("cup", 80.0)]), ["dog 1", "cup 3"]);
    }

    #[test]
    fn an_object_that_was_missed_for_a_while_is_found_again() {
        let mut identities = Identities::default();
        assert_eq!(identities.names(&[at("cup", 0.0)]), ["cup 1"]);
        for _ in 0..MOST_MISSED {
            assert_eq!(identities.names(&[]), [""; 0]);
        }
        assert_eq!(identities.names(&[at("cup", 1.0)]), ["cup 1"]);
        for _ in 0..=MOST_MISSED {
            identities.names(&[]);
        }
        assert_eq!(identities.names(&[at("cup", 1.0)]), ["cup 2"]);
    }

    #[test]
    fn the_better_box_gets_the_name() {
        let mut identities = Identities::default();
        identities.names(&[at("cup", 0.0)]);
        assert_eq!(identities.names(&[at("cup", 3.0), at("cup", 1.0)]), ["cup 2", "cup 1"]);
    }

    #[test]
    fn a_class_that_is_not_searched_for_any_more_starts_again() {
        let mut identities = Identities::default();
        identities.names(&[at("cup", 0.0), at("egg", 0.0)]);
        identities.keep_classes(|class| class == "egg");
        assert_eq!(identities.names(&[at("cup", 0.0), at("egg", 0.0)]), ["cup 1", "egg 1"]);
        assert_eq!(identities.names(&[at("cup", 40.0)]), ["cup 2"]);
    }

    #[test]
    fn boxes_without_area_overlap_nothing() {
        let point = BoxPrompt { x_min: 3.0, y_min: 3.0, x_max: 3.0, y_max: 3.0 };
        assert_eq!(iou(&point, &point), 0.0);
        let (_, a) = at("", 0.0);
        let (_, b) = at("", 5.0);
        assert!((iou(&a, &b) - 50.0 / 150.0).abs() < 1e-6);
    }
}
