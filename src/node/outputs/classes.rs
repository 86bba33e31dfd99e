//! `~/classes`, `~/confidence` and `~/label_info`: an image of classes, as costmaps of semantic segmentation take it.

use r2r::sensor_msgs::msg::Image;
use r2r::std_msgs::msg::Header as RosHeader;
use r2r::vision_msgs::msg::{LabelInfo, VisionClass};

use super::class_table::ClassTable;
use super::error::OutputError;
use super::messages::{image, score};
use crate::engine::{FrameResult, ObjectResult, Refusal};
use crate::node::config::{ClassConfig, HypothesisScore, OnTop};
use crate::node::error::NodeError;
use crate::node::ros::convert::{ros_header, text};
use crate::node::ros::qos;
use crate::node::ros::topics::{Offer, Output, Topics};
use crate::pixels::{Mask, paint, sort_smaller_last};

/// Class and confidence of a pixel; both 0 for background.
type ClassPixel = (u8, u8);

/// Publishes the classes of a camera's images.
pub struct ClassOutputs {
    classes: Output<Image>,
    confidence: Output<Image>,
    label_info: Output<LabelInfo>,
    table: ClassTable,
    /// Names of the parameter that the table was made of.
    configured: Vec<String>,
    /// Number of classes that `~/label_info` has. `None` before the first message.
    announced: Option<usize>,
}

impl ClassOutputs {
    /// # Errors
    /// An override of a profile is wrong.
    pub fn new(topics: &mut Topics) -> Result<Self, NodeError> {
        Ok(ClassOutputs {
            classes: topics.output("~/classes", qos::OUTPUTS)?,
            confidence: topics.output("~/confidence", qos::OUTPUTS)?,
            label_info: topics.output("~/label_info", qos::LATCHED)?,
            table: ClassTable::new(&[]),
            configured: Vec::new(),
            announced: None,
        })
    }

    /// All publishers, whatever their type.
    pub fn all(&mut self) -> [&mut dyn Offer; 3] {
        [&mut self.classes, &mut self.confidence, &mut self.label_info]
    }

    /// Publishes the table of an activated node, for subscribers that need it before the first image. An empty table is not
    /// published.
    ///
    /// # Errors
    /// The middleware does not take the message.
    pub fn announce(&mut self, config: &ClassConfig) -> Result<(), OutputError> {
        // The publisher may be a new one, which keeps no message.
        self.announced = None;
        self.use_names(config);
        self.publish_table(RosHeader::default())
    }

    /// Publishes classes and confidences of an image; before them, the table if it changed. Calls `refuse` for each object
    /// whose class has no number: it is background.
    ///
    /// # Errors
    /// The middleware does not take a message.
    pub fn publish(
        &mut self,
        result: &FrameResult,
        (config, source): (&ClassConfig, HypothesisScore),
        refuse: impl FnMut(Refusal),
    ) -> Result<(), OutputError> {
        let wanted = [&self.classes, &self.confidence].map(Output::is_wanted);
        if wanted == [false; 2] {
            return Ok(());
        }
        self.use_names(config);
        let (width, height) = result.image.dimensions();
        let mut masks = self.numbered(result, (config, source), refuse);
        match config.on_top {
            OnTop::Smaller => sort_smaller_last(&mut masks),
            OnTop::Certain => {
                // The first of equals stays on top.
                masks.reverse();
                masks.sort_by_key(|((_, confidence), _)| *confidence);
            }
        }
        let painted = match masks.is_empty() {
            true => vec![ClassPixel::default(); width as usize * height as usize],
            false => paint(&masks),
        };
        self.publish_table(ros_header(&result.header))?;
        let mono8 = |data| image(ros_header(&result.header), width, height, "mono8", 1, data);
        if wanted[0] {
            let published = self.classes.publish(&mono8(painted.iter().map(|(class, _)| *class).collect()));
            published.map_err(|source| OutputError::Publish { topic: "~/classes", source })?;
        }
        if wanted[1] {
            let published =
                self.confidence.publish(&mono8(painted.iter().map(|(_, confidence)| *confidence).collect()));
            published.map_err(|source| OutputError::Publish { topic: "~/confidence", source })?;
        }
        Ok(())
    }

    /// Returns the masks with a class, each with its number and its confidence.
    fn numbered<'a>(
        &mut self,
        result: &'a FrameResult,
        (config, source): (&ClassConfig, HypothesisScore),
        mut refuse: impl FnMut(Refusal),
    ) -> Vec<(ClassPixel, &'a Mask)> {
        let mut masks = Vec::with_capacity(result.objects.len());
        for object in result.objects.iter().filter(|o| o.mask.area > 0) {
            let name = if object.class_id.is_empty() { &config.unnamed } else { &object.class_id };
            if name.is_empty() {
                continue;
            }
            match self.table.number(name) {
                Ok(number) => masks.push(((number, confidence(object, source)), &object.mask)),
                Err(refusal) => refuse(refusal),
            }
        }
        masks
    }

    /// Starts a new table if the names of the parameter changed.
    fn use_names(&mut self, config: &ClassConfig) {
        if self.configured != config.names {
            self.configured.clone_from(&config.names);
            self.table = ClassTable::new(&config.names);
            self.announced = None;
        }
    }

    /// Publishes the table if it changed since it was published.
    fn publish_table(&mut self, header: RosHeader) -> Result<(), OutputError> {
        let names = self.table.names();
        if names.is_empty() || self.announced == Some(names.len()) {
            return Ok(());
        }
        let class = |(number, name): (u16, &String)| VisionClass { class_id: number, class_name: text(name) };
        let class_map = (1..).zip(names).map(class).collect();
        let published = self.label_info.publish(&LabelInfo { header, class_map, threshold: 0.0 });
        published.map_err(|source| OutputError::Publish { topic: "~/label_info", source })?;
        self.announced = Some(names.len());
        Ok(())
    }
}

/// Returns the confidence of an object, 0 to 255.
fn confidence(object: &ObjectResult, source: HypothesisScore) -> u8 {
    // NaN becomes 0.
    (score(object, source) * 255.0).round().clamp(0.0, 255.0) as u8
}
