//! Results of the engine to topics. Nothing is computed for a topic that nobody wants.

use std::sync::Arc;

use image::RgbImage;
use r2r::WrappedTypesupport;
use r2r::geometry_msgs::msg::PoseWithCovariance;
use r2r::promptseg_msgs::msg as ours;
use r2r::sensor_msgs::msg::{CompressedImage, Image, RegionOfInterest};
use r2r::std_msgs::msg::Header as RosHeader;
use r2r::vision_msgs::msg::{
    BoundingBox2D, Detection2D, Detection2DArray, ObjectHypothesis, ObjectHypothesisWithPose, Point2D, Pose2D,
};

use crate::engine::{FrameResult, ObjectResult};
use crate::node::config::values::Parameters;
use crate::node::error::NodeError;
use crate::node::ros::convert::ros_header;
use crate::node::ros::qos;
use crate::node::ros::topics::{Offer, Output, Topics};
use crate::pixels::{
    Mask, OverlayObject, PixelError, coco_counts, coco_string, draw_corner, draw_overlay, encode_jpeg, label_image,
    union_mask,
};

/// As image_transport writes it: the picture was rgb8, and OpenCV's JPEG codec reads it as bgr8. Without the latter its
/// subscriber takes red for blue.
const JPEG_OF_RGB: &str = "rgb8; jpeg compressed bgr8";

/// The publishers of a camera.
pub struct Outputs {
    mask: Output<Image>,
    labels: Output<Image>,
    masks: Output<ours::MaskArray>,
    detections: Output<Detection2DArray>,
    overlay: Output<Image>,
    overlay_compressed: Output<CompressedImage>,
}

/// Where a MaskArray carries its masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskEncoding {
    /// In `mask`: pixels of the mask's box.
    Raw,
    /// In `rle_counts`: run lengths of the whole image.
    Rle,
}

/// Which score `~/detections` carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HypothesisScore {
    PredictedIou,
    /// The detector's own score, and the predicted IoU for an object without one.
    Detection,
}

/// The parameters that concern the outputs.
#[derive(Debug, Clone, Copy)]
pub struct OutputSettings {
    /// 1 to 100.
    overlay_quality: u8,
    mask_encoding: MaskEncoding,
    detections_score: HypothesisScore,
    /// Whether a frame without objects is published as empty masks and detections.
    publish_empty: bool,
}

impl From<&Parameters> for OutputSettings {
    fn from(parameters: &Parameters) -> Self {
        OutputSettings {
            overlay_quality: parameters.integer("overlay_quality").clamp(1, 100) as u8,
            mask_encoding: match parameters.text("mask_encoding") {
                "rle" => MaskEncoding::Rle,
                _ => MaskEncoding::Raw,
            },
            detections_score: match parameters.text("detections_score") {
                "detection_score" => HypothesisScore::Detection,
                _ => HypothesisScore::PredictedIou,
            },
            publish_empty: parameters.flag("publish_empty"),
        }
    }
}

/// Something went wrong on the way out.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("publishing on {topic}: {source}")]
    Publish { topic: &'static str, source: r2r::Error },
    #[error("overlay: {0}")]
    Overlay(#[from] PixelError),
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
        })
    }

    /// All of them.
    pub fn each(&mut self) -> [&mut dyn Offer; 6] {
        let Outputs { mask, labels, masks, detections, overlay, overlay_compressed } = self;
        [mask, labels, masks, detections, overlay, overlay_compressed]
    }

    /// Publishes what is known about a frame. Frames without objects only make an overlay, unless the objects have
    /// just been cleared (then an empty mask says so) or `publish_empty` is set.
    ///
    /// # Errors
    /// Of the first topic that failed; the others are published all the same.
    pub fn publish(
        &self,
        result: &FrameResult,
        model: &str,
        settings: OutputSettings,
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
        if result.prompted || !result.objects.is_empty() || settings.publish_empty {
            keep(publish("~/mask", &self.mask, || Ok(mask_image(result, header()))));
            keep(publish("~/labels", &self.labels, || Ok(labels(result, header()))));
            keep(publish("~/masks", &self.masks, || Ok(mask_array(result, model, settings.mask_encoding))));
            keep(publish("~/detections", &self.detections, || {
                let detection = |o: &Arc<ObjectResult>| detection(o, header(), settings.detections_score);
                let detections = result.objects.iter().filter_map(detection).collect();
                Ok(Detection2DArray { header: header(), detections })
            }));
        }
        keep(publish("~/overlay/compressed", &self.overlay_compressed, || {
            let data = encode_jpeg(picture.of(result), settings.overlay_quality)?;
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

fn image(header: RosHeader, width: u32, height: u32, encoding: &str, bytes: u32, data: Vec<u8>) -> Image {
    Image { header, height, width, encoding: encoding.into(), is_bigendian: 0, step: width * bytes, data }
}

fn mask_image(result: &FrameResult, header: RosHeader) -> Image {
    let (width, height) = result.image.dimensions();
    let masks: Vec<&Mask> = result.objects.iter().map(|o| &o.mask).collect();
    let data = if masks.is_empty() { vec![0; width as usize * height as usize] } else { union_mask(&masks) };
    image(header, width, height, "mono8", 1, data)
}

fn labels(result: &FrameResult, header: RosHeader) -> Image {
    let (width, height) = result.image.dimensions();
    let masks: Vec<(u32, &Mask)> = result.objects.iter().map(|o| (o.id, &o.mask)).collect();
    let data = match masks.is_empty() {
        true => vec![0; width as usize * height as usize * 2],
        false => label_image(&masks).into_iter().flat_map(u16::to_le_bytes).collect(),
    };
    image(header, width, height, "mono16", 2, data)
}

/// The answer as one message, for `~/masks` and for the services.
pub fn mask_array(result: &FrameResult, model: &str, encoding: MaskEncoding) -> ours::MaskArray {
    let (width, height) = result.image.dimensions();
    let seconds = |ms: f32| f64::from(ms) / 1e3;
    ours::MaskArray {
        header: ros_header(&result.header),
        height,
        width,
        masks: result.objects.iter().map(|o| object_mask(o, ros_header(&result.header), encoding)).collect(),
        model: model.to_owned(),
        encode_s: seconds(result.ms.preprocess + result.ms.encode),
        decode_s: seconds(result.ms.decode + result.ms.postprocess),
    }
}

fn object_mask(object: &ObjectResult, header: RosHeader, encoding: MaskEncoding) -> ours::ObjectMask {
    let roi = object.mask.bbox.map_or_else(RegionOfInterest::default, |b| RegionOfInterest {
        x_offset: b.x,
        y_offset: b.y,
        height: b.height,
        width: b.width,
        do_rectify: false,
    });
    let (mask, rle_counts) = match encoding {
        MaskEncoding::Raw => {
            (image(header, roi.width, roi.height, "mono8", 1, object.mask.cropped.clone()), String::new())
        }
        MaskEncoding::Rle => (Image { header, ..Image::default() }, coco_string(&coco_counts(&object.mask))),
    };
    ours::ObjectMask {
        object_id: object.id,
        class_id: object.class_id.clone(),
        iou: object.iou,
        stability: object.mask.stability,
        // Families without an object score say "it is there" by giving a mask at all.
        object_score: object.object_score.unwrap_or(f32::NAN),
        detection_score: object.detection_score.unwrap_or(f64::NAN),
        candidate_ious: object.candidate_ious.clone(),
        area: object.mask.area,
        mask,
        rle_counts,
        roi,
        state: match object.lost {
            None => ours::ObjectMask::STATE_VISIBLE as u8,
            Some(_) => ours::ObjectMask::STATE_LOST as u8,
        },
        reason: object.lost.clone().unwrap_or_default(),
    }
}

fn detection(object: &ObjectResult, header: RosHeader, score: HypothesisScore) -> Option<Detection2D> {
    let b = object.mask.bbox?;
    let predicted_iou = f64::from(object.iou);
    let score = match score {
        HypothesisScore::PredictedIou => predicted_iou,
        HypothesisScore::Detection => object.detection_score.unwrap_or(predicted_iou),
    };
    let (width, height) = (f64::from(b.width), f64::from(b.height));
    let position = Point2D { x: f64::from(b.x) + width / 2.0, y: f64::from(b.y) + height / 2.0 };
    Some(Detection2D {
        header,
        results: vec![ObjectHypothesisWithPose {
            hypothesis: ObjectHypothesis { class_id: object.class_id.clone(), score },
            pose: PoseWithCovariance::default(),
        }],
        bbox: BoundingBox2D { center: Pose2D { position, theta: 0.0 }, size_x: width, size_y: height },
        id: if object.tag.is_empty() { object.id.to_string() } else { object.tag.clone() },
    })
}

/// The overlay of one result: drawn when the first output needs it, and only once.
#[derive(Default)]
pub struct Picture(Option<RgbImage>);

impl Picture {
    pub fn of(&mut self, result: &FrameResult) -> &RgbImage {
        self.0.get_or_insert_with(|| overlay(result))
    }

    fn take(&mut self, result: &FrameResult) -> RgbImage {
        self.0.take().unwrap_or_else(|| overlay(result))
    }

    /// What was taken, for the next output.
    fn give_back(&mut self, width: u32, height: u32, pixels: Vec<u8>) {
        self.0 = RgbImage::from_raw(width, height, pixels);
    }
}

/// The picture with masks, contours, prompts and scores.
fn overlay(result: &FrameResult) -> RgbImage {
    // Of a lost object, a label at the box where it was looked for.
    let name = |o: &ObjectResult| match o.lost {
        Some(_) => (format!("{} lost", o.class_id).trim().to_owned(), f32::NAN),
        None => (o.class_id.clone(), o.iou),
    };
    let names: Vec<(String, f32)> = result.objects.iter().map(|o| name(o)).collect();
    let objects: Vec<OverlayObject> = result
        .objects
        .iter()
        .zip(&names)
        .map(|(o, (class_id, iou))| OverlayObject {
            mask: &o.mask,
            id: o.id,
            iou: *iou,
            class_id,
            points: &o.points,
            bbox: o.bbox,
        })
        .collect();
    let mut picture = draw_overlay(&result.image, &objects);
    if let Some(corner) = result.corner {
        draw_corner(&mut picture, &corner);
    }
    picture
}
