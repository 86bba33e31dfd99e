//! Training and validation by time: neighbouring frames show nearly the same, so that a split by frame would validate with
//! what was trained.

use serde::{Deserialize, Serialize};

use crate::engine::Stamp;

/// Part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    Train,
    Val,
}

impl Split {
    pub const ALL: [Split; 2] = [Split::Train, Split::Val];

    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
        }
    }
}

/// Returns the time from which on frames are for validation: the last share `val` of the time between the first and the
/// last stamp. None if `val` is 0 or there are no stamps: all frames are for training.
pub fn split_at(stamps: impl Iterator<Item = Stamp> + Clone, val: f64) -> Option<i64> {
    let first = stamps.clone().map(Stamp::nanoseconds).min()?;
    let last = stamps.map(Stamp::nanoseconds).max()?;
    (val > 0.0).then(|| last - ((last - first) as f64 * val.min(1.0)).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_share_of_the_time_validates() {
        // A gap: nine frames in the first second, one at 10 s.
        let stamps = (0..9).map(|i| Stamp { sec: 0, nanosec: i * 100_000_000 }).chain([Stamp { sec: 10, nanosec: 0 }]);
        assert_eq!(split_at(stamps.clone(), 0.2), Some(8_000_000_000));
        assert_eq!(split_at(stamps.clone(), 1.0), Some(0));
        assert_eq!(split_at(stamps, 0.0), None);
        assert_eq!(split_at([].into_iter(), 0.5), None);
    }
}
