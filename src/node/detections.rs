//! Boxes of upstream detectors: which of them are taken, and what is handed on of each.

use r2r::builtin_interfaces::msg::Time;
use r2r::vision_msgs::msg::{Detection2D, Detection2DArray};

use super::camera::Shared;
use super::convert;
use super::parameters::Parameters;
use crate::engine::{DetectedBox, Detections, Refusal};
use crate::prompt::BoxPrompt;

/// A detector's box as it came.
#[derive(Debug, Clone)]
pub struct Found {
    bbox: BoxPrompt,
    class: String,
    /// The class as a number, for detectors that have names and numbers.
    class_number: Option<i32>,
    /// `None`: the detector did not say.
    score: Option<f64>,
    /// The detector's own name for it.
    tag: String,
}

/// Hands the boxes that pass the filters to the engine, for the frame of that stamp. `source`: the topic.
///
/// # Errors
/// Too many messages are waiting.
pub fn hand_on(shared: &Shared, source: &'static str, stamp: &Time, found: Vec<Found>) -> Result<(), Refusal> {
    let filter = Filter::from(&shared.parameters());
    let count = found.len();
    let boxes = filter.pass(found);
    shared.engine.count_filtered(count - boxes.len());
    shared.engine.detections(Detections { source, at: convert::stamp(stamp).into(), boxes })
}

/// The parameters that choose among the boxes.
struct Filter {
    min_score: f64,
    classes: Vec<String>,
    most: usize,
}

impl From<&Parameters> for Filter {
    fn from(parameters: &Parameters) -> Self {
        Filter {
            min_score: parameters.float("detection_min_score"),
            classes: parameters.texts("detection_classes").to_vec(),
            most: parameters.integer("max_detections").max(0) as usize,
        }
    }
}

impl Filter {
    /// The boxes of a wanted class and score; of too many, those of the best scores. They stay in their order.
    fn pass(&self, found: Vec<Found>) -> Vec<DetectedBox> {
        // No score, or one that is not a number, is the worst.
        let score = |f: &Found| f.score.filter(|s| !s.is_nan()).unwrap_or(f64::NEG_INFINITY);
        let wanted = |f: &Found| {
            let number = f.class_number.map(|n| n.to_string());
            self.classes.is_empty()
                || self.classes.contains(&f.class)
                || number.is_some_and(|n| self.classes.contains(&n))
        };
        let enough = |f: &Found| self.min_score <= 0.0 || score(f) >= self.min_score;
        let mut passed: Vec<(usize, Found)> =
            found.into_iter().filter(|f| wanted(f) && enough(f)).enumerate().collect();
        if passed.len() > self.most {
            passed.sort_by(|(_, a), (_, b)| score(b).total_cmp(&score(a)));
            passed.truncate(self.most);
            passed.sort_by_key(|(place, _)| *place);
        }
        let boxed = |(_, f): (usize, Found)| DetectedBox { bbox: f.bbox, class_id: f.class, tag: f.tag };
        passed.into_iter().map(boxed).collect()
    }
}

/// The upright box around one of a detector, by centre and size, which may be turned by `theta` (radians).
fn hull((x, y): (f64, f64), theta: f64, (size_x, size_y): (f64, f64)) -> BoxPrompt {
    let (sin, cos) = theta.sin_cos();
    let half_x = (size_x * cos).abs() / 2.0 + (size_y * sin).abs() / 2.0;
    let half_y = (size_x * sin).abs() / 2.0 + (size_y * cos).abs() / 2.0;
    // A size below zero is no box: keep it inside out, so that the check says so.
    let sign = if size_x < 0.0 || size_y < 0.0 { -1.0 } else { 1.0 };
    BoxPrompt {
        x_min: (x - sign * half_x) as f32,
        y_min: (y - sign * half_y) as f32,
        x_max: (x + sign * half_x) as f32,
        y_max: (y + sign * half_y) as f32,
    }
}

pub fn of_vision(message: &Detection2DArray) -> Vec<Found> {
    let found = |d: &Detection2D| {
        let best = d.results.iter().max_by(|a, b| a.hypothesis.score.total_cmp(&b.hypothesis.score));
        let center = &d.bbox.center;
        Found {
            bbox: hull((center.position.x, center.position.y), center.theta, (d.bbox.size_x, d.bbox.size_y)),
            class: best.map(|r| r.hypothesis.class_id.clone()).unwrap_or_default(),
            class_number: None,
            score: best.map(|r| r.hypothesis.score),
            tag: d.id.clone(),
        }
    };
    message.detections.iter().map(found).collect()
}

/// yolo_ros: the class is its name, or its number where it has no name.
#[cfg(yolo_msgs)]
pub fn of_yolo(message: &r2r::yolo_msgs::msg::DetectionArray) -> Vec<Found> {
    let found = |d: &r2r::yolo_msgs::msg::Detection| {
        let (center, size) = (&d.bbox.center, &d.bbox.size);
        Found {
            bbox: hull((center.position.x, center.position.y), center.theta, (size.x, size.y)),
            class: if d.class_name.is_empty() { d.class_id.to_string() } else { d.class_name.clone() },
            class_number: Some(d.class_id),
            score: Some(d.score),
            tag: d.id.clone(),
        }
    };
    message.detections.iter().map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Prompt;

    fn found(class: &str, score: Option<f64>) -> Found {
        let bbox = BoxPrompt { x_min: 0.0, y_min: 0.0, x_max: 9.0, y_max: 9.0 };
        Found { bbox, class: class.into(), class_number: None, score, tag: String::new() }
    }

    fn classes(boxes: &[DetectedBox]) -> Vec<&str> {
        boxes.iter().map(|b| b.class_id.as_str()).collect()
    }

    const ALL: Filter = Filter { min_score: 0.0, classes: Vec::new(), most: 100 };

    #[test]
    fn a_box_is_centre_based_and_may_be_turned() {
        let upright = hull((50.0, 40.0), 0.0, (20.0, 10.0));
        assert_eq!(upright, BoxPrompt { x_min: 40.0, y_min: 35.0, x_max: 60.0, y_max: 45.0 });
        let turned = hull((50.0, 40.0), std::f64::consts::FRAC_PI_2, (20.0, 10.0));
        assert!((turned.x_min - 45.0).abs() < 1e-4 && (turned.y_min - 30.0).abs() < 1e-4, "{turned:?}");
        // By 45 degrees, a square becomes its diagonal.
        let diagonal = hull((0.0, 0.0), std::f64::consts::FRAC_PI_4, (10.0, 10.0));
        assert!((diagonal.x_max - 50f32.sqrt()).abs() < 1e-4, "{diagonal:?}");
    }

    #[test]
    fn a_box_of_negative_size_stays_without_area() {
        let bbox = Some(hull((50.0, 40.0), 0.0, (-20.0, 10.0)));
        assert!(Prompt { bbox, ..Prompt::default() }.check(100, 100).is_err());
    }

    #[test]
    fn the_best_scores_pass_in_the_order_of_the_message() {
        let all = || vec![found("a", Some(0.2)), found("b", Some(f64::NAN)), found("c", Some(0.9)), found("d", None)];
        assert_eq!(classes(&ALL.pass(all())), ["a", "b", "c", "d"]);
        assert_eq!(classes(&Filter { most: 2, ..ALL }.pass(all())), ["a", "c"]);
        assert_eq!(classes(&Filter { min_score: 0.1, ..ALL }.pass(all())), ["a", "c"]);
        assert_eq!(classes(&Filter { min_score: 0.2, most: 1, ..ALL }.pass(all())), ["c"]);
    }

    #[test]
    fn classes_are_wanted_by_name_or_number() {
        let cup = Found { class_number: Some(41), ..found("cup", Some(0.5)) };
        for wanted in ["cup", "41"] {
            let filter = Filter { classes: vec![wanted.into()], ..ALL };
            assert_eq!(classes(&filter.pass(vec![found("dog", Some(1.0)), cup.clone()])), ["cup"]);
        }
    }
}
