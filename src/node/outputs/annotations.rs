//! `~/annotations`: outlines, prompts and labels that Foxglove and Lichtblick draw over their own image panel. The topic exists
//! if `foxglove_msgs` was sourced when promptseg was built.

use super::error::OutputError;
use crate::engine::FrameResult;
use crate::node::error::NodeError;
use crate::node::ros::topics::{Offer, Topics};

/// Publisher of the annotations of a camera.
pub struct Annotations {
    #[cfg(foxglove_msgs)]
    output: crate::node::ros::topics::Output<r2r::foxglove_msgs::msg::ImageAnnotations>,
}

#[cfg(foxglove_msgs)]
impl Annotations {
    /// # Errors
    /// An override of a profile is wrong.
    pub fn new(topics: &mut Topics) -> Result<Self, NodeError> {
        Ok(Annotations { output: topics.output("~/annotations", crate::node::ros::qos::OUTPUTS)? })
    }

    /// Returns the publisher.
    pub fn offer(&mut self) -> Option<&mut dyn Offer> {
        Some(&mut self.output)
    }

    /// Publishes the annotations of every frame, so that those of earlier frames vanish.
    ///
    /// # Errors
    /// The middleware refuses the message.
    pub fn publish(&self, result: &FrameResult) -> Result<(), OutputError> {
        if !self.output.is_wanted() {
            return Ok(());
        }
        let published = self.output.publish(&super::foxglove::annotations(result));
        published.map_err(|source| OutputError::Publish { topic: "~/annotations", source })
    }
}

#[cfg(not(foxglove_msgs))]
impl Annotations {
    pub fn new(_: &mut Topics) -> Result<Self, NodeError> {
        Ok(Annotations {})
    }

    pub fn offer(&mut self) -> Option<&mut dyn Offer> {
        None
    }

    pub fn publish(&self, _: &FrameResult) -> Result<(), OutputError> {
        Ok(())
    }
}
