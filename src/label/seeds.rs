//! The prompts of a file, by frame and object.
//!
//! ```json
//! [
//!   {"frame": 0, "object": 1, "class": "cup", "points": [[320, 240], [80, 60, 0]]},
//!   {"frame": 30, "object": 2, "class": "plate", "box": [10, 20, 200, 180]}
//! ]
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use crate::prompt::{BoxPrompt, Point, Prompt};

/// Largest number of an object: label images have 16 bits.
pub(super) const MAX_OBJECT: u32 = u16::MAX as u32;

/// Reason why a prompts file is refused.
#[derive(Debug, Error)]
pub enum SeedError {
    #[error(
        "{0}; expected a list such as [{{\"frame\": 0, \"object\": 1, \"class\": \"cup\", \"points\": [[320, 240]]}}]"
    )]
    Json(#[from] serde_json::Error),
    #[error("entry {entry}: {found}, expected {expected}")]
    Entry { entry: usize, found: String, expected: &'static str },
}

/// An entry of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    frame: usize,
    object: u32,
    #[serde(default)]
    class: String,
    /// `[x, y]` on the object, `[x, y, 0]` beside it.
    #[serde(default)]
    points: Vec<Vec<f32>>,
    #[serde(rename = "box")]
    bbox: Option<[f32; 4]>,
}

/// Prompt of an object on a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Seed {
    /// Class of the object; empty without one.
    pub class: String,
    /// Points and box, in pixels of the image.
    pub prompt: Prompt,
}

/// Prompts by frame (number of the image among the messages of its topic) and object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seeds(BTreeMap<usize, BTreeMap<u32, Seed>>);

impl Seeds {
    /// Reads the text of a prompts file.
    ///
    /// # Errors
    /// The text is not JSON of this form, or an entry is contradictory.
    pub fn parse(text: &str) -> Result<Seeds, SeedError> {
        let entries: Vec<Entry> = serde_json::from_str(text)?;
        let mut seeds = Seeds::default();
        for (number, entry) in entries.into_iter().enumerate() {
            let wrong = |found: String, expected| SeedError::Entry { entry: number + 1, found, expected };
            if !(1..=MAX_OBJECT).contains(&entry.object) {
                return Err(wrong(format!("object {}", entry.object), "a number from 1 to 65535"));
            }
            let prompt = prompt(&entry.points, entry.bbox).map_err(|(found, expected)| wrong(found, expected))?;
            if prompt.points.is_empty() && prompt.bbox.is_none() {
                return Err(wrong("neither points nor a box".to_owned(), "at least one of them"));
            }
            let on_frame = seeds.0.entry(entry.frame).or_default();
            if on_frame.insert(entry.object, Seed { class: entry.class, prompt }).is_some() {
                let found = format!("a second entry for object {} on frame {}", entry.object, entry.frame);
                return Err(wrong(found, "one entry with all points and the box"));
            }
        }
        Ok(seeds)
    }

    /// Returns the prompts on a frame, by object.
    pub fn on(&self, frame: usize) -> Option<&BTreeMap<u32, Seed>> {
        self.0.get(&frame)
    }

    /// Returns the frames with prompts.
    pub fn frames(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.keys().copied()
    }

    /// Returns the largest number of an object; 0 without prompts.
    pub fn last_object(&self) -> u32 {
        self.0.values().flat_map(BTreeMap::keys).copied().max().unwrap_or(0)
    }
}

/// Returns the prompt of an entry. `points` are `[x, y]` on the object and `[x, y, 0]` beside it, `bbox` has two corners.
///
/// # Errors
/// A point has another form: what was found and what was expected.
pub(super) fn prompt(points: &[Vec<f32>], bbox: Option<[f32; 4]>) -> Result<Prompt, (String, &'static str)> {
    let point = |point: &Vec<f32>| match point[..] {
        [x, y] | [x, y, 1.0] => Ok(Point::foreground(x, y)),
        [x, y, 0.0] => Ok(Point::background(x, y)),
        _ => Err((format!("the point {point:?}"), "[x, y], [x, y, 1] or [x, y, 0]")),
    };
    let points = points.iter().map(point).collect::<Result<_, _>>()?;
    let bbox = bbox.map(|[x_min, y_min, x_max, y_max]| BoxPrompt { x_min, y_min, x_max, y_max });
    Ok(Prompt { points, bbox, mask: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_read_by_frame_and_object() {
        let text = r#"[{"frame": 4, "object": 2, "class": "cup", "points": [[1, 2], [3, 4, 0]], "box": [0, 0, 9, 8]},
                      {"frame": 0, "object": 7, "points": [[5, 6, 1]]}]"#;
        let seeds = Seeds::parse(text).unwrap();
        assert_eq!(seeds.frames().collect::<Vec<_>>(), [0, 4]);
        assert_eq!(seeds.last_object(), 7);
        let seed = &seeds.on(4).unwrap()[&2];
        let expected = Prompt::bbox(0.0, 0.0, 9.0, 8.0)
            .with_point(Point::foreground(1.0, 2.0))
            .with_point(Point::background(3.0, 4.0));
        assert_eq!((seed.class.as_str(), &seed.prompt), ("cup", &expected));
        assert_eq!(Seeds::parse("[]").unwrap(), Seeds::default());
    }

    #[test]
    fn wrong_files_are_refused_with_the_entry_and_what_was_found() {
        for (text, part) in [
            ("", "expected a list"),
            ("{}", "expected a list"),
            (r#"[{"frame": -1, "object": 1, "points": [[1, 2]]}]"#, "line 1"),
            (r#"[{"frame": 0, "object": 0, "points": [[1, 2]]}]"#, "object 0"),
            (r#"[{"frame": 0, "object": 1, "points": [[1]]}]"#, "entry 1: the point [1.0]"),
            (r#"[{"frame": 0, "object": 1}]"#, "neither points nor a box"),
            (r#"[{"frame": 0, "object": 1, "point": [[1, 2]]}]"#, "unknown field"),
            (
                r#"[{"frame": 0, "object": 1, "points": [[1, 2]]}, {"frame": 0, "object": 1, "box": [1, 2, 3, 4]}]"#,
                "entry 2: a second entry",
            ),
        ] {
            let error = Seeds::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
