//! Bond with a lifecycle manager of Nav2: a heartbeat on `bond` while the node is active. Its absence shows the manager within
//! seconds that the node ended (protocol of bond_core, as nav2_util's LifecycleNode has it).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use r2r::bond::msg::Status;
use r2r::std_msgs::msg::Header;

use super::machine::State;
use super::server::Lifecycle;
use crate::node::error::NodeError;
use crate::node::lock::lock;
use crate::node::ros::clock::NodeClock;
use crate::node::ros::qos;
use crate::node::ros::topics::{Output, Topics};

/// Period of the heartbeat, as in nav2_util.
const PERIOD: Duration = Duration::from_millis(100);
/// Time without a heartbeat after which the bond is broken, as in nav2_util.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Publisher of the heartbeat.
pub struct Bond {
    publisher: Mutex<Output<Status>>,
    clock: NodeClock,
    /// Name of the node, by which the manager identifies the bond.
    id: String,
    instance_id: String,
}

impl Bond {
    /// # Errors
    /// The middleware refuses the topic.
    pub fn new(topics: &mut Topics, node_name: &str, clock: NodeClock) -> Result<Arc<Self>, NodeError> {
        let publisher = Mutex::new(topics.publisher("bond", qos::OUTPUTS)?);
        // Distinct for each process: a node that was started again has a new bond.
        let instance_id = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
            .map_or_else(|_| format!("promptseg-{}", std::process::id()), |uuid| uuid.trim().to_owned());
        Ok(Arc::new(Bond { publisher, clock, id: node_name.to_owned(), instance_id }))
    }

    /// Publishes the heartbeat while the node is active, until the process ends.
    pub async fn run(self: Arc<Self>, lifecycle: Arc<Lifecycle>) {
        let mut period = tokio::time::interval(PERIOD);
        let mut is_active = false;
        loop {
            period.tick().await;
            let was_active = std::mem::replace(&mut is_active, lifecycle.state() == State::Active);
            if is_active || was_active {
                self.publish(is_active);
            }
        }
    }

    /// Publishes a heartbeat, or the end of the bond, if somebody subscribes.
    pub fn publish(&self, active: bool) {
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
