//! What is in a bag: topics, stamps of images, detections and calibrations, from one reading of the bag.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::error::{BagError, CdrError};
use super::messages::{CAMERA_INFO, DETECTION_TYPES, IMAGE_TYPES, camera_info, detections, stamp};
use super::reader::Bag;
use super::visitor::{Topic, Visitor};
use crate::camera::CameraInfo;
use crate::engine::Stamp;
use crate::engine::detections::RawDetection;

/// The boxes of one message of a detector.
#[derive(Debug, Clone)]
pub struct TimedDetections {
    /// Stamp of the image that the detector saw.
    pub stamp: Stamp,
    pub boxes: Vec<RawDetection>,
}

/// What is known about a topic.
#[derive(Debug, Clone, Default)]
pub struct TopicContent {
    /// Type of the messages, such as `sensor_msgs/msg/Image`.
    pub message_type: String,
    pub encoding: String,
    /// Number of messages; 0 for types that are not read.
    pub messages: u64,
    /// Messages that cannot be decoded, and the reason of the first of them.
    pub undecoded: u64,
    pub first_fault: Option<CdrError>,
    /// Stamp of each image, in the order of recording; none if the message cannot be decoded. Empty for other types.
    pub stamps: Vec<Option<Stamp>>,
    /// The boxes of a detector. Empty for other types.
    pub detections: Vec<TimedDetections>,
    /// The first calibration. None for other types.
    pub calibration: Option<CameraInfo>,
}

/// Content of a bag, without its images. Its memory grows with the number of messages, not with their size.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// Topics by name.
    pub topics: BTreeMap<String, TopicContent>,
    /// Damage of the bag's files, as sentences for people.
    pub damage: Vec<String>,
}

/// Returns the stamp of an image's header, or the time of recording if the header has no stamp.
pub fn stamp_or_log_time(stamp: Stamp, log_time: u64) -> Stamp {
    if stamp != Stamp::NONE {
        return stamp;
    }
    let seconds = i32::try_from(log_time / 1_000_000_000).unwrap_or(i32::MAX);
    Stamp { sec: seconds, nanosec: (log_time % 1_000_000_000) as u32 }
}

impl Overview {
    /// Reads a bag once.
    ///
    /// # Errors
    /// No file of the bag can be read.
    pub fn of(bag: &Bag) -> Result<Overview, BagError> {
        let mut overview = Overview::default();
        overview.damage = bag.read(&mut overview)?;
        Ok(overview)
    }

    /// Finds the topic of images: the one that `wanted` names or whose type it is, or the only one.
    ///
    /// # Errors
    /// None or several topics fit, or the messages have another encoding than CDR.
    pub fn image_topic(&self, wanted: Option<&str>) -> Result<(&str, &TopicContent), BagError> {
        self.topic_of(&IMAGE_TYPES, wanted, "--image")
    }

    /// Finds the topic of detections, as [`Overview::image_topic`] finds that of images.
    ///
    /// # Errors
    /// As [`Overview::image_topic`].
    pub fn detection_topic(&self, wanted: Option<&str>) -> Result<(&str, &TopicContent), BagError> {
        self.topic_of(&DETECTION_TYPES, wanted, "--detections")
    }

    fn topic_of(&self, types: &[&str], wanted: Option<&str>, option: &str) -> Result<(&str, &TopicContent), BagError> {
        let is_wanted = |name: &str, topic: &TopicContent| {
            wanted.is_none_or(|wanted| {
                [name, &topic.message_type, &topic.message_type.replace("/msg/", "/")].contains(&wanted)
                    || name.strip_prefix('/') == Some(wanted)
            })
        };
        let of_type = |topic: &TopicContent| types.contains(&topic.message_type.as_str());
        let fitting: Vec<(&String, &TopicContent)> =
            self.topics.iter().filter(|(name, topic)| of_type(topic) && is_wanted(name, topic)).collect();
        match fitting.as_slice() {
            [(name, topic)] if topic.encoding == "cdr" => Ok((name, topic)),
            [(name, topic)] => Err(BagError::Topic(format!(
                "{name}: messages in the encoding \"{}\", expected \"cdr\"",
                topic.encoding
            ))),
            [] => Err(BagError::Topic(format!(
                "{option}: no topic of {}{}; the bag has {}",
                types.join(" or "),
                wanted.map(|wanted| format!(" is or has \"{wanted}\"")).unwrap_or_default(),
                self.list()
            ))),
            several => {
                let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                Err(BagError::Topic(format!("{option}: {} topics fit, name one: {}", several.len(), names.join(", "))))
            }
        }
    }

    /// Returns the topics with their types, for messages.
    fn list(&self) -> String {
        let topics: Vec<String> =
            self.topics.iter().map(|(name, topic)| format!("{name} ({})", topic.message_type)).collect();
        if topics.is_empty() { "no topics".to_owned() } else { topics.join(", ") }
    }
}

impl Visitor for Overview {
    fn wants(&mut self, topic: &Topic) -> bool {
        let content = self.topics.entry(topic.name.clone()).or_default();
        content.message_type.clone_from(&topic.message_type);
        content.encoding.clone_from(&topic.encoding);
        let message_type = topic.message_type.as_str();
        let is_read = message_type == CAMERA_INFO || IMAGE_TYPES.contains(&message_type);
        topic.encoding == "cdr" && (is_read || DETECTION_TYPES.contains(&message_type))
    }

    fn visit(&mut self, topic: &Topic, log_time: u64, data: &[u8]) -> ControlFlow<()> {
        let content = self.topics.entry(topic.name.clone()).or_default();
        content.messages += 1;
        let message_type = topic.message_type.as_str();
        let fault = if IMAGE_TYPES.contains(&message_type) {
            let stamp = stamp(data).map(|stamp| stamp_or_log_time(stamp, log_time));
            content.stamps.push(stamp.as_ref().ok().copied());
            stamp.err()
        } else if message_type == CAMERA_INFO {
            // One calibration is enough.
            match content.calibration {
                Some(_) => None,
                None => camera_info(data).map(|(_, info)| content.calibration = Some(info)).err(),
            }
        } else {
            let found = detections(message_type, data);
            let keep = |(header, boxes): (crate::engine::Header, Vec<RawDetection>)| {
                let stamp = stamp_or_log_time(header.stamp, log_time);
                content.detections.push(TimedDetections { stamp, boxes });
            };
            found.map(keep).err()
        };
        if let Some(fault) = fault {
            content.undecoded += 1;
            content.first_fault.get_or_insert(fault);
        }
        ControlFlow::Continue(())
    }
}
