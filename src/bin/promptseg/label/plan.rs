//! What a run does: the frames that it uses, and the detections that belong to each of them.

use std::collections::BTreeMap;
use std::path::Path;

use promptseg::bag::TimedDetections;
use promptseg::camera::CameraInfo;
use promptseg::engine::detections::DetectionFilter;
use promptseg::engine::{DetectedBox, Stamp};
use promptseg::label::{Seeds, Split, split_at};

use super::arguments::Arguments;
use super::content::Content;
use super::source::Source;
use crate::failure::Failure;
use crate::pictures::read_file;

/// A frame that is used.
pub struct PlannedFrame {
    /// Number of the image among the messages of its topic, the pictures, or the frames of the video.
    pub frame: usize,
    pub stamp: Stamp,
    pub split: Split,
    /// Boxes of the detector on this frame.
    pub detections: Vec<DetectedBox>,
}

/// The frames of a run, and what they are labelled with.
pub struct Plan {
    pub source: Source,
    /// Name of the topic of the detections.
    pub detection_topic: Option<String>,
    pub frames: Vec<PlannedFrame>,
    /// Number of frames of all slices of the run.
    pub total: usize,
    pub seeds: Seeds,
    /// Content of the prompts file; empty without one.
    pub seeds_text: String,
    /// Calibration of the camera, if the bag has exactly one.
    pub calibration: Option<CameraInfo>,
    /// What is wrong with the input, as sentences for people.
    pub remarks: Vec<String>,
}

impl Plan {
    /// Reads what is in the input, and decides which frames are used.
    pub fn make(arguments: &Arguments) -> Result<Plan, Failure> {
        let selection = arguments.selection.selection();
        selection.check().map_err(|e| Failure::Usage(e.to_string()))?;
        if let Some(fps) = arguments.selection.fps.filter(|fps| !fps.is_finite() || *fps <= 0.0) {
            return Err(Failure::Usage(format!("--fps {fps}: expected a number above 0")));
        }
        if !(0.0..=1.0).contains(&arguments.val) {
            return Err(Failure::Usage(format!("--val {}: expected a share from 0 to 1", arguments.val)));
        }
        let has_boxes = arguments.detections.detections.is_some() || arguments.text.phrases()?.is_some();
        if arguments.prompts.is_none() && !has_boxes && !arguments.auto {
            let message = "nothing to label with: give --prompts FILE, --detections TOPIC, --text PHRASES or --auto";
            return Err(Failure::Usage(message.to_owned()));
        }
        let (seeds, seeds_text) = match &arguments.prompts {
            Some(file) => read_seeds(file)?,
            None => (Seeds::default(), String::new()),
        };
        let Content { source, stamps: all_stamps, detections, calibration, mut remarks } = Content::read(arguments)?;
        let chosen = selection.select(&all_stamps);
        if chosen.is_empty() {
            let (name, count, remarks) = (source.name(), all_stamps.len(), remarks.join("; "));
            return Err(format!("{name}: none of the {count} images is in the range; {remarks}").into());
        }
        let stamps = chosen.iter().filter_map(|index| all_stamps[*index]);
        let border = split_at(stamps.clone(), arguments.val);
        let split = |stamp: Stamp| match border {
            Some(border) if stamp.nanoseconds() >= border => Split::Val,
            _ => Split::Train,
        };
        let frame = |(frame, stamp)| PlannedFrame { frame, stamp, split: split(stamp), detections: Vec::new() };
        let mut frames: Vec<PlannedFrame> = chosen.iter().copied().zip(stamps).map(frame).collect();
        let mut detection_topic = None;
        if let Some((name, messages)) = detections {
            let filter = arguments.detections.filter();
            remarks.extend(assign(&mut frames, &messages, &filter, arguments.detections.tolerance));
            detection_topic = Some(name);
        }
        for missing in seeds.frames().filter(|f| frames.binary_search_by_key(f, |planned| planned.frame).is_err()) {
            remarks.push(format!("the prompts of frame {missing} are not used: the run does not have the frame"));
        }
        let total = frames.len();
        if let Some(slice) = arguments.slice {
            let range = slice.range(total);
            frames.truncate(range.end);
            frames.drain(..range.start);
        }
        Ok(Plan { source, detection_topic, frames, total, seeds, seeds_text, calibration, remarks })
    }
}

impl Plan {
    /// Returns the index of a frame among those of the run.
    pub fn index(&self, frame: usize) -> Option<usize> {
        self.frames.binary_search_by_key(&frame, |planned| planned.frame).ok()
    }
}

fn read_seeds(file: &Path) -> Result<(Seeds, String), Failure> {
    let failed = |e: String| Failure::Failed(format!("--prompts {}: {e}", file.display()).into());
    let content = read_file(file)?;
    let text = String::from_utf8(content).map_err(|e| failed(e.to_string()))?;
    let seeds = Seeds::parse(&text).map_err(|e| failed(e.to_string()))?;
    Ok((seeds, text))
}

/// Hands each message of a detector to the frame whose stamp is nearest, within `tolerance` seconds. Of several messages on a
/// frame all boxes count. Describes the messages without a frame.
fn assign(
    frames: &mut [PlannedFrame],
    detections: &[TimedDetections],
    filter: &DetectionFilter,
    tolerance: f64,
) -> Option<String> {
    let mut by_stamp: BTreeMap<i64, usize> = BTreeMap::new();
    for (index, frame) in frames.iter().enumerate() {
        // Of two images with one stamp the first counts.
        by_stamp.entry(frame.stamp.nanoseconds()).or_insert(index);
    }
    let mut unused = 0;
    for message in detections {
        let at = message.stamp.nanoseconds();
        let near = by_stamp.range(..=at).next_back().into_iter().chain(by_stamp.range(at..).next());
        let nearest = near.min_by_key(|(stamp, _)| stamp.abs_diff(at));
        match nearest.filter(|(stamp, _)| stamp.abs_diff(at) as f64 <= tolerance * 1e9) {
            Some((_, index)) => frames[*index].detections.extend(filter.apply(message.boxes.clone())),
            None => unused += 1,
        }
    }
    (unused > 0).then(|| {
        format!(
            "{unused} of {} messages of detections belong to no frame of the run (--tolerance {tolerance})",
            detections.len()
        )
    })
}
