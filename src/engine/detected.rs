//! Boxes of upstream detectors: which of them are taken, and what is handed on of each.

use super::request::DetectedBox;
use crate::prompt::BoxPrompt;

/// A detector's box as it came.
#[derive(Debug, Clone)]
pub struct Found {
    pub bbox: BoxPrompt,
    pub class: String,
    /// The class as a number, for detectors that have names and numbers.
    pub class_number: Option<i32>,
    /// `None`: the detector did not say.
    pub score: Option<f64>,
    /// The detector's own name for it.
    pub tag: String,
}

/// The parameters that choose among the boxes.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub min_score: f64,
    /// All, when it is empty.
    pub classes: Vec<String>,
    pub most: usize,
}

impl Filter {
    /// The boxes of a wanted class and score; of too many, those of the best scores. They stay in their order.
    pub fn pass(&self, found: Vec<Found>) -> Vec<DetectedBox> {
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
        let boxed =
            |(_, f): (usize, Found)| DetectedBox { bbox: f.bbox, class_id: f.class, tag: f.tag, score: f.score };
        passed.into_iter().map(boxed).collect()
    }
}

/// The upright box around one of a detector, by centre and size, which may be turned by `theta` (radians).
pub fn hull((x, y): (f64, f64), theta: f64, (size_x, size_y): (f64, f64)) -> BoxPrompt {
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
