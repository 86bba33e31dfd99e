//! Corrections: masks and prompts of a person for objects on frames that are labelled already.
//!
//! The file is a list as that of the prompts, whose entries may also have a mask:
//!
//! ```json
//! [{"frame": 30, "object": 2, "mask": {"size": [480, 640], "counts": "..."}},
//!  {"frame": 45, "object": 1, "points": [[320, 240], [80, 60, 0]]}]
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::indexed::NumberedPixels;
use super::record::{ObjectRecord, Source, run_lengths};
use super::seeds::{MAX_OBJECT, prompt};
use crate::pixels::{Mask, RunLengths, coco_string, label_image};
use crate::prompt::Prompt;

/// A mask as COCO's compressed run lengths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MaskText {
    /// Height and width of the image in pixels.
    size: [u32; 2],
    counts: String,
}

/// What a person gave for an object on a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    /// Number of the frame.
    pub frame: usize,
    pub object: u32,
    /// Class of the object; empty for the class that it has.
    #[serde(default)]
    pub class: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    points: Vec<Vec<f32>>,
    #[serde(rename = "box", default, skip_serializing_if = "Option::is_none")]
    bbox: Option<[f32; 4]>,
    /// The mask. None for a prompt that is not decoded yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mask: Option<MaskText>,
    /// IoU that the model predicted for the mask of a prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iou: Option<f32>,
}

impl Correction {
    /// Makes a correction by a mask. An empty mask says that the object is not on the frame.
    pub fn of_mask(frame: usize, object: u32, class: String, mask: &Mask) -> Self {
        let correction = Correction { frame, object, class, points: Vec::new(), bbox: None, mask: None, iou: None };
        Correction { mask: Some(mask_text(mask)), ..correction }
    }

    /// Returns the prompt with the mask that was decoded for it.
    pub fn decoded(self, mask: &Mask, iou: f32) -> Self {
        Correction { mask: Some(mask_text(mask)), iou: Some(iou), ..self }
    }

    /// Returns the mask, for an image of this size; none if there is none, or the image has another size.
    pub fn run_lengths(&self, (width, height): (u32, u32)) -> Option<RunLengths> {
        let mask = self.mask.as_ref().filter(|mask| mask.size == [height, width])?;
        run_lengths(&mask.counts, (width, height))
    }

    pub fn has_mask(&self) -> bool {
        self.mask.is_some()
    }

    /// Returns height and width of the mask's image in pixels.
    pub fn mask_size(&self) -> Option<[u32; 2]> {
        self.mask.as_ref().map(|mask| mask.size)
    }

    /// Returns the points and the box.
    ///
    /// # Errors
    /// A point has another form than `[x, y]` or `[x, y, 0]`, in words.
    pub fn prompt(&self) -> Result<Prompt, String> {
        let found = prompt(&self.points, self.bbox);
        found.map_err(|(found, expected)| format!("{found}, expected {expected}"))
    }

    /// Returns whether both come from the same points and box.
    pub fn has_prompt_of(&self, other: &Correction) -> bool {
        (&self.points, self.bbox) == (&other.points, other.bbox) && !(self.points.is_empty() && self.bbox.is_none())
    }

    /// Returns the record of the object on its frame; none if the object is not there.
    pub fn record(&self, size: (u32, u32)) -> Option<ObjectRecord> {
        let mask = self.run_lengths(size)?.to_mask();
        let (area, bbox, counts) = ObjectRecord::of_mask(&mask);
        (area > 0).then(|| ObjectRecord {
            object: self.object,
            class: self.class.clone(),
            source: Source::Prompt,
            iou: self.iou.unwrap_or(1.0),
            stability: 1.0,
            object_score: None,
            detection_score: None,
            area,
            bbox,
            counts,
        })
    }
}

fn mask_text(mask: &Mask) -> MaskText {
    MaskText { size: [mask.height, mask.width], counts: coco_string(&RunLengths::of(mask).counts) }
}

/// Corrections by frame and object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Corrections(BTreeMap<(usize, u32), Correction>);

impl Corrections {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The text is not JSON of this form, or an entry is contradictory, in words.
    pub fn parse(text: &str) -> Result<Corrections, String> {
        let entries: Vec<Correction> = serde_json::from_str(text).map_err(|e| {
            format!("{e}; expected a list such as [{{\"frame\": 30, \"object\": 2, \"points\": [[320, 240]]}}]")
        })?;
        let mut corrections = Corrections::default();
        for (number, entry) in (1..).zip(entries) {
            let wrong = |what: String| Err(format!("entry {number}: {what}"));
            if !(1..=MAX_OBJECT).contains(&entry.object) {
                return wrong(format!("object {}, expected a number from 1 to {MAX_OBJECT}", entry.object));
            }
            let prompt = entry.prompt().map_err(|e| format!("entry {number}: {e}"))?;
            if prompt.points.is_empty() && prompt.bbox.is_none() && !entry.has_mask() {
                return wrong("neither points nor a box nor a mask, expected at least one of them".to_owned());
            }
            if let Some([height, width]) = entry.mask_size()
                && entry.run_lengths((width, height)).is_none()
            {
                return wrong(format!("the mask has no run lengths of {width}x{height} pixels"));
            }
            let (frame, object) = (entry.frame, entry.object);
            if corrections.0.insert((frame, object), entry).is_some() {
                return wrong(format!("a second entry for object {object} on frame {frame}, expected one"));
            }
        }
        Ok(corrections)
    }

    /// Returns the text of a file, one line for each correction.
    ///
    /// # Errors
    /// A number is not finite, in words.
    pub fn text(&self) -> Result<String, String> {
        let lines: Vec<String> =
            self.0.values().map(serde_json::to_string).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        Ok(format!("[\n{}\n]\n", lines.join(",\n")))
    }

    pub fn get(&self, frame: usize, object: u32) -> Option<&Correction> {
        self.0.get(&(frame, object))
    }

    /// Adds a correction, or replaces the one of its object on its frame.
    pub fn set(&mut self, correction: Correction) {
        self.0.insert((correction.frame, correction.object), correction);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Correction> {
        self.0.values()
    }

    /// Returns the corrections on a frame.
    pub fn on(&self, frame: usize) -> impl Iterator<Item = &Correction> {
        self.0.range((frame, 0)..=(frame, u32::MAX)).map(|(_, correction)| correction)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of corrections, and of the objects that they are for.
    pub fn count(&self) -> (usize, usize) {
        let objects: BTreeSet<u32> = self.0.keys().map(|(_, object)| *object).collect();
        (self.0.len(), objects.len())
    }
}

/// Returns the objects whose masks a person changed in a picture of numbers, with their new masks. `before` are the masks that
/// the picture was made of; numbers above the largest of the picture are not in it. Of masks that overlap, the picture shows
/// only the smaller; what it hides is unchanged.
pub fn edited_masks(before: &[(u32, &Mask)], edited: &NumberedPixels) -> Vec<(u32, Mask)> {
    let before: Vec<(u32, &Mask)> = before.iter().filter(|(number, _)| *number <= edited.largest).copied().collect();
    let shown = match before.as_slice() {
        [] => vec![0; edited.numbers.len()],
        masks => label_image(masks),
    };
    let changed: Vec<usize> =
        (0..shown.len().min(edited.numbers.len())).filter(|i| shown[*i] != edited.numbers[*i]).collect();
    let numbers: BTreeSet<u16> =
        changed.iter().flat_map(|i| [shown[*i], edited.numbers[*i]]).filter(|n| *n > 0).collect();
    let mut masks = Vec::new();
    for number in numbers {
        let old = before.iter().find(|(object, _)| *object == u32::from(number));
        let mut pixels = old.map_or_else(|| vec![0; edited.numbers.len()], |(_, mask)| mask.full());
        for at in &changed {
            if edited.numbers[*at] == number {
                pixels[*at] = 255;
            } else if shown[*at] == number {
                pixels[*at] = 0;
            }
        }
        masks.extend(Mask::from_data(edited.width, edited.height, &pixels).map(|mask| (u32::from(number), mask)));
    }
    masks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pixels: &[u8]) -> Mask {
        Mask::from_data(pixels.len() as u32, 1, pixels).unwrap()
    }

    fn picture(numbers: &[u16]) -> NumberedPixels {
        NumberedPixels { width: numbers.len() as u32, height: 1, numbers: numbers.to_vec(), largest: 255 }
    }

    #[test]
    fn only_edited_objects_change_and_hidden_pixels_stay() {
        // Object 1 lies below object 2.
        let (table, cup) = (row(&[1, 1, 1, 1, 0, 0]), row(&[0, 1, 1, 0, 0, 0]));
        let before = [(1, &table), (2, &cup)];
        assert_eq!(edited_masks(&before, &picture(&[1, 2, 2, 1, 0, 0])), []);
        let grown = edited_masks(&before, &picture(&[1, 2, 2, 1, 1, 0]));
        assert_eq!(grown, [(1, row(&[1, 1, 1, 1, 1, 0]))]);
        let erased = edited_masks(&before, &picture(&[1, 0, 0, 1, 0, 0]));
        assert_eq!(erased, [(2, row(&[0; 6]))]);
        let moved = edited_masks(&before, &picture(&[1, 1, 2, 1, 0, 3]));
        assert_eq!(moved, [(1, table.clone()), (2, row(&[0, 0, 1, 0, 0, 0])), (3, row(&[0, 0, 0, 0, 0, 1]))]);
        assert_eq!(edited_masks(&[], &picture(&[0, 7])), [(7, row(&[0, 1]))]);
    }

    #[test]
    fn a_file_is_read_back_and_a_decoded_prompt_keeps_its_points() {
        let text = r#"[{"frame": 4, "object": 2, "class": "cup", "points": [[1, 2], [3, 4, 0]]},
                      {"frame": 4, "object": 1, "mask": {"size": [1, 3], "counts": "021"}}]"#;
        let mut corrections = Corrections::parse(text).unwrap();
        assert_eq!(corrections.count(), (2, 2));
        assert_eq!(corrections.get(4, 1).unwrap().run_lengths((3, 1)).unwrap().counts, [0, 2, 1]);
        assert!(corrections.get(4, 1).unwrap().run_lengths((1, 3)).is_none(), "another size");
        let prompt = corrections.get(4, 2).unwrap().clone();
        assert!(!prompt.has_mask() && prompt.prompt().unwrap().points.len() == 2);
        let decoded = prompt.clone().decoded(&row(&[1, 0, 0]), 0.75);
        assert!(decoded.has_prompt_of(&prompt) && decoded.has_mask());
        corrections.set(decoded.clone());
        assert_eq!(Corrections::parse(&corrections.text().unwrap()).unwrap(), corrections);
        let record = decoded.record((3, 1)).unwrap();
        assert_eq!((record.object, record.class.as_str(), record.iou, record.area), (2, "cup", 0.75, 1));
        let absent = Correction::of_mask(1, 3, String::new(), &Mask::empty(3, 1));
        assert_eq!(absent.record((3, 1)), None);
        assert_eq!(Corrections::parse(&Corrections::default().text().unwrap()).unwrap(), Corrections::default());
    }

    #[test]
    fn wrong_files_are_refused_with_the_entry_and_what_was_found() {
        for (text, part) in [
            ("{}", "expected a list"),
            (r#"[{"frame": 0, "object": 0, "points": [[1, 2]]}]"#, "entry 1: object 0"),
            (r#"[{"frame": 0, "object": 1}]"#, "neither points nor a box nor a mask"),
            (r#"[{"frame": 0, "object": 1, "points": [[1]]}]"#, "entry 1: the point [1.0]"),
            (r#"[{"frame": 0, "object": 1, "mask": {"size": [2, 2], "counts": "021"}}]"#, "no run lengths of 2x2"),
            (
                r#"[{"frame": 0, "object": 1, "box": [1, 2, 3, 4]}, {"frame": 0, "object": 1, "box": [1, 2, 3, 4]}]"#,
                "entry 2: a second entry for object 1 on frame 0",
            ),
        ] {
            let error = Corrections::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
