//! The bond with a lifecycle manager of Nav2: a heartbeat on `bond` while the node is active, by which the manager learns
//! within seconds that the node is gone (bond_core's protocol; nav2_util's LifecycleNode does the same).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::machine::State;
use super::server::Lifecycle;
use crate::node::error::NodeError;
use crate::node::lock::lock;
use crate::node::ros::clock::NodeClock;
use crate::node::ros::qos;
use crate::node::ros::topics::{Output, Topics};
use r2r::bond::msg::Status;
use r2r::std_msgs::msg::Header;

/// As in nav2_util.
const PERIOD: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(4);

/// The node's side of the bond.
pub struct Bond {
    publisher: Mutex<Output<Status>>,
    clock: NodeClock,
    /// The name of the node, which the manager knows it by.
    id: String,
    instance_id: String,
}

impl Bond {
    /// # Errors
    /// The middleware refuses the topic.
    pub fn new(topics: &mut Topics, node_name: &str, clock: NodeClock) -> Result<Arc<Self>, NodeError> {
        let publisher = Mutex::new(topics.publisher("bond", qos::OUTPUTS)?);
        // Another one for each process: a node that was started again has not the bond of the one before.
        let instance_id = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
            .map_or_else(|_| format!("promptseg-{}", std::process::id()), |uuid| uuid.trim().to_owned());
        Ok(Arc::new(Bond { publisher, clock, id: node_name.to_owned(), instance_id }))
    }

    /// Beats while the node is active, as long as the process lives.
    pub async fn keep(self: Arc<Self>, lifecycle: Arc<Lifecycle>) {
        let mut period = tokio::time::interval(PERIOD);
        let mut is_active = false;
        loop {
            period.tick().await;
            let was_active = std::mem::replace(&mut is_active, lifecycle.state() == State::Active);
            if is_active || was_active {
                self.say(is_active);
            }
        }
    }

    /// Says that the node is there, or that the bond is broken, to those who listen.
    pub fn say(&self, active: bool) {
        let publisher = lock(&self.publisher);
        if !publisher.is_wanted() {
            return;
        }
        let status = Status {
            header: Header { stamp: self.clock.now(), frame_id: String::new() },
            id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            active,
            heartbeat_timeout: TIMEOUT.as_secs_f32(),
            heartbeat_period: PERIOD.as_secs_f32(),
        };
        if let Err(e) = publisher.publish(&status) {
            tracing::warn!("the heartbeat on 'bond' could not be published: {e}");
        }
    }
}
