//! Publishers of the results of a camera. Nothing is computed for a topic without a subscriber.

use std::sync::Arc;

use r2r::WrappedTypesupport;
use r2r::promptseg_msgs::msg as ours;
use r2r::sensor_msgs::msg::{CompressedImage, Image};
use r2r::vision_msgs::msg::Detection2DArray;

use super::annotations::Annotations;
use super::error::OutputError;
use super::messages::{detection, image, label_image_message, mask_array, mask_image};
use super::picture::Picture;
use crate::engine::{FrameResult, ObjectResult};
use crate::node::config::OutputConfig;
use crate::node::error::NodeError;
use crate::node::ros::convert::ros_header;
use crate::node::ros::qos;
use crate::node::ros::topics::{Offer, Output, Topics};
use crate::pixels::{JPEG_OF_RGB, encode_jpeg};

/// The publishers of a camera.
pub struct Outputs {
    mask: Output<Image>,
    labels: Output<Image>,
    masks: Output<ours::MaskArray>,
    detections: Output<Detection2DArray>,
    overlay: Output<Image>,
    overlay_compressed: Output<CompressedImage>,
    annotations: Annotations,
}

impl Outputs {
    /// # Errors
    /// An override of a profile is wrong.
    pub fn new(topics: &mut Topics) -> Result<Self, NodeError> {
        let compressed = topics.derived("~/overlay", "/compressed");
        Ok(Outputs {
            mask: topics.output("~/mask", qos::OUTPUTS)?,
            labels: topics.output("~/labels", qos::OUTPUTS)?,
            masks: topics.output("~/masks", qos::OUTPUTS)?,
            detections: topics.output("~/detections", qos::OUTPUTS)?,
            overlay: topics.output("~/overlay", qos::OUTPUTS)?,
            overlay_compressed: topics.output(&compressed, qos::OUTPUTS)?,
            annotations: Annotations::new(topics)?,
        })
    }

    /// All publishers, whatever their type.
    pub fn all(&mut self) -> Vec<&mut dyn Offer> {
        let Outputs { mask, labels, masks, detections, overlay, overlay_compressed, annotations } = self;
        let always: [&mut dyn Offer; 6] = [mask, labels, masks, detections, overlay, overlay_compressed];
        always.into_iter().chain(annotations.offer()).collect()
    }

    /// Publishes the result of a frame. A frame without objects has only an overlay, unless the objects were just cleared
    /// (the masks are empty then) or `output.publish_empty` is set.
    ///
    /// # Errors
    /// The first topic that failed; the other topics are published nevertheless.
    pub fn publish(
        &self,
        result: &FrameResult,
        model: &str,
        config: OutputConfig,
        picture: &mut Picture,
    ) -> Result<(), OutputError> {
        let header = || ros_header(&result.header);
        let (width, height) = result.image.dimensions();
        let mut first_error = Ok(());
        let mut keep = |outcome: Result<(), OutputError>| {
            if first_error.is_ok() {
                first_error = outcome;
            }
        };
        if has_masks(result, config) {
            keep(publish("~/mask", &self.mask, || Ok(mask_image(result, header()))));
            keep(publish("~/labels", &self.labels, || Ok(label_image_message(result, header()))));
            keep(publish("~/masks", &self.masks, || Ok(mask_array(result, model, config.mask_encoding))));
            keep(publish("~/detections", &self.detections, || {
                let detection = |o: &Arc<ObjectResult>| detection(o, header(), config.detections_score);
                let detections = result.objects.iter().filter_map(detection).collect();
                Ok(Detection2DArray { header: header(), detections })
            }));
        }
        keep(self.annotations.publish(result));
        keep(publish("~/overlay/compressed", &self.overlay_compressed, || {
            let data = encode_jpeg(picture.get(result), config.overlay_quality)?;
            Ok(CompressedImage { header: header(), format: JPEG_OF_RGB.into(), data })
        }));
        if self.overlay.is_wanted() {
            let message = image(header(), width, height, "rgb8", 3, picture.take(result).into_raw());
            let published = self.overlay.publish(&message);
            keep(published.map_err(|source| OutputError::Publish { topic: "~/overlay", source }));
            picture.give_back(width, height, message.data);
        }
        first_error
    }
}

/// Whether the masks of a result are published: a frame without objects has none, unless the objects were just cleared or
/// `output.publish_empty` is set.
pub fn has_masks(result: &FrameResult, config: OutputConfig) -> bool {
    result.prompted || !result.objects.is_empty() || config.publish_empty
}

fn publish<T: WrappedTypesupport + 'static>(
    topic: &'static str,
    output: &Output<T>,
    message: impl FnOnce() -> Result<T, OutputError>,
) -> Result<(), OutputError> {
    if !output.is_wanted() {
        return Ok(());
    }
    output.publish(&message()?).map_err(|source| OutputError::Publish { topic, source })
}
