//! ROS messages to the engine's types and back. Everything that a message can get wrong on its own is refused here;
//! what depends on the image (a click outside of it) is refused by the engine.

use r2r::builtin_interfaces::msg::Time;
use r2r::promptseg_msgs::msg as ours;
use r2r::sensor_msgs::msg::{CompressedImage, Image, RegionOfInterest};
use r2r::std_msgs::msg::Header as RosHeader;
use r2r::vision_msgs::msg::{BoundingBox2D, Detection2D, Detection2DArray};

use crate::engine::{DetectedBox, Frame, FramePixels, Header, ObjectPrompt, Operation, Refusal, RefusalKind, Stamp};
use crate::pixels::{MaskInput, RawImage, decode_mask};
use crate::prompt::{BoxPrompt, Label, Point, Prompt};

pub fn stamp(time: &Time) -> Stamp {
    Stamp { sec: time.sec, nanosec: time.nanosec }
}

pub fn header(header: &RosHeader) -> Header {
    Header { stamp: stamp(&header.stamp), frame_id: header.frame_id.as_str().into() }
}

pub fn ros_header(header: &Header) -> RosHeader {
    let Stamp { sec, nanosec } = header.stamp;
    RosHeader { stamp: Time { sec, nanosec }, frame_id: header.frame_id.to_string() }
}

pub fn frame(image: Image) -> Frame {
    Frame {
        header: header(&image.header),
        pixels: FramePixels::Raw {
            width: image.width,
            height: image.height,
            step: image.step,
            encoding: image.encoding,
            big_endian: image.is_bigendian != 0,
            data: image.data,
        },
    }
}

pub fn compressed_frame(image: CompressedImage) -> Frame {
    Frame { header: header(&image.header), pixels: FramePixels::Compressed { format: image.format, data: image.data } }
}

/// Whether somebody left this image out of a request.
pub fn is_absent(image: &Image) -> bool {
    image.width == 0 && image.height == 0 && image.data.is_empty()
}

pub fn region(roi: &RegionOfInterest) -> BoxPrompt {
    let (x, y) = (f64::from(roi.x_offset), f64::from(roi.y_offset));
    BoxPrompt {
        x_min: x as f32,
        y_min: y as f32,
        x_max: (x + f64::from(roi.width)) as f32,
        y_max: (y + f64::from(roi.height)) as f32,
    }
}

/// The upright box around a detector's, which may be rotated.
fn hull(b: &BoundingBox2D) -> BoxPrompt {
    let (sin, cos) = b.center.theta.sin_cos();
    let half_x = (b.size_x * cos).abs() / 2.0 + (b.size_y * sin).abs() / 2.0;
    let half_y = (b.size_x * sin).abs() / 2.0 + (b.size_y * cos).abs() / 2.0;
    let (x, y) = (b.center.position.x, b.center.position.y);
    // A size below zero is no box: keep it inside out, so that the check says so.
    let sign = if b.size_x < 0.0 || b.size_y < 0.0 { -1.0 } else { 1.0 };
    BoxPrompt {
        x_min: (x - sign * half_x) as f32,
        y_min: (y - sign * half_y) as f32,
        x_max: (x + sign * half_x) as f32,
        y_max: (y + sign * half_y) as f32,
    }
}

fn class_of(detection: &Detection2D) -> String {
    let best = detection.results.iter().max_by(|a, b| a.hypothesis.score.total_cmp(&b.hypothesis.score));
    best.map(|r| r.hypothesis.class_id.clone()).unwrap_or_default()
}

pub fn detections(message: &Detection2DArray) -> Vec<DetectedBox> {
    let detected = |d: &Detection2D| DetectedBox { bbox: hull(&d.bbox), class_id: class_of(d), tag: d.id.clone() };
    message.detections.iter().map(detected).collect()
}

pub fn operation(message: &ours::PromptArray) -> Result<Operation, Refusal> {
    match message.operation {
        0 => Ok(Operation::Set),
        1 => Ok(Operation::Add),
        2 => Ok(Operation::Remove),
        3 => Ok(Operation::Clear),
        other => Err(bad(format!("operation {other}; known are SET=0, ADD=1, REMOVE=2, CLEAR=3"))),
    }
}

pub fn object_prompts(objects: Vec<ours::ObjectPrompt>) -> Result<Vec<ObjectPrompt>, Refusal> {
    objects.into_iter().map(object_prompt).collect()
}

fn object_prompt(object: ours::ObjectPrompt) -> Result<ObjectPrompt, Refusal> {
    let id = object.object_id;
    let points = object.points.iter().map(|p| point(id, p)).collect::<Result<Vec<_>, _>>()?;
    let bbox = match object.box_.as_slice() {
        [] => None,
        [b] => Some(BoxPrompt { x_min: b.x_min, y_min: b.y_min, x_max: b.x_max, y_max: b.y_max }),
        more => return Err(bad(format!("object {id}: {} boxes, at most one is possible", more.len()))),
    };
    let mask = if is_absent(&object.mask) { None } else { Some(mask_input(id, &object.mask)?) };
    Ok(ObjectPrompt {
        id,
        class_id: object.class_id,
        prompt: Prompt { points, bbox, mask: None },
        mask,
        refine: object.refine,
    })
}

fn point(id: u32, p: &ours::PointPrompt) -> Result<Point, Refusal> {
    let label = match p.label {
        0 => Label::Background,
        1 => Label::Foreground,
        other => return Err(bad(format!("object {id}: point label {other}; known are BACKGROUND=0, FOREGROUND=1"))),
    };
    Ok(Point { x: p.x, y: p.y, label })
}

fn mask_input(id: u32, image: &Image) -> Result<MaskInput, Refusal> {
    let raw = RawImage {
        width: image.width,
        height: image.height,
        step: image.step,
        encoding: &image.encoding,
        big_endian: image.is_bigendian != 0,
        data: &image.data,
    };
    decode_mask(&raw).map_err(|e| bad(format!("object {id}: mask: {e}")))
}

fn bad(message: String) -> Refusal {
    Refusal::new(RefusalKind::BadMessage, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use r2r::vision_msgs::msg::{Point2D, Pose2D};

    fn bounding_box(x: f64, y: f64, theta: f64, size_x: f64, size_y: f64) -> BoundingBox2D {
        BoundingBox2D { center: Pose2D { position: Point2D { x, y }, theta }, size_x, size_y }
    }

    #[test]
    fn a_detectors_box_is_centre_based_and_may_be_rotated() {
        let upright = hull(&bounding_box(50.0, 40.0, 0.0, 20.0, 10.0));
        assert_eq!(upright, BoxPrompt { x_min: 40.0, y_min: 35.0, x_max: 60.0, y_max: 45.0 });
        let turned = hull(&bounding_box(50.0, 40.0, std::f64::consts::FRAC_PI_2, 20.0, 10.0));
        assert!((turned.x_min - 45.0).abs() < 1e-4 && (turned.y_min - 30.0).abs() < 1e-4, "{turned:?}");
    }

    #[test]
    fn a_box_of_negative_size_stays_without_area() {
        let b = hull(&bounding_box(50.0, 40.0, 0.0, -20.0, 10.0));
        let prompt = Prompt { bbox: Some(b), ..Prompt::default() };
        assert!(prompt.check(100, 100).is_err());
    }

    #[test]
    fn labels_operations_and_boxes_that_do_not_exist_are_refused() {
        let array = ours::PromptArray { operation: 9, ..Default::default() };
        assert!(operation(&array).unwrap_err().message.contains("CLEAR=3"));
        let points = vec![ours::PointPrompt { label: 7, ..Default::default() }];
        let object = ours::ObjectPrompt { points, ..Default::default() };
        assert!(object_prompt(object).unwrap_err().message.contains("label 7"));
        let object = ours::ObjectPrompt { box_: vec![Default::default(), Default::default()], ..Default::default() };
        assert!(object_prompt(object).unwrap_err().message.contains("2 boxes"));
    }
}
