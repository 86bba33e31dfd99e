//! A box in metres as a box in pixels: a prompt for an object whose place in the world is known.

use nalgebra::{Isometry3, Point3};
use thiserror::Error;

use super::oriented_box::OrientedBox;
use crate::camera::{CameraModel, ProjectError};
use crate::prompt::BoxPrompt;

/// Parts of an edge whose ends are projected. Edges are straight in metres and curved in an image with lens distortion, and
/// an edge may lead behind the camera.
const PARTS: usize = 32;

/// A box in metres of which the camera sees nothing.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error(
    "box at ({x:.3}, {y:.3}, {z:.3}) m in the optical frame, with sides of {width:.3} x {height:.3} x {depth:.3} m, is \
     outside the camera's view"
)]
pub struct BoxOutsideImage {
    pub x: f64,
    pub y: f64,
    pub z: f64,
    pub width: f64,
    pub height: f64,
    pub depth: f64,
}

/// Returns the smallest box in pixels around a box in metres, within the image. `optical_from_box_frame` takes the box to the
/// optical frame. The box may lead behind the camera.
///
/// # Errors
/// [`BoxOutsideImage`] if no part of the box is in the image.
pub fn box_in_image(
    camera: &CameraModel,
    bbox: &OrientedBox,
    optical_from_box_frame: &Isometry3<f64>,
) -> Result<BoxPrompt, BoxOutsideImage> {
    let bbox = bbox.transformed(optical_from_box_frame);
    let (width, height) = camera.image_size();
    let (mut low, mut high) = ((f64::INFINITY, f64::INFINITY), (f64::NEG_INFINITY, f64::NEG_INFINITY));
    for point in points_of_edges(&bbox) {
        let (x, y) = match camera.project(&point) {
            Ok(pixel) => pixel,
            Err(ProjectError::OutsideImage { x, y, .. }) => (x, y),
            Err(_) => continue,
        };
        (low, high) = ((low.0.min(x), low.1.min(y)), (high.0.max(x), high.1.max(y)));
    }
    let clamped = |v: f64, size: u32| v.clamp(0.0, f64::from(size)) as f32;
    let prompt = BoxPrompt {
        x_min: clamped(low.0, width),
        y_min: clamped(low.1, height),
        x_max: clamped(high.0, width),
        y_max: clamped(high.1, height),
    };
    if prompt.x_max > prompt.x_min && prompt.y_max > prompt.y_min {
        return Ok(prompt);
    }
    let ([x, y, z], [width, height, depth]) = (bbox.centre.coords.into(), bbox.size.into());
    Err(BoxOutsideImage { x, y, z, width, height, depth })
}

/// Returns points along the twelve edges of a box.
fn points_of_edges(bbox: &OrientedBox) -> impl Iterator<Item = Point3<f64>> {
    let corners = bbox.corners();
    let edges = (0..8).flat_map(|a| (0..3).map(move |axis| (a, a | 1 << axis))).filter(|(a, b)| a != b);
    edges.flat_map(move |(a, b)| {
        (0..=PARTS).map(move |i| corners[a] + (corners[b] - corners[a]) * (i as f64 / PARTS as f64))
    })
}
