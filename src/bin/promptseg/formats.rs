//! Formats of masks in files: PNG, numpy arrays, COCO's run lengths and polygons; and of clouds: PLY.

use promptseg::depth::Cloud;
use promptseg::pixels::{Contour, Mask, RunLengths, coco_string, contours};
use serde_json::{Value, json};

/// Encodes a mask as a grey PNG file: 255 inside, 0 outside.
pub fn mask_png(mask: &Mask) -> Result<Vec<u8>, String> {
    let grey = image::GrayImage::from_raw(mask.width, mask.height, mask.full());
    png(&grey.ok_or("the mask and its image differ in size")?.into())
}

/// Encodes an image as a PNG file.
pub fn png(image: &image::DynamicImage) -> Result<Vec<u8>, String> {
    let mut content = std::io::Cursor::new(Vec::new());
    image.write_to(&mut content, image::ImageFormat::Png).map_err(|e| e.to_string())?;
    Ok(content.into_inner())
}

/// Encodes run lengths in COCO's compressed form.
pub fn run_lengths(mask: &RunLengths) -> Value {
    json!({ "size": [mask.height, mask.width], "counts": coco_string(&mask.counts) })
}

/// Adds a mask to its JSON: as polygons with the holes in a list of their own, or as run lengths.
pub fn add_segmentation(value: &mut Value, mask: &Mask, as_polygons: bool) {
    if as_polygons {
        let (outer, holes) = polygons(mask);
        value["segmentation"] = outer;
        value["holes"] = holes;
    } else {
        value["segmentation"] = run_lengths(&RunLengths::of(mask));
    }
}

/// Returns the outer contours of a mask and its holes as COCO's lists of `[x, y, x, y, ...]`.
fn polygons(mask: &Mask) -> (Value, Value) {
    let (holes, outer): (Vec<_>, Vec<_>) = contours(mask).into_iter().partition(|contour| contour.hole);
    let flat = |list: Vec<Contour>| -> Vec<Vec<u32>> {
        list.into_iter().map(|c| c.corners.into_iter().flat_map(|(x, y)| [x, y]).collect()).collect()
    };
    (json!(flat(outer)), json!(flat(holes)))
}

/// Encodes masks of one size as a numpy array of booleans, [masks, height, width]
/// (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, version 1.0).
pub fn npy(masks: &[&Mask], (width, height): (u32, u32)) -> Result<Vec<u8>, String> {
    let shape = format!("({}, {height}, {width})", masks.len());
    let mut header = format!("{{'descr': '|b1', 'fortran_order': False, 'shape': {shape}, }}");
    // Magic number, version, length and header together fill whole blocks of 64 bytes.
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| "the numpy header is longer than 64 kB")?;
    let mut content = b"\x93NUMPY\x01\x00".to_vec();
    content.extend(length.to_le_bytes());
    content.extend(header.as_bytes());
    for mask in masks {
        content.extend(mask.full().iter().map(|v| u8::from(*v != 0)));
    }
    Ok(content)
}

/// Encodes a cloud as a binary PLY file: x, y, z in metres, colour and label.
pub fn ply(cloud: &Cloud) -> Vec<u8> {
    let mut content = format!(
        "ply\nformat binary_little_endian 1.0\ncomment metres in the optical frame: x right, y down, z forward\nelement \
         vertex {}\nproperty float x\nproperty float y\nproperty float z\nproperty uchar red\nproperty uchar \
         green\nproperty uchar blue\nproperty ushort label\nend_header\n",
        cloud.points.len()
    )
    .into_bytes();
    for point in &cloud.points {
        point.position.iter().for_each(|v| content.extend(v.to_le_bytes()));
        content.extend(point.rgb);
        content.extend(point.label.to_le_bytes());
    }
    content
}

/// Rounds a length in metres for JSON.
pub fn rounded_to_micrometres(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// Rounds a number for JSON, without the digits that appear when an f32 becomes an f64.
pub fn rounded(value: f32) -> f64 {
    (f64::from(value) * 1e6).round() / 1e6
}
