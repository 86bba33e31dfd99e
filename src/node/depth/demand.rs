//! Which subscriptions to depth images are needed.

use std::sync::atomic::Ordering;

use crate::node::config::DepthTransport;
use crate::node::ros::subscriptions::Demand;

/// Demand of the subscriptions to the depth images of a camera.
#[derive(Default)]
pub struct DepthDemand {
    pub raw: Demand,
    pub compressed_depth: Demand,
    /// For the calibration of the depth images.
    pub any: Demand,
}

impl DepthDemand {
    /// Sets whether depth images are wanted, and by which transport.
    pub fn set(&self, is_wanted: bool, transport: DepthTransport) {
        self.raw.store(is_wanted && transport == DepthTransport::Raw, Ordering::Relaxed);
        self.compressed_depth.store(is_wanted && transport == DepthTransport::CompressedDepth, Ordering::Relaxed);
        self.any.store(is_wanted, Ordering::Relaxed);
    }
}
