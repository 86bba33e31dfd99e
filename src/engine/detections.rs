//! Boxes of upstream detectors: filters and conversion.

use super::request::DetectedBox;
use crate::prompt::BoxPrompt;

/// A detector's box as received.
#[derive(Debug, Clone)]
pub struct RawDetection {
    pub bbox: BoxPrompt,
    pub class: String,
    /// Number of the class, for detectors that send names and numbers.
    pub class_number: Option<i32>,
    /// `None` if the detector sent no score.
    pub score: Option<f64>,
    /// The detector's id of the object.
    pub tag: String,
}

/// Filter of detections by score, class and number.
#[derive(Debug, Clone, Default)]
pub struct DetectionFilter {
    pub min_score: f64,
    /// Names or numbers of the accepted classes. Empty: all classes.
    pub classes: Vec<String>,
    /// Most boxes of one message.
    pub max_count: usize,
}

impl DetectionFilter {
    /// Returns the boxes of an accepted class and score, in their order. Of too many boxes those of the best scores remain.
    pub fn apply(&self, detections: Vec<RawDetection>) -> Vec<DetectedBox> {
        // A missing score and NaN are the lowest scores.
        let score = |d: &RawDetection| d.score.filter(|s| !s.is_nan()).unwrap_or(f64::NEG_INFINITY);
        let has_class = |d: &RawDetection| {
            let number = d.class_number.map(|n| n.to_string());
            self.classes.is_empty()
                || self.classes.contains(&d.class)
                || number.is_some_and(|n| self.classes.contains(&n))
        };
        let has_score = |d: &RawDetection| self.min_score <= 0.0 || score(d) >= self.min_score;
        let mut passed: Vec<(usize, RawDetection)> =
            detections.into_iter().filter(|d| has_class(d) && has_score(d)).enumerate().collect();
        if passed.len() > self.max_count {
            passed.sort_by(|(_, a), (_, b)| score(b).total_cmp(&score(a)));
            passed.truncate(self.max_count);
            passed.sort_by_key(|(index, _)| *index);
        }
        let detected =
            |d: RawDetection| DetectedBox { bbox: d.bbox, mask: None, class_id: d.class, tag: d.tag, score: d.score };
        passed.into_iter().map(|(_, d)| detected(d)).collect()
    }
}

/// Returns the upright box around a box of a detector, given by centre and size and rotated by `theta` (radians).
pub fn upright_box((x, y): (f64, f64), theta: f64, (size_x, size_y): (f64, f64)) -> BoxPrompt {
    let (sin, cos) = theta.sin_cos();
    let half_x = (size_x * cos).abs() / 2.0 + (size_y * sin).abs() / 2.0;
    let half_y = (size_x * sin).abs() / 2.0 + (size_y * cos).abs() / 2.0;
    // A negative size becomes an inverted box, which `Prompt::check` refuses.
    let sign = if size_x < 0.0 || size_y < 0.0 { -1.0 } else { 1.0 };
    BoxPrompt {
        x_min: (x - sign * half_x) as f32,
        y_min: (y - sign * half_y) as f32,
        x_max: (x + sign * half_x) as f32,
        y_max: (y + sign * half_y) as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Prompt;

    fn detection(class: &str, score: Option<f64>) -> RawDetection {
        let bbox = BoxPrompt { x_min: 0.0, y_min: 0.0, x_max: 9.0, y_max: 9.0 };
        RawDetection { bbox, class: class.into(), class_number: None, score, tag: String::new() }
    }

    fn classes(boxes: &[DetectedBox]) -> Vec<&str> {
        boxes.iter().map(|b| b.class_id.as_str()).collect()
    }

    const ALL: DetectionFilter = DetectionFilter { min_score: 0.0, classes: Vec::new(), max_count: 100 };

    #[test]
    fn a_box_is_centre_based_and_may_be_turned() {
        let upright = upright_box((50.0, 40.0), 0.0, (20.0, 10.0));
        assert_eq!(upright, BoxPrompt { x_min: 40.0, y_min: 35.0, x_max: 60.0, y_max: 45.0 });
        let turned = upright_box((50.0, 40.0), std::f64::consts::FRAC_PI_2, (20.0, 10.0));
        assert!((turned.x_min - 45.0).abs() < 1e-4 && (turned.y_min - 30.0).abs() < 1e-4, "{turned:?}");
        // By 45 degrees, a square becomes its diagonal.
        let diagonal = upright_box((0.0, 0.0), std::f64::consts::FRAC_PI_4, (10.0, 10.0));
        assert!((diagonal.x_max - 50f32.sqrt()).abs() < 1e-4, "{diagonal:?}");
    }

    #[test]
    fn a_box_of_negative_size_stays_without_area() {
        let bbox = Some(upright_box((50.0, 40.0), 0.0, (-20.0, 10.0)));
        assert!(Prompt { bbox, ..Prompt::default() }.check(100, 100).is_err());
    }

    #[test]
    fn the_best_scores_pass_in_the_order_of_the_message() {
        let all = || {
            vec![
                detection("a", Some(0.2)),
                detection("b", Some(f64::NAN)),
                detection("c", Some(0.9)),
                detection("d", None),
            ]
        };
        assert_eq!(classes(&ALL.apply(all())), ["a", "b", "c", "d"]);
        assert_eq!(classes(&DetectionFilter { max_count: 2, ..ALL }.apply(all())), ["a", "c"]);
        assert_eq!(classes(&DetectionFilter { min_score: 0.1, ..ALL }.apply(all())), ["a", "c"]);
        assert_eq!(classes(&DetectionFilter { min_score: 0.2, max_count: 1, ..ALL }.apply(all())), ["c"]);
    }

    #[test]
    fn classes_are_wanted_by_name_or_number() {
        let cup = RawDetection { class_number: Some(41), ..detection("cup", Some(0.5)) };
        for wanted in ["cup", "41"] {
            let filter = DetectionFilter { classes: vec![wanted.into()], ..ALL };
            assert_eq!(classes(&filter.apply(vec![detection("dog", Some(1.0)), cup.clone()])), ["cup"]);
        }
    }
}
