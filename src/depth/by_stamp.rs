//! Depth images by stamp, for the images that they belong to.

use std::collections::VecDeque;
use std::sync::Arc;

/// How far a stamp goes back, in nanoseconds, when the camera's clock was set back: less is an image that arrived late.
const CLOCK_SET_BACK: i64 = 1_000_000_000;

/// Values by stamp, in nanoseconds, limited by bytes.
#[derive(Debug)]
pub struct ByStamp<T> {
    /// In the order of the stamps.
    entries: VecDeque<Entry<T>>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<T> {
    stamp: i64,
    bytes: usize,
    value: Arc<T>,
}

/// The value nearest to a stamp.
#[derive(Debug)]
pub enum Nearest<T> {
    Found(Arc<T>),
    /// A nearer value may still arrive.
    NotYet,
    /// No value is near enough. `None`: there is no value at all.
    Missed(Option<Miss>),
}

/// Why no value is near enough to a stamp.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Miss {
    /// Stamp of the nearest value minus the wanted stamp, in seconds.
    pub difference: f64,
    /// The wanted stamp is before all stamps: its value may have been dropped.
    pub is_before_all: bool,
}

impl<T> Default for ByStamp<T> {
    fn default() -> Self {
        ByStamp { entries: VecDeque::new(), bytes: 0 }
    }
}

impl<T> ByStamp<T> {
    /// Adds a value, in place of one of the same stamp. The oldest values are dropped above `limit` bytes; the newest stays.
    /// After the clock was set back, all earlier values are dropped.
    pub fn insert(&mut self, stamp: i64, value: T, bytes: usize, limit: usize) {
        if self.entries.back().is_some_and(|newest| stamp < newest.stamp.saturating_sub(CLOCK_SET_BACK)) {
            self.clear();
        }
        let at = self.entries.partition_point(|e| e.stamp < stamp);
        if self.entries.get(at).is_some_and(|e| e.stamp == stamp) {
            self.bytes -= self.entries.remove(at).map_or(0, |e| e.bytes);
        }
        self.entries.insert(at, Entry { stamp, bytes, value: Arc::new(value) });
        self.bytes += bytes;
        while self.bytes > limit && self.entries.len() > 1 {
            self.bytes -= self.entries.pop_front().map_or(0, |e| e.bytes);
        }
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Returns the value of a stamp.
    pub fn at(&self, stamp: i64) -> Option<&T> {
        let entry = self.entries.get(self.entries.partition_point(|e| e.stamp < stamp))?;
        (entry.stamp == stamp).then(|| &*entry.value)
    }

    /// Returns the newest value.
    pub fn newest(&self) -> Option<&T> {
        self.entries.back().map(|e| &*e.value)
    }

    /// Returns the stamps of the newest value and of the value before it.
    pub fn newest_stamps(&self) -> (Option<i64>, Option<i64>) {
        let mut stamps = self.entries.iter().rev().map(|e| e.stamp);
        (stamps.next(), stamps.next())
    }

    /// Returns the value whose stamp is nearest to `stamp`, at most `tolerance` nanoseconds away. A value before the stamp is
    /// the nearest once a later one has arrived. `is_last`: nothing is waited for.
    pub fn nearest(&self, stamp: i64, tolerance: i64, is_last: bool) -> Nearest<T> {
        let after = self.entries.partition_point(|e| e.stamp < stamp);
        let neighbours =
            [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|at| self.entries.get(at));
        let distance = |e: &Entry<T>| e.stamp.saturating_sub(stamp).saturating_abs();
        let nearest = neighbours.min_by_key(|e| distance(e));
        let Some(nearest) = nearest else {
            return if is_last { Nearest::Missed(None) } else { Nearest::NotYet };
        };
        // After a clock that was set back, the images of the new time arrive before the first depth image of that time.
        let newer = self.entries.get(after).filter(|e| e.stamp.saturating_sub(stamp) <= CLOCK_SET_BACK);
        if !is_last && newer.is_none() {
            return Nearest::NotYet;
        }
        if distance(nearest) <= tolerance {
            return Nearest::Found(Arc::clone(&nearest.value));
        }
        let difference = nearest.stamp.saturating_sub(stamp) as f64 * 1e-9;
        Nearest::Missed(Some(Miss { difference, is_before_all: after == 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn kept(stamps: &[i64]) -> ByStamp<i64> {
        let mut kept = ByStamp::default();
        stamps.iter().for_each(|stamp| kept.insert(stamp * MS, *stamp, 10, 1000));
        kept
    }

    /// Returns the value within 20 ms of a stamp; `None` if it is not there yet, or missed.
    fn found(kept: &ByStamp<i64>, stamp: i64, is_last: bool) -> Option<i64> {
        match kept.nearest(stamp * MS, 20 * MS, is_last) {
            Nearest::Found(value) => Some(*value),
            _ => None,
        }
    }

    fn is_missed(kept: &ByStamp<i64>, stamp: i64, is_last: bool) -> bool {
        matches!(kept.nearest(stamp * MS, 20 * MS, is_last), Nearest::Missed(_))
    }

    #[test]
    fn the_nearest_is_known_once_a_later_one_has_arrived() {
        let kept = kept(&[100, 133, 166]);
        assert_eq!(
            [100, 116, 117, 140, 150, 166].map(|at| found(&kept, at, false)),
            [100, 100, 133, 133, 166, 166].map(Some)
        );
        assert_eq!(found(&kept, 170, false), None);
        assert!(!is_missed(&kept, 170, false), "a depth image of 180 may still arrive");
        assert_eq!(found(&kept, 170, true), Some(166));
    }

    #[test]
    fn nothing_within_the_tolerance_is_missed_at_once_if_the_time_has_passed() {
        let kept = kept(&[100, 200, 300]);
        assert!(is_missed(&kept, 150, false) && is_missed(&kept, 50, false));
        let Nearest::Missed(Some(miss)) = kept.nearest(50 * MS, 20 * MS, false) else { panic!() };
        assert!((miss.difference - 0.05).abs() < 1e-9 && miss.is_before_all);
        assert!(!is_missed(&kept, 350, false) && is_missed(&kept, 350, true));
        let none = ByStamp::<i64>::default();
        assert!(matches!(none.nearest(0, 0, false), Nearest::NotYet));
        assert!(matches!(none.nearest(0, 0, true), Nearest::Missed(None)));
    }

    #[test]
    fn a_clock_that_was_set_back_starts_anew() {
        let mut kept = kept(&[9_000, 9_033]);
        // The image of the new time is there first.
        assert!(!is_missed(&kept, 1_000, false));
        kept.insert(1_000 * MS, 1_000, 10, 1000);
        assert_eq!((found(&kept, 1_000, false), kept.entries.len()), (Some(1_000), 1));
        // One that was late on the way drops nothing.
        kept.insert(900 * MS, 900, 10, 1000);
        assert_eq!((found(&kept, 900, false), kept.entries.len()), (Some(900), 2));
    }

    #[test]
    fn values_are_known_by_their_stamps() {
        let kept = kept(&[100, 166, 133]);
        assert_eq!([99, 100, 133, 200].map(|at| kept.at(at * MS).copied()), [None, Some(100), Some(133), None]);
        assert_eq!((kept.newest(), kept.newest_stamps()), (Some(&166), (Some(166 * MS), Some(133 * MS))));
        let none = ByStamp::<i64>::default();
        assert_eq!((none.newest(), none.newest_stamps()), (None, (None, None)));
    }

    #[test]
    fn bytes_are_bounded_and_the_newest_stays() {
        let mut kept = ByStamp::default();
        (0..5).for_each(|i| kept.insert(i, i, 10, 30));
        assert_eq!((kept.entries.len(), kept.bytes), (3, 30));
        kept.insert(4, 4, 20, 30);
        assert_eq!((kept.entries.len(), kept.bytes), (2, 30));
        kept.insert(9, 9, 1000, 30);
        assert_eq!((kept.entries.len(), kept.bytes), (1, 1000));
    }

    #[test]
    fn extreme_stamps_do_no_harm() {
        let kept = kept(&[1, 2]);
        for stamp in [i64::MIN, i64::MAX] {
            assert!(matches!(kept.nearest(stamp, i64::MAX, true), Nearest::Found(_) | Nearest::Missed(_)));
        }
    }
}
