//! The node's time: that of the system, or, with `use_sim_time`, that of `/clock`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::node::lock::lock;
use r2r::Clock;
use r2r::builtin_interfaces::msg::Time;

#[derive(Clone)]
pub struct NodeClock(Arc<Mutex<Clock>>);

impl NodeClock {
    pub fn of(node: &r2r::Node) -> Self {
        NodeClock(node.get_ros_clock())
    }

    /// Since the epoch; of simulated time that has not begun, nothing.
    pub fn elapsed(&self) -> Duration {
        lock(&self.0).get_now().unwrap_or_default()
    }

    /// For the header of a message.
    pub fn now(&self) -> Time {
        Clock::to_builtin_time(&self.elapsed())
    }
}
