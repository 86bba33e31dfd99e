//! What a run does: the frames that it uses, and the detections that belong to each of them.

use std::collections::BTreeMap;
use std::path::Path;

use promptseg::bag::{Bag, Overview, TimedDetections, TopicContent};
use promptseg::camera::CameraInfo;
use promptseg::engine::detections::DetectionFilter;
use promptseg::engine::{DetectedBox, Stamp};
use promptseg::label::{Seeds, Split, split_at};

use super::arguments::Arguments;
use crate::failure::Failure;
use crate::pictures::read_file;

/// A frame that is used.
pub struct PlannedFrame {
    /// Number of the image among the messages of its topic.
    pub frame: usize,
    pub stamp: Stamp,
    pub split: Split,
    /// Boxes of the detector on this frame.
    pub detections: Vec<DetectedBox>,
}

/// The frames of a run, and what they are labelled with.
pub struct Plan {
    pub bag: Bag,
    /// Name of the topic of the images.
    pub image_topic: String,
    /// Name of the topic of the detections.
    pub detection_topic: Option<String>,
    pub frames: Vec<PlannedFrame>,
    pub seeds: Seeds,
    /// Content of the prompts file; empty without one.
    pub seeds_text: String,
    /// Calibration of the camera, if the bag has exactly one.
    pub calibration: Option<CameraInfo>,
    /// What is wrong with the bag, as sentences for people.
    pub remarks: Vec<String>,
}

impl Plan {
    /// Reads what is in the bag, and decides which frames are used.
    pub fn make(arguments: &Arguments) -> Result<Plan, Failure> {
        let selection = arguments.selection.selection();
        selection.check().map_err(|e| Failure::Usage(e.to_string()))?;
        if !(0.0..=1.0).contains(&arguments.val) {
            return Err(Failure::Usage(format!("--val {}: expected a share from 0 to 1", arguments.val)));
        }
        if arguments.prompts.is_none() && arguments.detections.detections.is_none() && !arguments.auto {
            let message = "nothing to label with: give --prompts FILE, --detections TOPIC or --auto";
            return Err(Failure::Usage(message.to_owned()));
        }
        let (seeds, seeds_text) = match &arguments.prompts {
            Some(file) => read_seeds(file)?,
            None => (Seeds::default(), String::new()),
        };
        let bag = Bag::open(&arguments.bag)?;
        let overview = Overview::of(&bag)?;
        let (image_topic, images) = overview.image_topic(arguments.image.as_deref())?;
        let mut remarks: Vec<String> = bag.remarks().iter().chain(&overview.damage).cloned().collect();
        remarks.extend(undecoded(image_topic, images));
        let chosen = selection.select(&images.stamps);
        if chosen.is_empty() {
            let count = images.stamps.len();
            return Err(
                format!("{image_topic}: none of the {count} images is in the range; {}", remarks.join("; ")).into()
            );
        }
        let stamps = chosen.iter().filter_map(|index| images.stamps[*index]);
        let border = split_at(stamps.clone(), arguments.val);
        let split = |stamp: Stamp| match border {
            Some(border) if stamp.nanoseconds() >= border => Split::Val,
            _ => Split::Train,
        };
        let frame = |(frame, stamp)| PlannedFrame { frame, stamp, split: split(stamp), detections: Vec::new() };
        let mut frames: Vec<PlannedFrame> = chosen.iter().copied().zip(stamps).map(frame).collect();
        let mut detection_topic = None;
        if let Some(wanted) = &arguments.detections.detections {
            let (name, topic) = overview.detection_topic(Some(wanted))?;
            remarks.extend(undecoded(name, topic));
            let filter = arguments.detections.filter();
            remarks.extend(assign(&mut frames, &topic.detections, &filter, arguments.detections.tolerance));
            detection_topic = Some(name.to_owned());
        }
        for missing in seeds.frames().filter(|f| frames.binary_search_by_key(f, |planned| planned.frame).is_err()) {
            remarks.push(format!("the prompts of frame {missing} are not used: the run does not have the frame"));
        }
        let calibrations: Vec<&CameraInfo> = overview.topics.values().filter_map(|t| t.calibration.as_ref()).collect();
        let calibration = if let [only] = calibrations[..] { Some(only.clone()) } else { None };
        let image_topic = image_topic.to_owned();
        Ok(Plan { bag, image_topic, detection_topic, frames, seeds, seeds_text, calibration, remarks })
    }
}

fn read_seeds(file: &Path) -> Result<(Seeds, String), Failure> {
    let failed = |e: String| Failure::Failed(format!("--prompts {}: {e}", file.display()).into());
    let content = read_file(file)?;
    let text = String::from_utf8(content).map_err(|e| failed(e.to_string()))?;
    let seeds = Seeds::parse(&text).map_err(|e| failed(e.to_string()))?;
    Ok((seeds, text))
}

/// Describes the messages of a topic that cannot be decoded.
fn undecoded(name: &str, topic: &TopicContent) -> Option<String> {
    let fault = topic.first_fault.as_ref()?;
    Some(format!("{name}: {} of {} messages cannot be decoded, the first: {fault}", topic.undecoded, topic.messages))
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
