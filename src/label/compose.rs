//! The objects on a frame, of the first pass and of those that are followed afterwards.

use super::identity::iou;
use super::leftover::COVERED;
use super::record::{FrameRecord, ObjectRecord, Source};
use crate::everything::unique::shared_area;
use crate::pixels::RunLengths;

/// An object that replaces the one of the same number of the first pass on a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Replacement {
    pub object: u32,
    /// None if the object is not on the frame.
    pub record: Option<ObjectRecord>,
}

/// Replaces objects of a frame. Of two masks with an IoU above `merge_iou` the one of a prompt stays, then the one of the first
/// pass, then the one with the lower number; two prompts both stay. Masks of everything mode stay if the new masks cover at most
/// half of them.
///
/// # Errors
/// A mask is no run lengths of the frame's size, in words.
pub fn replace_objects(record: &mut FrameRecord, replacements: Vec<Replacement>, merge_iou: f32) -> Result<(), String> {
    if replacements.is_empty() {
        return Ok(());
    }
    let is_replaced = |object: &ObjectRecord| replacements.iter().any(|new| new.object == object.object);
    let old = std::mem::take(&mut record.objects).into_iter().filter(|object| !is_replaced(object));
    let (auto, old): (Vec<ObjectRecord>, Vec<ObjectRecord>) = old.partition(|object| object.source == Source::Auto);
    let new = replacements.into_iter().filter_map(|new| new.record);
    let mut ranked: Vec<(bool, ObjectRecord)> =
        old.into_iter().map(|object| (false, object)).chain(new.map(|object| (true, object))).collect();
    ranked.sort_by_key(|(is_new, object)| (object.source != Source::Prompt, *is_new, object.object));
    let (mut kept, mut new_masks) = (Vec::<RunLengths>::new(), Vec::new());
    for (is_new, object) in ranked {
        let mask = record.run_lengths(&object)?;
        if object.source != Source::Prompt && kept.iter().any(|other| iou(other, &mask) > merge_iou) {
            continue;
        }
        if is_new {
            new_masks.push(mask.clone());
        }
        kept.push(mask);
        record.objects.push(object);
    }
    for object in auto {
        let mask = record.run_lengths(&object)?;
        let covered = new_masks.iter().map(|new| shared_area(new, &mask)).max().unwrap_or(0);
        if covered as f32 <= COVERED * object.area as f32 {
            record.objects.push(object);
        }
    }
    record.objects.sort_by_key(|object| object.object);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Mask;

    /// An object on columns `start..end` of a frame of 10 by 4 pixels.
    fn object(number: u32, source: Source, start: usize, end: usize) -> ObjectRecord {
        let data: Vec<u8> = (0..40).map(|at| u8::from((start..end).contains(&(at % 10)))).collect();
        ObjectRecord::sample(number, "", source, &Mask::from_data(10, 4, &data).unwrap())
    }

    fn frame(objects: Vec<ObjectRecord>) -> FrameRecord {
        FrameRecord::sample(0, (10, 4), objects)
    }

    fn replaced(objects: Vec<ObjectRecord>, new: Vec<(u32, Option<ObjectRecord>)>) -> Vec<(u32, [u32; 4])> {
        let mut record = frame(objects);
        let new = new.into_iter().map(|(object, record)| Replacement { object, record }).collect();
        replace_objects(&mut record, new, 0.5).unwrap();
        record.objects.iter().map(|object| (object.object, object.bbox)).collect()
    }

    #[test]
    fn objects_are_replaced_added_and_removed_by_number() {
        let old = vec![object(1, Source::Prompt, 0, 2), object(2, Source::Detection, 5, 8)];
        let new =
            vec![(1, Some(object(1, Source::Prompt, 1, 3))), (2, None), (4, Some(object(4, Source::Prompt, 8, 10)))];
        assert_eq!(replaced(old, new), [(1, [1, 0, 2, 4]), (4, [8, 0, 2, 4])]);
    }

    #[test]
    fn of_two_masks_of_one_object_a_prompt_stays_then_the_first_pass_then_the_lower_number() {
        let other = (9, None);
        let detection = object(2, Source::Detection, 0, 4);
        let prompt = (3, Some(object(3, Source::Prompt, 0, 4)));
        assert_eq!(replaced(vec![detection.clone()], vec![prompt.clone()]), [(3, [0, 0, 4, 4])]);
        let followed = (1, Some(object(1, Source::Detection, 0, 4)));
        assert_eq!(replaced(vec![detection], vec![followed.clone()]), [(2, [0, 0, 4, 4])]);
        let later = (5, Some(object(5, Source::Detection, 0, 4)));
        assert_eq!(replaced(vec![], vec![later, followed]), [(1, [0, 0, 4, 4])]);
        let both = vec![object(2, Source::Prompt, 0, 4)];
        assert_eq!(replaced(both, vec![prompt, other]), [(2, [0, 0, 4, 4]), (3, [0, 0, 4, 4])]);
    }

    #[test]
    fn masks_of_everything_mode_go_where_new_masks_cover_more_than_half() {
        let auto = vec![object(7, Source::Auto, 0, 4), object(8, Source::Auto, 5, 9)];
        let new = vec![(1, Some(object(1, Source::Detection, 2, 8)))];
        assert_eq!(replaced(auto.clone(), new), [(1, [2, 0, 6, 4]), (7, [0, 0, 4, 4])]);
        // Without a new mask nothing changes, whatever covers what.
        let first = object(2, Source::Detection, 0, 4);
        assert_eq!(replaced(vec![first, auto[0].clone()], vec![(1, None)]).len(), 2);
    }

    #[test]
    fn a_changed_record_is_refused() {
        let wrong = ObjectRecord { counts: "x".into(), ..object(1, Source::Prompt, 0, 2) };
        let new = vec![Replacement { object: 1, record: Some(wrong) }];
        assert!(replace_objects(&mut frame(vec![]), new, 0.5).unwrap_err().contains("10x4"));
    }
}
