//! Numbers of the objects of a recording whose parts were labelled apart: those of one run over the whole recording.
//!
//! A part that is labelled apart begins without objects. Where no memory follows objects, the masks on a frame do not depend
//! on the frames before; only the numbers do. So the numbers of a part follow from the links of its first frame to the last
//! frame of the part before, and from the order in which its new objects appear.

use std::collections::BTreeMap;

use super::identity::link;
use super::labeller::Previous;
use super::record::{FrameRecord, Source};
use crate::pixels::RunLengths;

/// Numbers the objects of one part after the other.
pub struct Renumbering {
    /// Least IoU of the masks of an object on two frames.
    link_iou: f32,
    /// Lowest number that no object has had so far.
    next_object: u32,
    /// Objects on the last frame that was decoded.
    previous: Vec<Previous>,
    /// Number in the recording for each number in the current part.
    numbers: BTreeMap<u32, u32>,
    /// No frame of the current part was decoded so far.
    is_first: bool,
}

impl Renumbering {
    /// `first_object` is the number of the first object that is not in the prompts.
    pub fn new(first_object: u32, link_iou: f32) -> Self {
        Renumbering {
            link_iou,
            next_object: first_object,
            previous: Vec::new(),
            numbers: BTreeMap::new(),
            is_first: true,
        }
    }

    /// Begins the next part.
    pub fn begin_part(&mut self) {
        self.numbers.clear();
        self.is_first = true;
    }

    /// Numbers the objects of the next frame.
    ///
    /// # Errors
    /// A mask of the record cannot be read.
    pub fn frame(&mut self, record: &mut FrameRecord) -> Result<(), String> {
        if record.fault.is_none() {
            let masks: Vec<RunLengths> =
                record.objects.iter().map(|object| record.run_lengths(object)).collect::<Result<_, _>>()?;
            if std::mem::take(&mut self.is_first) {
                self.link_to_previous(record, &masks, Source::Detection);
                self.link_to_previous(record, &masks, Source::Auto);
            }
            // The objects are in the order of their numbers, and new objects of a frame are numbered as they are found.
            for object in &mut record.objects {
                object.object = match object.source {
                    Source::Prompt => object.object,
                    Source::Detection | Source::Auto => self.number(object.object),
                };
            }
            let previous = record.objects.iter().zip(masks).map(|(object, mask)| Previous {
                object: object.object,
                class: object.class.clone(),
                source: object.source,
                detection_score: object.detection_score,
                mask,
            });
            self.previous = previous.collect();
            self.previous.sort_by_key(|previous| previous.object);
            record.objects.sort_by_key(|object| object.object);
        }
        record.next_object = self.next_object;
        Ok(())
    }

    fn number(&mut self, in_part: u32) -> u32 {
        *self.numbers.entry(in_part).or_insert_with(|| {
            self.next_object += 1;
            self.next_object - 1
        })
    }

    /// Links the objects of a source on the first frame of a part to those on the last frame of the part before, with the
    /// rules of [`super::Labeller`].
    fn link_to_previous(&mut self, record: &FrameRecord, masks: &[RunLengths], source: Source) {
        let old: Vec<&Previous> = self.previous.iter().filter(|previous| previous.source == source).collect();
        let new: Vec<usize> = (0..masks.len()).filter(|index| record.objects[*index].source == source).collect();
        let may_link = |i: usize, j: usize| source == Source::Auto || old[i].class == record.objects[new[j]].class;
        let old_masks: Vec<&RunLengths> = old.iter().map(|previous| &previous.mask).collect();
        let new_masks: Vec<&RunLengths> = new.iter().map(|index| &masks[*index]).collect();
        let links = link(&old_masks, &new_masks, self.link_iou, may_link);
        for (index, linked) in new.into_iter().zip(links) {
            if let Some(linked) = linked {
                self.numbers.insert(record.objects[index].object, old[linked].object);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::record::ObjectRecord;
    use crate::pixels::Mask;

    /// A frame with objects: number, class, source, and the columns of the mask in an image of 20 by 4 pixels.
    fn frame(number: usize, objects: &[(u32, &str, Source, std::ops::Range<usize>)]) -> FrameRecord {
        let object = |(object, class, source, columns): &(u32, &str, Source, std::ops::Range<usize>)| {
            let data: Vec<u8> = (0..80).map(|at| u8::from(columns.contains(&(at % 20)))).collect();
            ObjectRecord::sample(*object, class, *source, &Mask::from_data(20, 4, &data).unwrap())
        };
        FrameRecord::sample(number, (20, 4), objects.iter().map(object).collect())
    }

    fn numbers(renumbering: &mut Renumbering, mut record: FrameRecord) -> (Vec<u32>, u32) {
        renumbering.frame(&mut record).unwrap();
        (record.objects.iter().map(|object| object.object).collect(), record.next_object)
    }

    #[test]
    fn objects_keep_their_numbers_across_parts() {
        use Source::{Auto, Detection, Prompt};
        let mut joined = Renumbering::new(3, 0.3);
        let first = frame(0, &[(1, "cup", Prompt, 0..3), (3, "egg", Detection, 4..8), (4, "", Auto, 10..14)]);
        assert_eq!(numbers(&mut joined, first), (vec![1, 3, 4], 5));
        joined.begin_part();
        // An image that cannot be decoded does not break the chain.
        let damaged = FrameRecord { fault: Some("damaged".to_owned()), ..frame(1, &[]) };
        assert_eq!(numbers(&mut joined, damaged), (vec![], 5));
        // In the part: an egg of another class, the egg itself, the mask of everything, and a new one.
        let objects =
            [(3, "cup", Detection, 4..8), (4, "egg", Detection, 5..9), (5, "", Auto, 16..20), (6, "", Auto, 10..14)];
        assert_eq!(numbers(&mut joined, frame(2, &objects)), (vec![3, 4, 5, 6], 7));
        let objects = [(4, "egg", Detection, 15..19), (6, "", Auto, 0..2), (7, "", Auto, 4..6)];
        assert_eq!(numbers(&mut joined, frame(3, &objects)), (vec![3, 4, 7], 8), "4 is 3, 6 is 4, 7 is new");
    }
}
