//! ROS messages to the engine's types and back. Everything that a message can get wrong on its own is refused here;
//! what depends on the image (a click outside of it) is refused by the engine.

use r2r::builtin_interfaces::msg::Time;
use r2r::promptseg_msgs::msg as ours;
use r2r::sensor_msgs::msg::{CompressedImage, Image, RegionOfInterest};
use r2r::std_msgs::msg::Header as RosHeader;

use crate::engine::{Frame, FramePixels, Header, ObjectPrompt, Operation, Refusal, RefusalKind, Stamp};
use crate::pixels::{MaskInput, RawImage, decode_mask};
use crate::prompt::{BoxPrompt, Label, Point, Prompt};

/// A text as a string of ROS, which ends at a zero byte: r2r panics on one within.
pub fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

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
    let of_object = |refusal: Refusal| bad(format!("object {id}: {}", refusal.message));
    let points = object.points.iter().map(|p| point(id, p)).collect::<Result<Vec<_>, _>>()?;
    let bbox = match object.box_.as_slice() {
        [] => None,
        [b] => Some(BoxPrompt { x_min: b.x_min, y_min: b.y_min, x_max: b.x_max, y_max: b.y_max }),
        more => return Err(bad(format!("object {id}: {} boxes, at most one is possible", more.len()))),
    };
    let mask = if is_absent(&object.mask) { None } else { Some(mask_input(&object.mask).map_err(of_object)?) };
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

pub fn mask_input(image: &Image) -> Result<MaskInput, Refusal> {
    let raw = RawImage {
        width: image.width,
        height: image.height,
        step: image.step,
        encoding: &image.encoding,
        big_endian: image.is_bigendian != 0,
        data: &image.data,
    };
    decode_mask(&raw).map_err(|e| bad(format!("mask: {e}")))
}

fn bad(message: String) -> Refusal {
    Refusal::new(RefusalKind::BadMessage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

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
