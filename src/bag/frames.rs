//! The images of one topic, one at a time.

use std::ops::ControlFlow;

use super::error::{BagError, CdrError};
use super::messages::{IMAGE_TYPES, frame};
use super::overview::stamp_or_log_time;
use super::reader::Bag;
use super::visitor::{Topic, Visitor};
use crate::engine::Frame;

/// Takes an image: its index among the messages of the topic, and its content.
pub type TakeFrame<'a> = &'a mut dyn FnMut(usize, Result<Frame, CdrError>) -> ControlFlow<()>;

/// Reads the images of a topic. `indices` are the wanted messages of the topic, ascending, counted from 0. Returns what is
/// damaged in the bag, as sentences for people.
///
/// # Errors
/// No file of the bag can be read.
pub fn read_frames(bag: &Bag, topic: &str, indices: &[usize], take: TakeFrame<'_>) -> Result<Vec<String>, BagError> {
    bag.read(&mut Frames { topic, indices, next: 0, take })
}

struct Frames<'a> {
    topic: &'a str,
    /// Indices that are still wanted.
    indices: &'a [usize],
    /// Index of the next message of the topic.
    next: usize,
    take: TakeFrame<'a>,
}

impl Visitor for Frames<'_> {
    fn wants(&mut self, topic: &Topic) -> bool {
        topic.name == self.topic && topic.encoding == "cdr" && IMAGE_TYPES.contains(&topic.message_type.as_str())
    }

    fn visit(&mut self, topic: &Topic, log_time: u64, data: &[u8]) -> ControlFlow<()> {
        let index = self.next;
        self.next += 1;
        let Some((first, rest)) = self.indices.split_first() else { return ControlFlow::Break(()) };
        if *first != index {
            return ControlFlow::Continue(());
        }
        self.indices = rest;
        let mut content = frame(&topic.message_type, data);
        if let Ok(frame) = &mut content {
            frame.header.stamp = stamp_or_log_time(frame.header.stamp, log_time);
        }
        (self.take)(index, content)?;
        if rest.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
