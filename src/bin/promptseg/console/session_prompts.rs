//! The prompts of a session by frame and object, as `promptseg label --prompts` reads them.

use std::collections::BTreeMap;

use promptseg::engine::{FrameResult, ObjectResult, Persistence, ResultSource};
use promptseg::prompt::{BoxPrompt, Label, Point};
use serde_json::{Value, json};

use crate::formats::rounded;

/// Prompts of all objects that were pointed at and not removed.
#[derive(Default)]
pub struct SessionPrompts {
    /// Objects by their number in the file.
    objects: BTreeMap<u32, Prompted>,
    /// Number in the file of each object that the engine has.
    numbers: BTreeMap<u32, u32>,
}

/// An object with its prompts by frame.
#[derive(Default)]
struct Prompted {
    class: String,
    /// The object exists on the prompted frame only.
    is_once: bool,
    frames: BTreeMap<usize, OnFrame>,
}

/// Prompts of an object on a frame.
#[derive(Default, PartialEq)]
struct OnFrame {
    points: Vec<Point>,
    bbox: Option<BoxPrompt>,
}

impl SessionPrompts {
    /// Takes the prompts of a result on a frame. Only answers to prompts count: on further frames the engine repeats prompts of
    /// earlier frames.
    pub fn update(&mut self, frame: usize, result: &FrameResult) {
        if result.source != ResultSource::Prompt {
            return;
        }
        let objects: Vec<&ObjectResult> = result.objects.iter().map(AsRef::as_ref).collect();
        self.remove_absent(frame, &objects);
        for object in objects {
            let Some(persistence) = object.persistence else { continue };
            let number = self.number(object.id);
            let prompted = self.objects.entry(number).or_default();
            prompted.class.clone_from(&object.class_id);
            prompted.is_once = persistence == Persistence::Once;
            prompted.take(frame, object);
        }
    }

    /// Removes the objects that are gone. An object with persistence `once` is gone from every frame except its own, and stays.
    fn remove_absent(&mut self, frame: usize, objects: &[&ObjectResult]) {
        let is_absent = |id: &u32| objects.iter().all(|object| object.id != *id);
        for id in self.numbers.keys().copied().filter(is_absent).collect::<Vec<_>>() {
            let Some(number) = self.numbers.remove(&id) else { continue };
            if self.objects.get(&number).is_some_and(|p| !p.is_once || p.frames.contains_key(&frame)) {
                self.objects.remove(&number);
            }
        }
    }

    /// Returns the number of an object in the file: that of the page if no other object had it.
    fn number(&mut self, id: u32) -> u32 {
        let free = match self.objects.last_key_value() {
            Some((last, _)) if self.objects.contains_key(&id) => last + 1,
            _ => id,
        };
        *self.numbers.entry(id).or_insert(free)
    }

    /// Returns the content of the file, and the number of objects in it.
    pub fn file(&self) -> (String, usize) {
        let mut entries: BTreeMap<(usize, u32), Value> = BTreeMap::new();
        for (number, object) in &self.objects {
            for (frame, prompt) in object.frames.iter().filter(|(_, prompt)| **prompt != OnFrame::default()) {
                let mut entry = json!({ "frame": frame, "object": number, "class": object.class });
                if !prompt.points.is_empty() {
                    entry["points"] = prompt.points.iter().map(point).collect();
                }
                if let Some(b) = prompt.bbox {
                    entry["box"] = [b.x_min, b.y_min, b.x_max, b.y_max].into_iter().map(rounded).collect();
                }
                entries.insert((*frame, *number), entry);
            }
        }
        let objects: std::collections::BTreeSet<u32> = entries.keys().map(|(_, number)| *number).collect();
        let lines: Vec<String> = entries.values().map(|entry| format!("  {entry}")).collect();
        (format!("[\n{}\n]\n", lines.join(",\n")), objects.len())
    }
}

impl Prompted {
    /// Takes the prompts that a result shows, except those of other frames: an object that is held keeps them.
    fn take(&mut self, frame: usize, object: &ObjectResult) {
        let others = || self.frames.iter().filter(|(other, _)| **other != frame).map(|(_, prompt)| prompt);
        let earlier: Vec<Point> = others().flat_map(|prompt| prompt.points.iter().copied()).collect();
        let points = object.points.strip_prefix(earlier.as_slice()).unwrap_or(&object.points).to_vec();
        let mut bbox = object.bbox.filter(|bbox| others().all(|prompt| prompt.bbox != Some(*bbox)));
        let has_prompt = !object.points.is_empty() || object.bbox.is_some() || others().next().is_some();
        if !has_prompt {
            // A mask was the prompt: brush strokes, or one of the masks of everything.
            bbox = object.mask.bbox.map(|b| BoxPrompt {
                x_min: b.x as f32,
                y_min: b.y as f32,
                x_max: (b.x + b.width) as f32,
                y_max: (b.y + b.height) as f32,
            });
        }
        self.frames.insert(frame, OnFrame { points, bbox });
    }
}

/// A point on the object as `[x, y]`, beside it as `[x, y, 0]`.
fn point(point: &Point) -> Value {
    let (x, y) = (rounded(point.x), rounded(point.y));
    match point.label {
        Label::Foreground => json!([x, y]),
        Label::Background => json!([x, y, 0]),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use image::RgbImage;
    use promptseg::engine::{Header, StageMs};
    use promptseg::label::Seeds;
    use promptseg::pixels::Mask;

    use super::*;

    fn object(id: u32, persistence: Persistence, points: &[Point], bbox: Option<BoxPrompt>) -> ObjectResult {
        let data: Vec<u8> = (0..80).map(|at| u8::from(at % 10 < 4 && at / 10 > 2)).collect();
        ObjectResult {
            id,
            class_id: format!("c{id}"),
            tag: String::new(),
            detection_score: None,
            persistence: Some(persistence),
            iou: 0.9,
            object_score: None,
            candidate_ious: Vec::new(),
            mask: Mask::from_data(10, 8, &data).unwrap(),
            certain: None,
            points: points.to_vec(),
            bbox,
            lost: None,
        }
    }

    fn result(source: ResultSource, objects: Vec<ObjectResult>) -> FrameResult {
        FrameResult {
            header: Header::default(),
            source,
            image: Arc::new(RgbImage::new(10, 8)),
            objects: objects.into_iter().map(Arc::new).collect(),
            corner: None,
            current: None,
            prompted: true,
            ms: StageMs::default(),
        }
    }

    /// Frame, object, number of points and whether there is a box, as `label` reads the file.
    fn read(session: &SessionPrompts) -> Vec<(usize, u32, usize, bool)> {
        let seeds = Seeds::parse(&session.file().0).unwrap();
        let on = |frame| seeds.on(frame).unwrap().iter().map(move |(id, seed)| (frame, *id, seed));
        let all = seeds.frames().flat_map(on);
        all.map(|(frame, id, seed)| (frame, id, seed.prompt.points.len(), seed.prompt.bbox.is_some())).collect()
    }

    #[test]
    fn prompts_belong_to_the_frame_on_which_they_were_given() {
        use Persistence::{Hold, Once};
        use ResultSource::{Camera, Prompt};
        let (a, b) = (Point::foreground(1.0, 2.0), Point::background(3.5, 4.0));
        let bbox = Some(BoxPrompt { x_min: 0.0, y_min: 1.0, x_max: 5.0, y_max: 6.0 });
        let mut session = SessionPrompts::default();
        assert_eq!((read(&session), session.file().1), (vec![], 0));
        session.update(0, &result(Prompt, vec![object(1, Hold, &[a], None)]));
        // The held object on later frames, until a click corrects it.
        session.update(2, &result(Camera, vec![object(1, Hold, &[a], None)]));
        assert_eq!(read(&session), [(0, 1, 1, false)]);
        session.update(3, &result(Prompt, vec![object(1, Hold, &[a, b], None)]));
        assert_eq!(read(&session), [(0, 1, 1, false), (3, 1, 1, false)]);
        // A tracker that shows the prompts of the frame alone.
        session.update(5, &result(Prompt, vec![object(1, Hold, &[b, b], bbox)]));
        assert_eq!(read(&session)[2], (5, 1, 2, true));
        // Undone: the click of frame 5.
        session.update(5, &result(Prompt, vec![object(1, Hold, &[a, b], None)]));
        assert_eq!(read(&session).len(), 2);
        // An object of one frame stays when it is gone from others, and its number is not used again.
        session.update(6, &result(Prompt, vec![object(1, Hold, &[a, b], None), object(2, Once, &[], bbox)]));
        session.update(7, &result(Prompt, vec![object(1, Hold, &[a, b], None), object(2, Once, &[a], None)]));
        assert_eq!(session.file().1, 2, "the same object of the engine");
        session.update(8, &result(Prompt, vec![object(1, Hold, &[a, b], None)]));
        session.update(9, &result(Prompt, vec![object(1, Hold, &[a, b], None), object(2, Hold, &[a], None)]));
        assert_eq!(read(&session).last(), Some(&(9, 3, 1, false)));
        // A removed object leaves nothing.
        session.update(9, &result(Prompt, vec![object(2, Hold, &[a], None)]));
        assert!(read(&session).iter().all(|entry| entry.1 != 1));
        session.update(9, &result(Prompt, vec![]));
        assert_eq!(read(&session).iter().map(|entry| entry.1).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn a_mask_without_points_and_box_becomes_its_box() {
        let mut session = SessionPrompts::default();
        session.update(4, &result(ResultSource::Prompt, vec![object(1, Persistence::Hold, &[], None)]));
        let text = session.file().0;
        assert!(text.contains(r#""box":[0.0,3.0,4.0,8.0]"#) && text.contains(r#""frame":4"#), "{text}");
        assert!(text.contains(r#""class":"c1""#), "{text}");
    }
}
