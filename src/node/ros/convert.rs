//! Conversion of ROS messages to the engine's types and back. Faults of a message alone are refused here; faults that depend
//! on the image (a click outside of it) are refused by the engine.

use r2r::builtin_interfaces::msg::Time;
use r2r::promptseg_msgs::msg as ours;
use r2r::sensor_msgs::msg::{CameraInfo as CameraInfoMsg, CompressedImage, Image, RegionOfInterest};
use r2r::std_msgs::msg::Header as RosHeader;

use crate::camera::{self, CameraInfo};
use crate::engine::{Frame, FramePixels, Header, ObjectPrompt, Operation, Refusal, RefusalKind, Stamp};
use crate::pixels::{MaskInput, RawImage, decode_mask};
use crate::prompt::{BoxPrompt, Label, Point, Prompt};

/// Operations of a PromptArray, in the type of its field.
mod operation {
    use r2r::promptseg_msgs::msg::PromptArray;

    pub const UNSPECIFIED: u8 = PromptArray::UNSPECIFIED as u8;
    pub const ADD: u8 = PromptArray::ADD as u8;
    pub const REMOVE: u8 = PromptArray::REMOVE as u8;
    pub const CLEAR: u8 = PromptArray::CLEAR as u8;
    pub const SET: u8 = PromptArray::SET as u8;
}

/// Labels of a PointPrompt, in the type of its field.
mod label {
    use r2r::promptseg_msgs::msg::PointPrompt;

    pub const UNSPECIFIED: u8 = PointPrompt::UNSPECIFIED as u8;
    pub const FOREGROUND: u8 = PointPrompt::FOREGROUND as u8;
    pub const BACKGROUND: u8 = PointPrompt::BACKGROUND as u8;
}

/// Replaces zero bytes: a string of ROS ends at a zero byte, and r2r panics on a zero byte inside.
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

/// Converts the calibration of a camera.
pub fn camera_info(m: CameraInfoMsg) -> CameraInfo {
    fn array<const N: usize>(values: &[f64]) -> [f64; N] {
        // The message type fixes the length, so that the conversion never fails.
        values.try_into().unwrap_or([0.0; N])
    }
    CameraInfo {
        width: m.width,
        height: m.height,
        distortion_model: m.distortion_model,
        d: m.d,
        k: array(&m.k),
        r: array(&m.r),
        p: array(&m.p),
        binning_x: m.binning_x,
        binning_y: m.binning_y,
        roi: camera::RegionOfInterest {
            x_offset: m.roi.x_offset,
            y_offset: m.roi.y_offset,
            width: m.roi.width,
            height: m.roi.height,
            do_rectify: m.roi.do_rectify,
        },
    }
}

/// Whether the image of a request is left out.
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
    const EXPECTED: &str = "expected ADD=1, REMOVE=2, CLEAR=3 or SET=4";
    match message.operation {
        operation::ADD => Ok(Operation::Add),
        operation::REMOVE => Ok(Operation::Remove),
        operation::CLEAR => Ok(Operation::Clear),
        operation::SET => Ok(Operation::Set),
        operation::UNSPECIFIED => Err(bad_message(format!("operation 0 (UNSPECIFIED: not filled in), {EXPECTED}"))),
        other => Err(bad_message(format!("operation {other}, {EXPECTED}"))),
    }
}

pub fn object_prompts(objects: Vec<ours::ObjectPrompt>) -> Result<Vec<ObjectPrompt>, Refusal> {
    objects.into_iter().map(object_prompt).collect()
}

fn object_prompt(object: ours::ObjectPrompt) -> Result<ObjectPrompt, Refusal> {
    let id = object.object_id;
    let with_object = |refusal: Refusal| bad_message(format!("object {id}: {}", refusal.message));
    let points = object.points.iter().map(|p| point(id, p)).collect::<Result<Vec<_>, _>>()?;
    let bbox = match object.box_.as_slice() {
        [] => None,
        [b] => Some(BoxPrompt { x_min: b.x_min, y_min: b.y_min, x_max: b.x_max, y_max: b.y_max }),
        more => return Err(bad_message(format!("object {id}: {} boxes, expected at most one", more.len()))),
    };
    let mask = if is_absent(&object.mask) { None } else { Some(mask_input(&object.mask).map_err(with_object)?) };
    Ok(ObjectPrompt {
        id,
        class_id: object.class_id,
        tag: String::new(),
        prompt: Prompt { points, bbox, mask: None },
        mask,
        refine: object.refine,
    })
}

fn point(id: u32, p: &ours::PointPrompt) -> Result<Point, Refusal> {
    const EXPECTED: &str = "expected FOREGROUND=1 or BACKGROUND=2";
    let label = match p.label {
        label::FOREGROUND => Label::Foreground,
        label::BACKGROUND => Label::Background,
        label::UNSPECIFIED => {
            let message = format!(
                "object {id}: point label 0 (UNSPECIFIED: not filled in), {EXPECTED}; SAM's label 0 is BACKGROUND"
            );
            return Err(bad_message(message));
        }
        other => return Err(bad_message(format!("object {id}: point label {other}, {EXPECTED}"))),
    };
    Ok(Point { x: p.x, y: p.y, label })
}

/// Returns the fields of an image message that its pixels are decoded by.
pub fn raw_image(image: &Image) -> RawImage<'_> {
    RawImage {
        width: image.width,
        height: image.height,
        step: image.step,
        encoding: &image.encoding,
        big_endian: image.is_bigendian != 0,
        data: &image.data,
    }
}

pub fn mask_input(image: &Image) -> Result<MaskInput, Refusal> {
    decode_mask(&raw_image(image)).map_err(|e| bad_message(format!("mask: {e}")))
}

fn bad_message(message: String) -> Refusal {
    Refusal::new(RefusalKind::BadMessage, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::PromptError;

    #[test]
    fn labels_operations_and_boxes_that_do_not_exist_are_refused() {
        let array = ours::PromptArray { operation: 9, ..Default::default() };
        assert!(operation(&array).unwrap_err().message.contains("operation 9, expected ADD=1"));
        let points = vec![ours::PointPrompt { label: 7, ..Default::default() }];
        let object = ours::ObjectPrompt { points, ..Default::default() };
        assert!(object_prompt(object).unwrap_err().message.contains("label 7"));
        let object = ours::ObjectPrompt { box_: vec![Default::default(), Default::default()], ..Default::default() };
        assert!(object_prompt(object).unwrap_err().message.contains("2 boxes"));
    }

    #[test]
    fn operations_and_labels_are_those_of_the_messages() {
        let parsed = |operation: u8| super::operation(&ours::PromptArray { operation, ..Default::default() });
        assert_eq!(parsed(ours::PromptArray::ADD as u8), Ok(Operation::Add));
        assert_eq!(parsed(ours::PromptArray::REMOVE as u8), Ok(Operation::Remove));
        assert_eq!(parsed(ours::PromptArray::CLEAR as u8), Ok(Operation::Clear));
        assert_eq!(parsed(ours::PromptArray::SET as u8), Ok(Operation::Set));
        for (number, label) in [(1, Label::Foreground), (2, Label::Background)] {
            assert_eq!(point(1, &ours::PointPrompt { label: number, ..Default::default() }).unwrap().label, label);
        }
    }

    #[test]
    fn messages_that_were_not_filled_in_are_refused() {
        let refusal = operation(&ours::PromptArray::default()).unwrap_err();
        assert!(refusal.kind == RefusalKind::BadMessage && refusal.message.contains("UNSPECIFIED"), "{refusal:?}");
        let refusal = point(3, &ours::PointPrompt::default()).unwrap_err();
        assert!(refusal.kind == RefusalKind::BadMessage && refusal.message.contains("object 3: point label 0"));
        let empty = object_prompt(ours::ObjectPrompt::default()).unwrap();
        assert!((empty.id, empty.refine, empty.mask.is_none()) == (0, false, true));
        assert_eq!(empty.prompt.check(320, 240), Err(PromptError::Empty));
        let boxed = ours::ObjectPrompt { box_: vec![Default::default()], ..Default::default() };
        let checked = object_prompt(boxed).unwrap().prompt.check(320, 240);
        assert!(matches!(checked, Err(PromptError::BoxWithoutArea { .. })), "{checked:?}");
    }
}
