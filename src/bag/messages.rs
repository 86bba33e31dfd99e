//! The messages that are read from bags: images, detections and calibrations.

use super::cdr::CdrReader;
use super::error::CdrError;
use crate::camera::{CameraInfo, RegionOfInterest};
use crate::engine::detections::{RawDetection, upright_box};
use crate::engine::{Frame, FramePixels, Header, Stamp};

pub const IMAGE: &str = "sensor_msgs/msg/Image";
pub const COMPRESSED_IMAGE: &str = "sensor_msgs/msg/CompressedImage";
pub const CAMERA_INFO: &str = "sensor_msgs/msg/CameraInfo";
pub const DETECTIONS: &str = "vision_msgs/msg/Detection2DArray";
pub const YOLO_DETECTIONS: &str = "yolo_msgs/msg/DetectionArray";

/// Types that [`frame`] decodes.
pub const IMAGE_TYPES: [&str; 2] = [IMAGE, COMPRESSED_IMAGE];
/// Types that [`detections`] decodes.
pub const DETECTION_TYPES: [&str; 2] = [DETECTIONS, YOLO_DETECTIONS];

/// Returns the stamp of a message that begins with a header.
///
/// # Errors
/// The message is not CDR, or too short.
pub fn stamp(message: &[u8]) -> Result<Stamp, CdrError> {
    stamp_field(&mut CdrReader::new(message)?)
}

fn stamp_field(reader: &mut CdrReader<'_>) -> Result<Stamp, CdrError> {
    Ok(Stamp { sec: reader.i32("header.stamp.sec")?, nanosec: reader.u32("header.stamp.nanosec")? })
}

fn header(reader: &mut CdrReader<'_>) -> Result<Header, CdrError> {
    Ok(Header { stamp: stamp_field(reader)?, frame_id: reader.string("header.frame_id")?.into() })
}

/// Decodes an image, raw or compressed. The pixels stay as they are.
///
/// # Errors
/// The type is none of [`IMAGE_TYPES`], the message is not CDR, or too short.
pub fn frame(message_type: &str, message: &[u8]) -> Result<Frame, CdrError> {
    let reader = &mut CdrReader::new(message)?;
    let pixels = |reader: &mut CdrReader<'_>| match message_type {
        IMAGE => {
            let (height, width) = (reader.u32("height")?, reader.u32("width")?);
            let encoding = reader.string("encoding")?;
            let big_endian = reader.u8("is_bigendian")? != 0;
            let step = reader.u32("step")?;
            Ok(FramePixels::Raw { width, height, step, encoding, big_endian, data: reader.bytes("data")?.to_vec() })
        }
        COMPRESSED_IMAGE => {
            Ok(FramePixels::Compressed { format: reader.string("format")?, data: reader.bytes("data")?.to_vec() })
        }
        other => {
            let expected = "sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage";
            Err(CdrError::Type { what: other.to_owned(), expected })
        }
    };
    let header = header(reader)?;
    Ok(Frame { header, pixels: pixels(reader)? })
}

/// Decodes a `sensor_msgs/CameraInfo`.
///
/// # Errors
/// The message is not CDR, or too short.
pub fn camera_info(message: &[u8]) -> Result<(Header, CameraInfo), CdrError> {
    let reader = &mut CdrReader::new(message)?;
    let header = header(reader)?;
    let (height, width) = (reader.u32("height")?, reader.u32("width")?);
    let distortion_model = reader.string("distortion_model")?;
    let count = reader.count("d", 8)?;
    let d = (0..count).map(|_| reader.f64("d")).collect::<Result<_, _>>()?;
    let (k, r, p) = (reader.f64s("k")?, reader.f64s("r")?, reader.f64s("p")?);
    let (binning_x, binning_y) = (reader.u32("binning_x")?, reader.u32("binning_y")?);
    let roi = RegionOfInterest {
        x_offset: reader.u32("roi.x_offset")?,
        y_offset: reader.u32("roi.y_offset")?,
        height: reader.u32("roi.height")?,
        width: reader.u32("roi.width")?,
        do_rectify: reader.u8("roi.do_rectify")? != 0,
    };
    Ok((header, CameraInfo { width, height, distortion_model, d, k, r, p, binning_x, binning_y, roi }))
}

/// Decodes the boxes of a detector, in pixels of the image of the header's stamp. The class of a box is that of its best
/// hypothesis.
///
/// # Errors
/// The type is none of [`DETECTION_TYPES`], the message is not CDR, or too short.
pub fn detections(message_type: &str, message: &[u8]) -> Result<(Header, Vec<RawDetection>), CdrError> {
    let reader = &mut CdrReader::new(message)?;
    let header = header(reader)?;
    let (element, least_bytes): (fn(&mut CdrReader<'_>) -> _, _) = match message_type {
        DETECTIONS => (detection, 56),
        YOLO_DETECTIONS => (yolo_detection, 64),
        other => {
            let expected = "vision_msgs/msg/Detection2DArray or yolo_msgs/msg/DetectionArray";
            return Err(CdrError::Type { what: other.to_owned(), expected });
        }
    };
    let count = reader.count("detections", least_bytes)?;
    let list = (0..count).map(|_| element(reader)).collect::<Result<_, _>>()?;
    Ok((header, list))
}

/// Reads a `vision_msgs/Detection2D` (version 4, of Humble and later).
fn detection(reader: &mut CdrReader<'_>) -> Result<RawDetection, CdrError> {
    header(reader)?;
    let mut best: Option<(String, f64)> = None;
    for _ in 0..reader.count("detections.results", 350)? {
        let (class, score) = (reader.string("hypothesis.class_id")?, reader.f64("hypothesis.score")?);
        // Pose and covariance.
        reader.f64s::<43>("pose")?;
        // NaN is the lowest score. Of equal scores the last counts, as in the node.
        let rank = |score: f64| if score.is_nan() { f64::NEG_INFINITY } else { score };
        if best.as_ref().is_none_or(|(_, highest)| rank(score) >= rank(*highest)) {
            best = Some((class, score));
        }
    }
    let [x, y, theta, size_x, size_y] = reader.f64s("bbox")?;
    let tag = reader.string("id")?;
    let (class, score) = best.map_or_else(Default::default, |(class, score)| (class, Some(score)));
    Ok(RawDetection { bbox: upright_box((x, y), theta, (size_x, size_y)), class, class_number: None, score, tag })
}

/// Reads a `yolo_msgs/Detection`. The class is its name, or its number if it has no name.
fn yolo_detection(reader: &mut CdrReader<'_>) -> Result<RawDetection, CdrError> {
    let (number, name) = (reader.i32("class_id")?, reader.string("class_name")?);
    let (score, tag) = (reader.f64("score")?, reader.string("id")?);
    let [x, y, theta, size_x, size_y] = reader.f64s("bbox")?;
    // bbox3d: position, orientation, size, frame.
    reader.f64s::<10>("bbox3d")?;
    reader.string("bbox3d.frame_id")?;
    // The outline of the mask.
    reader.i32("mask.height")?;
    reader.i32("mask.width")?;
    for _ in 0..reader.count("mask.data", 16)? {
        reader.f64s::<2>("mask.data")?;
    }
    for _ in 0..reader.count("keypoints.data", 28)? {
        reader.i32("keypoints.id")?;
        reader.f64s::<3>("keypoints.point")?;
    }
    for _ in 0..reader.count("keypoints3d.data", 36)? {
        reader.i32("keypoints3d.id")?;
        reader.f64s::<4>("keypoints3d.point")?;
    }
    reader.string("keypoints3d.frame_id")?;
    let class = if name.is_empty() { number.to_string() } else { name };
    Ok(RawDetection {
        bbox: upright_box((x, y), theta, (size_x, size_y)),
        class,
        class_number: Some(number),
        score: Some(score),
        tag,
    })
}
