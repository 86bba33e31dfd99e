//! The messages that are written into bags: masks, labels, detections and overlays, as the node publishes them.

use super::cdr_writer::CdrWriter;
use crate::engine::Header;
use crate::pixels::{JPEG_OF_RGB, Mask, PixelRect, label_image};

pub const MASKS: &str = "promptseg_msgs/msg/MaskArray";

/// `promptseg_msgs/ObjectMask` `STATE_VISIBLE`.
const VISIBLE: u8 = 2;

/// An object on a frame.
#[derive(Debug, Clone)]
pub struct ObjectResult {
    pub object: u32,
    /// Empty without a class.
    pub class: String,
    /// IoU that the model predicts.
    pub iou: f32,
    pub object_score: Option<f32>,
    pub detection_score: Option<f64>,
    pub mask: Mask,
}

impl ObjectResult {
    /// Returns the tight box; empty for an empty mask.
    fn rect(&self) -> PixelRect {
        self.mask.bbox.unwrap_or(PixelRect { x: 0, y: 0, width: 0, height: 0 })
    }
}

fn begin(header: &Header) -> CdrWriter {
    let mut writer = CdrWriter::new();
    write_header(&mut writer, header);
    writer
}

fn write_header(writer: &mut CdrWriter, header: &Header) {
    writer.i32(header.stamp.sec);
    writer.u32(header.stamp.nanosec);
    writer.string(&header.frame_id);
}

/// Appends the fields of a `sensor_msgs/Image` after its header.
fn write_image(writer: &mut CdrWriter, (width, height): (u32, u32), encoding: &str, bytes: u32, data: &[u8]) {
    writer.u32(height);
    writer.u32(width);
    writer.string(encoding);
    // Little endian.
    writer.u8(0);
    writer.u32(width * bytes);
    writer.bytes(data);
}

/// Encodes a `promptseg_msgs/MaskArray`, each mask cut to its box.
pub fn masks(header: &Header, (width, height): (u32, u32), model: &str, objects: &[ObjectResult]) -> Vec<u8> {
    let mut writer = begin(header);
    writer.u32(height);
    writer.u32(width);
    writer.count(objects.len());
    for object in objects {
        let rect = object.rect();
        writer.u32(object.object);
        writer.string(&object.class);
        writer.f32(object.iou);
        writer.f32(object.mask.stability);
        writer.f32(object.object_score.unwrap_or(f32::NAN));
        writer.f64(object.detection_score.unwrap_or(f64::NAN));
        // `candidate_ious`: only the chosen candidate is stored.
        writer.count(1);
        writer.f32(object.iou);
        writer.u32(object.mask.area);
        [rect.x, rect.y, rect.height, rect.width].iter().for_each(|value| writer.u32(*value));
        // `roi.do_rectify`.
        writer.u8(0);
        write_header(&mut writer, header);
        write_image(&mut writer, (rect.width, rect.height), "mono8", 1, &object.mask.cropped);
        // `rle_counts`: the mask has pixels.
        writer.string("");
        writer.u8(VISIBLE);
        // `reason`: the object is visible.
        writer.string("");
    }
    writer.string(model);
    // `encode_s`, `decode_s`: not stored, so that a bag is made again to the byte.
    writer.f64(0.0);
    writer.f64(0.0);
    writer.finish()
}

/// Encodes the image of `~/labels`: mono16, the number of the object on each pixel.
pub fn labels(header: &Header, (width, height): (u32, u32), objects: &[ObjectResult]) -> Vec<u8> {
    let numbered: Vec<(u32, &Mask)> = objects.iter().map(|object| (object.object, &object.mask)).collect();
    let pixels = match numbered.as_slice() {
        [] => vec![0; width as usize * height as usize],
        numbered => label_image(numbered),
    };
    let data: Vec<u8> = pixels.iter().flat_map(|label| label.to_le_bytes()).collect();
    let mut writer = begin(header);
    write_image(&mut writer, (width, height), "mono16", 2, &data);
    writer.finish()
}

/// Encodes the image of `~/overlay/compressed`.
pub fn overlay(header: &Header, jpeg: &[u8]) -> Vec<u8> {
    let mut writer = begin(header);
    writer.string(JPEG_OF_RGB);
    writer.bytes(jpeg);
    writer.finish()
}

/// Encodes a `vision_msgs/Detection2DArray`: the tight box of each mask. The score is the predicted IoU.
pub fn detections(header: &Header, objects: &[ObjectResult]) -> Vec<u8> {
    let mut writer = begin(header);
    writer.count(objects.len());
    for object in objects {
        let rect = object.rect();
        write_header(&mut writer, header);
        writer.count(1);
        writer.string(&object.class);
        writer.f64(f64::from(object.iou));
        // Pose and covariance: unknown.
        (0..43).for_each(|_| writer.f64(0.0));
        writer.f64(f64::from(rect.x) + f64::from(rect.width) / 2.0);
        writer.f64(f64::from(rect.y) + f64::from(rect.height) / 2.0);
        writer.f64(0.0);
        writer.f64(f64::from(rect.width));
        writer.f64(f64::from(rect.height));
        writer.string(&object.object.to_string());
    }
    writer.finish()
}
