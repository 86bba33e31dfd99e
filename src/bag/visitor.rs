//! What a reader of a bag's file hands on.

use std::ops::ControlFlow;

/// A topic of a bag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Topic {
    pub name: String,
    /// Type of its messages, such as `sensor_msgs/msg/Image`.
    pub message_type: String,
    /// Encoding of its messages; `cdr` is decoded.
    pub encoding: String,
}

/// Receives the messages of a bag, one at a time.
pub trait Visitor {
    /// Returns whether the messages of a topic are visited. Called for each topic of each file, before its first message.
    fn wants(&mut self, topic: &Topic) -> bool;

    /// Takes a message. `log_time` is the time of recording in nanoseconds. [`ControlFlow::Break`] ends the reading.
    fn visit(&mut self, topic: &Topic, log_time: u64, data: &[u8]) -> ControlFlow<()>;
}
