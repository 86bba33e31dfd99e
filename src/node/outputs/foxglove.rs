//! Results as annotations of `foxglove_msgs`.

use r2r::builtin_interfaces::msg::Time;
use r2r::foxglove_msgs::msg::{Color, ImageAnnotations, Point2, PointsAnnotation, TextAnnotation};

use crate::engine::{FrameResult, ObjectResult, ResultSource};
use crate::node::ros::convert::ros_header;
use crate::pixels::{contours, object_colour};
use crate::prompt::{Label, Point};

/// Opacity of the inside of a mask.
const FILL: f64 = 0.3;
/// Width of lines, size of clicks and size of labels, in pixels of the image.
const LINE: f64 = 2.0;
const CLICK: f64 = 8.0;
const LABEL: f64 = 14.0;
const GREEN: Color = Color { r: 0.06, g: 0.54, b: 0.29, a: 1.0 };
const RED: Color = Color { r: 0.76, g: 0.18, b: 0.18, a: 1.0 };
const WHITE: Color = Color { r: 1.0, g: 1.0, b: 1.0, a: 1.0 };
const PLATE: Color = Color { r: 0.0, g: 0.0, b: 0.0, a: 0.6 };

/// Returns the outlines, prompts and labels of a result.
pub fn annotations(result: &FrameResult) -> ImageAnnotations {
    let time = ros_header(&result.header).stamp;
    // The labels of a hundred masks would hide the image.
    let has_labels = result.source != ResultSource::Everything;
    let labels = result.objects.iter().filter(|_| has_labels).filter_map(|object| label(object, &time));
    ImageAnnotations {
        points: result.objects.iter().flat_map(|object| shapes(object, &time)).collect(),
        texts: labels.collect(),
        ..ImageAnnotations::default()
    }
}

/// Returns the outlines of an object's mask, its box and its clicks.
fn shapes(object: &ObjectResult, time: &Time) -> Vec<PointsAnnotation> {
    let colour = colour_of(object);
    let mut shapes: Vec<_> = contours(&object.mask)
        .iter()
        .map(|contour| {
            let corners = contour.corners.iter().map(|(x, y)| (f64::from(*x), f64::from(*y)));
            // A hole has an outline only; the surface around it is filled up to its own outline.
            let fill = Color { a: if contour.hole { 0.0 } else { FILL }, ..colour.clone() };
            shape(time, PointsAnnotation::LINE_LOOP as u8, corners, &colour, fill)
        })
        .collect();
    let none = Color::default();
    if let Some(b) = object.bbox {
        let corners = [(b.x_min, b.y_min), (b.x_max, b.y_min), (b.x_max, b.y_max), (b.x_min, b.y_max)];
        let corners = corners.map(|(x, y)| (f64::from(x), f64::from(y)));
        shapes.push(shape(time, PointsAnnotation::LINE_LOOP as u8, corners, &colour, none.clone()));
    }
    for (wanted, colour) in [(Label::Foreground, GREEN), (Label::Background, RED)] {
        let clicks: Vec<&Point> = object.points.iter().filter(|point| point.label == wanted).collect();
        if !clicks.is_empty() {
            let centres = clicks.iter().map(|point| (f64::from(point.x) + 0.5, f64::from(point.y) + 0.5));
            let clicks = shape(time, PointsAnnotation::POINTS as u8, centres, &colour, none.clone());
            shapes.push(PointsAnnotation { thickness: CLICK, ..clicks });
        }
    }
    shapes
}

fn shape(
    time: &Time,
    kind: u8,
    points: impl IntoIterator<Item = (f64, f64)>,
    colour: &Color,
    fill_color: Color,
) -> PointsAnnotation {
    PointsAnnotation {
        timestamp: time.clone(),
        type_: kind,
        points: points.into_iter().map(|(x, y)| Point2 { x, y }).collect(),
        outline_color: colour.clone(),
        fill_color,
        thickness: LINE,
        ..PointsAnnotation::default()
    }
}

/// Returns the label above an object; `None` for an empty mask.
#[allow(clippy::needless_update)] // other versions of foxglove_msgs have more fields
fn label(object: &ObjectResult, time: &Time) -> Option<TextAnnotation> {
    let b = object.mask.bbox?;
    let name = if object.class_id.is_empty() { format!("#{}", object.id) } else { object.class_id.clone() };
    Some(TextAnnotation {
        timestamp: time.clone(),
        position: Point2 { x: f64::from(b.x), y: f64::from(b.y) },
        text: format!("{name} {:.2}", object.iou),
        font_size: LABEL,
        text_color: WHITE,
        background_color: PLATE,
        ..TextAnnotation::default()
    })
}

fn colour_of(object: &ObjectResult) -> Color {
    let [r, g, b] = object_colour(object.id).map(|level| f64::from(level) / 255.0);
    Color { r, g, b, a: 1.0 }
}
