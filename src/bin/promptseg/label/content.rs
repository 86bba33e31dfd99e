//! What is known of the input before a frame is read: stamps, and of a bag the boxes of a detector and the calibration.

use std::path::{Path, PathBuf};

use promptseg::bag::{Bag, Overview, TimedDetections, TopicContent};
use promptseg::camera::CameraInfo;
use promptseg::engine::Stamp;

use super::arguments::{Arguments, Format};
use super::source::Source;
use crate::clips::Inputs;
use crate::clips::video::{frame_count, frame_rate};
use crate::failure::Failure;

/// The input of a run.
pub struct Content {
    pub source: Source,
    /// Stamp of each frame; none for a message that cannot be decoded.
    pub stamps: Vec<Option<Stamp>>,
    /// Name of the topic of the detector, and its messages.
    pub detections: Option<(String, Vec<TimedDetections>)>,
    /// Calibration of the camera, if the bag has exactly one.
    pub calibration: Option<CameraInfo>,
    /// What is wrong with the input, as sentences for people.
    pub remarks: Vec<String>,
}

impl Content {
    /// Reads what is in the input.
    pub fn read(arguments: &Arguments) -> Result<Content, Failure> {
        let source = match Inputs::find_files(&arguments.input)? {
            Inputs::Bag(path) => {
                if arguments.selection.fps.is_some() {
                    let message = "--fps is for pictures and videos; the images of a bag have stamps";
                    return Err(Failure::Usage(message.to_owned()));
                }
                return Content::of_bag(arguments, &path);
            }
            Inputs::Pictures(list) => of_pictures(arguments, list)?,
            Inputs::Video(path) => of_video(arguments, path)?,
        };
        for (option, value) in [("image", &arguments.image), ("detections", &arguments.detections.detections)] {
            if value.is_some() {
                let name = source.name();
                return Err(Failure::Usage(format!("--{option} is the topic of a bag, and the input is {name}")));
            }
        }
        let stamps = source.made_stamps();
        Ok(Content { source, stamps, detections: None, calibration: None, remarks: Vec::new() })
    }

    fn of_bag(arguments: &Arguments, path: &Path) -> Result<Content, Failure> {
        let bag = Bag::open(path)?;
        let overview = Overview::of(&bag)?;
        let (topic, images) = overview.image_topic(arguments.image.as_deref())?;
        let mut remarks: Vec<String> = bag.remarks().iter().chain(&overview.damage).cloned().collect();
        remarks.extend(undecoded(topic, images));
        let mut detections = None;
        if let Some(wanted) = &arguments.detections.detections {
            let (name, content) = overview.detection_topic(Some(wanted))?;
            remarks.extend(undecoded(name, content));
            detections = Some((name.to_owned(), content.detections.clone()));
        }
        let calibrations: Vec<&CameraInfo> = overview.topics.values().filter_map(|t| t.calibration.as_ref()).collect();
        let calibration = if let [only] = calibrations[..] { Some(only.clone()) } else { None };
        let (topic, stamps) = (topic.to_owned(), images.stamps.clone());
        Ok(Content { source: Source::Bag { bag, topic }, stamps, detections, calibration, remarks })
    }
}

fn of_pictures(arguments: &Arguments, list: Vec<PathBuf>) -> Result<Source, Failure> {
    if let Some(missing) = list.iter().find(|path| !path.exists()) {
        let path = missing.display();
        return Err(format!("{path}: no such file; expected a bag, a video, pictures or a folder").into());
    }
    let rate = arguments.selection.fps;
    if rate.is_none() && arguments.selection.needs_times() {
        let message =
            "pictures have no times, which --start, --end and --rate need: give --fps, or select with --every";
        return Err(Failure::Usage(message.to_owned()));
    }
    if rate.is_none() && arguments.format.contains(&Format::Bag) {
        let message = "pictures have no times, which the messages of a bag need: give --fps, the pictures a second";
        return Err(Failure::Usage(message.to_owned()));
    }
    Ok(Source::Pictures { list, rate })
}

fn of_video(arguments: &Arguments, path: PathBuf) -> Result<Source, Failure> {
    let count = frame_count(&path)?;
    let rate = arguments.selection.fps.or_else(|| frame_rate(&path));
    let rate = rate.ok_or_else(|| format!("{}: ffmpeg finds no frame rate; give --fps", path.display()))?;
    Ok(Source::Video { path, count, rate })
}

/// Describes the messages of a topic that cannot be decoded.
fn undecoded(name: &str, topic: &TopicContent) -> Option<String> {
    let fault = topic.first_fault.as_ref()?;
    Some(format!("{name}: {} of {} messages cannot be decoded, the first: {fault}", topic.undecoded, topic.messages))
}
