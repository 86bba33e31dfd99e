//! The clients of the service, as the middleware knows them.

#[cfg(type_description)]
use std::time::{Duration, Instant};

#[cfg(type_description)]
use tokio::sync::oneshot;

use crate::node::ros::topics::SpinningNode;

/// Period at which a waiting request checks whether a client is still there.
#[cfg(type_description)]
const CHECK_PERIOD: Duration = Duration::from_millis(500);

/// Time without any client after which a request is cancelled. The middleware may take some time to notice a new client.
#[cfg(type_description)]
const TIMEOUT: Duration = Duration::from_secs(2);

/// The clients of a service.
#[derive(Clone)]
#[cfg_attr(not(type_description), expect(dead_code, reason = "rcl counts clients since ROS 2 Iron"))]
pub struct ServiceClients {
    pub node: SpinningNode,
    /// Full name, after remapping.
    pub service: String,
}

impl ServiceClients {
    /// Returns once the service has had no client for [`TIMEOUT`]. The middleware does not say which client a request is from.
    #[cfg(type_description)]
    pub async fn gone(&self) {
        let mut seen = Instant::now();
        while seen.elapsed() < TIMEOUT {
            tokio::time::sleep(CHECK_PERIOD).await;
            if self.count().await != Some(0) {
                seen = Instant::now();
            }
        }
    }

    /// Never returns: rcl counts clients since ROS 2 Iron.
    #[cfg(not(type_description))]
    pub async fn gone(&self) {
        std::future::pending().await
    }

    #[cfg(type_description)]
    async fn count(&self) -> Option<usize> {
        let (sender, count) = oneshot::channel();
        let service = self.service.clone();
        let counted = self.node.with_node(move |node| {
            // Fails only if the request has ended.
            let _ = sender.send(crate::native::rcl_node::count_clients(node, &service));
            Ok(())
        });
        counted.await.ok()?;
        count.await.ok().flatten()
    }
}
