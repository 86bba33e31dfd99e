//! Text arguments: `--point`, `--box`, and the values of parameters.

use promptseg::engine::{ClickMode, Persistence};
use promptseg::model::{Precision, Provider};
use promptseg::prompt::{BoxPrompt, Point};

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(p) = text.parse::<Point>() {
        assert!(p.x.is_finite() && p.y.is_finite(), "{p:?}");
    }
    if let Ok(b) = text.parse::<BoxPrompt>() {
        assert!(b.x_min < b.x_max && b.y_min < b.y_max && b.x_max.is_finite() && b.y_max.is_finite(), "{b:?}");
    }
    let _ = text.parse::<Persistence>();
    let _ = text.parse::<ClickMode>();
    let _ = text.parse::<Provider>();
    if let Ok(Some(precision)) = Precision::choice(&text) {
        assert_eq!(precision.to_string(), text);
    }
}
