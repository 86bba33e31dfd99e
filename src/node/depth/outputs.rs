//! Publishers of the objects in metres.

use r2r::geometry_msgs::msg::PoseStamped;
use r2r::sensor_msgs::msg::PointCloud2;
use r2r::vision_msgs::msg::Detection3DArray;

use crate::node::error::NodeError;
use crate::node::ros::qos;
use crate::node::ros::topics::{Offer, Output, Topics};

/// The publishers of a camera's objects in metres.
pub struct DepthOutputs {
    pub detections: Output<Detection3DArray>,
    pub cloud: Output<PointCloud2>,
    pub pose: Output<PoseStamped>,
}

/// Which of the outputs have a subscriber.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub detections: bool,
    pub cloud: bool,
    pub pose: bool,
}

impl DepthOutputs {
    /// # Errors
    /// An override of a profile is wrong.
    pub fn new(topics: &mut Topics) -> Result<Self, NodeError> {
        Ok(DepthOutputs {
            detections: topics.output("~/detections_3d", qos::OUTPUTS)?,
            cloud: topics.output("~/cloud", qos::OUTPUTS)?,
            pose: topics.output("~/pose", qos::OUTPUTS)?,
        })
    }

    /// All publishers, whatever their type.
    pub fn all(&mut self) -> [&mut dyn Offer; 3] {
        [&mut self.detections, &mut self.cloud, &mut self.pose]
    }

    pub fn wanted(&self) -> Wanted {
        Wanted { detections: self.detections.is_wanted(), cloud: self.cloud.is_wanted(), pose: self.pose.is_wanted() }
    }
}
