//! `/tf` and `/tf_static` into the buffer that all cameras share: what tf2_ros' TransformListener does.

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

/// Fills a buffer of transforms.
pub struct TransformListener {
    buffer: Arc<Mutex<Transforms>>,
    moving: Messages<TFMessage>,
    fixed: Messages<TFMessage>,
    clock: NodeClock,
    last: Duration,
}

impl TransformListener {
    /// Listens whatever state the node is in: one that is activated knows where its cameras are.
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

    /// Takes what the last spin brought, and says what it refuses. Called by the thread that spins: r2r drops messages
    /// once ten of a topic wait, and one of `/tf_static` never comes again.
    ///
    /// `is_simulated`: the clock is that of a simulation or a bag, and can go back.
    pub fn take(&mut self, is_simulated: bool, refuse: impl Fn(&str, Refusal)) {
        match is_simulated {
            true => self.start_over_with_the_clock(),
            false => self.last = Duration::ZERO,
        }
        for (topic, messages, is_static) in [("/tf_static", &mut self.fixed, true), ("/tf", &mut self.moving, false)] {
            while let Some(Some(message)) = messages.next().now_or_never() {
                let refused = insert_all(&mut lock(&self.buffer), message, is_static);
                // Without the buffer: who counts them may wait for somebody who looks a transform up.
                for e in refused {
                    refuse(topic, Refusal::new(RefusalKind::BadTransform, e.to_string()));
                }
            }
        }
    }

    /// A bag or a simulation that starts again brings old stamps, between which and the newer ones nothing is to be
    /// interpolated: tf2_ros' Buffer forgets the newer ones too.
    fn start_over_with_the_clock(&mut self) {
        let now = self.clock.elapsed();
        if now < self.last {
            tracing::info!("the clock went back by {:.1} s: transforms are forgotten", (self.last - now).as_secs_f64());
            lock(&self.buffer).clear();
        }
        self.last = now;
    }
}

/// What is refused comes back.
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
