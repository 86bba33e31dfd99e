//! Transforms of `/tf` and `/tf_static` for the buffer that all cameras share, as tf2_ros' TransformListener has it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use r2r::geometry_msgs::msg::TransformStamped;
use r2r::tf2_msgs::msg::TFMessage;

use super::clock::NodeClock;
use super::qos;
use super::subscriptions::{Messages, When};
use super::topics::Topics;
use crate::camera::{StampedTransform, TransformError, Transforms};
use crate::engine::{Refusal, RefusalKind};
use crate::node::error::NodeError;
use crate::node::lock::lock;

/// Fills the buffer of transforms.
pub struct TransformListener {
    buffer: Arc<Mutex<Transforms>>,
    moving: Messages<TFMessage>,
    fixed: Messages<TFMessage>,
    clock: NodeClock,
    /// Simulated time of the last call.
    last: Duration,
}

impl TransformListener {
    /// Subscribes in every state of the node, so that transforms are known when the node is activated.
    ///
    /// # Errors
    /// The middleware refuses a topic.
    pub fn new(topics: &mut Topics, buffer: Arc<Mutex<Transforms>>, clock: NodeClock) -> Result<Self, NodeError> {
        Ok(TransformListener {
            buffer,
            moving: topics.subscribe_when(When::Always, "/tf", qos::TRANSFORMS)?,
            fixed: topics.subscribe_when(When::Always, "/tf_static", qos::STATIC_TRANSFORMS)?,
            clock,
            last: Duration::ZERO,
        })
    }

    /// Stores the transforms that arrived, and calls `refuse` with each refused one. Called by the thread that spins the node:
    /// r2r drops messages beyond ten of a topic, and a message of `/tf_static` is not sent again.
    ///
    /// `is_simulated`: the clock belongs to a simulation or a bag, and can go back.
    pub fn take(&mut self, is_simulated: bool, refuse: impl Fn(&str, Refusal)) {
        match is_simulated {
            true => self.clear_if_clock_went_back(),
            false => self.last = Duration::ZERO,
        }
        for (topic, messages, is_static) in [("/tf_static", &mut self.fixed, true), ("/tf", &mut self.moving, false)] {
            while let Some(Some(message)) = messages.next().now_or_never() {
                let refused = insert_all(&mut lock(&self.buffer), message, is_static);
                // The buffer is unlocked here: `refuse` may wait for a thread that looks up a transform.
                for e in refused {
                    refuse(topic, Refusal::new(RefusalKind::BadTransform, e.to_string()));
                }
            }
        }
    }

    /// Clears the buffer if a bag or a simulation started again: transforms must not be interpolated between its stamps and the
    /// later ones of the previous run. tf2_ros' Buffer does the same.
    fn clear_if_clock_went_back(&mut self) {
        let now = self.clock.elapsed();
        if now < self.last {
            tracing::info!("the clock went back by {:.1} s: transforms are cleared", (self.last - now).as_secs_f64());
            lock(&self.buffer).clear();
        }
        self.last = now;
    }
}

/// Inserts all transforms of a message, and returns the errors of the refused ones.
fn insert_all(buffer: &mut Transforms, message: TFMessage, is_static: bool) -> Vec<TransformError> {
    let insert = |transform| buffer.insert(&stamped(transform), is_static).err();
    message.transforms.into_iter().filter_map(insert).collect()
}

fn stamped(message: TransformStamped) -> StampedTransform {
    let (stamp, t, q) = (message.header.stamp, message.transform.translation, message.transform.rotation);
    StampedTransform {
        parent: message.header.frame_id,
        child: message.child_frame_id,
        stamp: i64::from(stamp.sec) * 1_000_000_000 + i64::from(stamp.nanosec),
        translation: [t.x, t.y, t.z],
        rotation: [q.x, q.y, q.z, q.w],
    }
}
