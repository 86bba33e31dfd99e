//! Clock of the node: system time, or the time of `/clock` with `use_sim_time`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::node::lock::lock;
use r2r::Clock;
use r2r::builtin_interfaces::msg::Time;

/// Clock of the node, shared by its threads.
#[derive(Clone)]
pub struct NodeClock(Arc<Mutex<Clock>>);

impl NodeClock {
    pub fn new(node: &r2r::Node) -> Self {
        NodeClock(node.get_ros_clock())
    }

    /// Time since the epoch; zero before simulated time begins.
    pub fn elapsed(&self) -> Duration {
        lock(&self.0).get_now().unwrap_or_default()
    }

    /// Time for the header of a message.
    pub fn now(&self) -> Time {
        Clock::to_builtin_time(&self.elapsed())
    }
}
