//! What is stored about a frame: its objects with their masks. A data set is made of the records alone.

use serde::{Deserialize, Deserializer, Serialize};

use super::split::Split;
use crate::engine::Stamp;
use crate::pixels::{Mask, PixelRect, RunLengths, coco_string, counts_of_coco_string};

/// What an object comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A prompt of the prompts file.
    Prompt,
    /// A box of a detector.
    Detection,
    /// The automatic mask generator.
    Auto,
}

/// An object on a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Number of the object, the same on all frames.
    pub object: u32,
    /// Class of the prompt or of the detection; empty without one.
    pub class: String,
    pub source: Source,
    /// IoU that the model predicts. JSON has no NaN: `null`, as for the stability.
    #[serde(deserialize_with = "number_or_nan")]
    pub iou: f32,
    #[serde(deserialize_with = "number_or_nan")]
    pub stability: f32,
    /// Logit of the object's presence, from models that predict it.
    pub object_score: Option<f32>,
    /// Score of the detection.
    pub detection_score: Option<f64>,
    /// Number of pixels inside the mask.
    pub area: u32,
    /// Tight box: x, y, width, height.
    pub bbox: [u32; 4],
    /// The mask as COCO's compressed run lengths in the whole image.
    pub counts: String,
}

fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f32::NAN))
}

impl ObjectRecord {
    /// Returns the tight box.
    pub fn rect(&self) -> PixelRect {
        let [x, y, width, height] = self.bbox;
        PixelRect { x, y, width, height }
    }

    /// Returns area, tight box and run lengths of a mask, as a record has them.
    pub fn of_mask(mask: &Mask) -> (u32, [u32; 4], String) {
        let bbox = mask.bbox.map_or([0; 4], |b| [b.x, b.y, b.width, b.height]);
        (mask.area, bbox, coco_string(&RunLengths::of(mask).counts))
    }
}

#[cfg(test)]
impl ObjectRecord {
    /// Makes an object with these pixels for tests.
    pub(super) fn sample(object: u32, class: &str, source: Source, mask: &Mask) -> Self {
        let (area, bbox, counts) = Self::of_mask(mask);
        let (class, iou, stability, object_score, detection_score) = (class.to_owned(), 0.9, 1.0, None, None);
        ObjectRecord { object, class, source, iou, stability, object_score, detection_score, area, bbox, counts }
    }
}

#[cfg(test)]
impl FrameRecord {
    /// Makes a frame with these objects for tests.
    pub(super) fn sample(frame: usize, size: (u32, u32), objects: Vec<ObjectRecord>) -> Self {
        FrameRecord {
            frame,
            stamp: (frame as i32, 0),
            frame_id: String::new(),
            size,
            image: None,
            picture: None,
            split: Split::Train,
            fault: None,
            next_object: 0,
            objects,
        }
    }
}

/// A frame and its objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameRecord {
    /// Number of the image among the messages of its topic, from 0.
    pub frame: usize,
    /// Stamp of the image: seconds, nanoseconds.
    pub stamp: (i32, u32),
    /// Optical frame of the camera.
    pub frame_id: String,
    /// Width and height of the image, in pixels; 0 if it could not be decoded.
    pub size: (u32, u32),
    /// File of the image in its folder; none if it could not be decoded, or if images are not written.
    pub image: Option<String>,
    /// Name of the picture's file in the input; none for images of bags and videos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    pub split: Split,
    /// Why the image could not be decoded.
    pub fault: Option<String>,
    /// Lowest number that no object has had so far.
    pub next_object: u32,
    pub objects: Vec<ObjectRecord>,
}

impl FrameRecord {
    pub fn stamp(&self) -> Stamp {
        Stamp { sec: self.stamp.0, nanosec: self.stamp.1 }
    }

    /// Returns the run lengths of an object of this frame.
    ///
    /// # Errors
    /// The text is no run lengths of an image of this size: the record was changed.
    pub fn run_lengths(&self, object: &ObjectRecord) -> Result<RunLengths, String> {
        let (width, height) = self.size;
        let wrong =
            || format!("frame {}, object {}: no run lengths of {width}x{height} pixels", self.frame, object.object);
        run_lengths(&object.counts, self.size).ok_or_else(wrong)
    }

    /// Returns the mask of an object of this frame.
    ///
    /// # Errors
    /// As [`Self::run_lengths`].
    pub fn mask(&self, object: &ObjectRecord) -> Result<Mask, String> {
        Ok(self.run_lengths(object)?.to_mask())
    }

    /// Returns the object of that number; none if it is not on the frame.
    pub fn object(&self, number: u32) -> Option<&ObjectRecord> {
        self.objects.iter().find(|object| object.object == number)
    }
}

/// Decodes COCO's compressed run lengths of an image of this size. None if the text is no run lengths of that many pixels.
pub fn run_lengths(text: &str, (width, height): (u32, u32)) -> Option<RunLengths> {
    let pixels = u64::from(width) * u64::from(height);
    let counts =
        counts_of_coco_string(text).filter(|counts| counts.iter().map(|n| u64::from(*n)).sum::<u64>() == pixels)?;
    Some(RunLengths { width, height, counts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_a_changed_mask_is_refused() {
        let mask = Mask::from_data(3, 2, &[0, 1, 1, 0, 1, 0]).unwrap();
        let (area, bbox, counts) = ObjectRecord::of_mask(&mask);
        let object = ObjectRecord {
            object: 7,
            class: "cup".into(),
            source: Source::Detection,
            iou: 0.123_456_79,
            stability: 1.0,
            object_score: None,
            detection_score: Some(0.1),
            area,
            bbox,
            counts,
        };
        let record = FrameRecord {
            frame: 3,
            stamp: (5, 6),
            frame_id: "camera".into(),
            size: (3, 2),
            image: Some("000003.png".into()),
            picture: None,
            split: Split::Val,
            fault: None,
            next_object: 8,
            objects: vec![object],
        };
        let text = serde_json::to_string(&record).unwrap();
        let mut read: FrameRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.mask(read.object(7).unwrap()).unwrap(), mask);
        assert_eq!(read.objects[0].rect(), mask.bbox.unwrap());
        read.size = (3, 3);
        assert!(read.run_lengths(&read.objects[0]).unwrap_err().contains("3x3"));
    }
    #[test]
    fn a_score_that_is_not_a_number_is_read_back() {
        let mask = Mask::from_data(1, 1, &[1]).unwrap();
        let object = ObjectRecord { iou: f32::NAN, ..ObjectRecord::sample(1, "", Source::Prompt, &mask) };
        let text = serde_json::to_string(&object).unwrap();
        let read: ObjectRecord = serde_json::from_str(&text).unwrap();
        assert!(read.iou.is_nan() && read.stability == 1.0);
        assert!(serde_json::from_str::<ObjectRecord>(&text.replace("\"iou\":null,", "")).is_err(), "{text}");
    }
}
