//! Results of the engine as messages.

use r2r::geometry_msgs::msg::PoseWithCovariance;
use r2r::promptseg_msgs::msg as ours;
use r2r::sensor_msgs::msg::{Image, RegionOfInterest};
use r2r::std_msgs::msg::Header as RosHeader;
use r2r::vision_msgs::msg::{BoundingBox2D, Detection2D, ObjectHypothesis, ObjectHypothesisWithPose, Point2D, Pose2D};

use crate::engine::{FrameResult, ObjectResult};
use crate::node::config::{HypothesisScore, MaskEncoding};
use crate::node::ros::convert::ros_header;
use crate::pixels::{Mask, coco_counts, coco_string, label_image, union_mask};

/// Returns an image of `bytes` bytes a pixel.
pub fn image(header: RosHeader, width: u32, height: u32, encoding: &str, bytes: u32, data: Vec<u8>) -> Image {
    Image { header, height, width, encoding: encoding.into(), is_bigendian: 0, step: width * bytes, data }
}

/// Returns the union of all masks, mono8: 0 and 255.
pub fn mask_image(result: &FrameResult, header: RosHeader) -> Image {
    let (width, height) = result.image.dimensions();
    let masks: Vec<&Mask> = result.objects.iter().map(|o| &o.mask).collect();
    let data = if masks.is_empty() { vec![0; width as usize * height as usize] } else { union_mask(&masks) };
    image(header, width, height, "mono8", 1, data)
}

/// Returns the ids of the objects, mono16; 0 is background.
pub fn label_image_message(result: &FrameResult, header: RosHeader) -> Image {
    let (width, height) = result.image.dimensions();
    let masks: Vec<(u32, &Mask)> = result.objects.iter().map(|o| (o.id, &o.mask)).collect();
    let data = match masks.is_empty() {
        true => vec![0; width as usize * height as usize * 2],
        false => label_image(&masks).into_iter().flat_map(u16::to_le_bytes).collect(),
    };
    image(header, width, height, "mono16", 2, data)
}

/// Returns all objects of a frame, for `~/masks` and for the services.
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
        // NaN for families of models without an object score: they give a mask to every object.
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

/// Returns the score of an object that the parameter selects.
pub fn score(object: &ObjectResult, source: HypothesisScore) -> f64 {
    let predicted_iou = f64::from(object.iou);
    match source {
        HypothesisScore::PredictedIou => predicted_iou,
        HypothesisScore::Detection => object.detection_score.unwrap_or(predicted_iou),
    }
}

/// Returns the id of an object on `~/detections`: that of the detector, or that of the object.
pub fn detection_id(object: &ObjectResult) -> String {
    if object.tag.is_empty() { object.id.to_string() } else { object.tag.clone() }
}

/// Returns the bounding box of a mask as a detection; `None` for an empty mask.
pub fn detection(object: &ObjectResult, header: RosHeader, source: HypothesisScore) -> Option<Detection2D> {
    let b = object.mask.bbox?;
    let score = score(object, source);
    let (width, height) = (f64::from(b.width), f64::from(b.height));
    let position = Point2D { x: f64::from(b.x) + width / 2.0, y: f64::from(b.y) + height / 2.0 };
    Some(Detection2D {
        header,
        results: vec![ObjectHypothesisWithPose {
            hypothesis: ObjectHypothesis { class_id: object.class_id.clone(), score },
            pose: PoseWithCovariance::default(),
        }],
        bbox: BoundingBox2D { center: Pose2D { position, theta: 0.0 }, size_x: width, size_y: height },
        id: detection_id(object),
    })
}
