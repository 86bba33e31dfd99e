//! Which images of a topic are used: a range of time, every Nth, a rate.

use thiserror::Error;

use crate::engine::Stamp;

/// Rounding of stamps that a rate allows for, as a share of its period: 30 images a second at a rate of 15 are every second one.
const SLACK: f64 = 0.05;

/// Choice among the images of a topic. The choices apply one after the other: range, every Nth, rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selection {
    /// First time, in seconds after the first image.
    pub start: f64,
    /// End of the range, exclusive, in seconds after the first image.
    pub end: f64,
    /// Uses every Nth image of the range, from the first on.
    pub every: usize,
    /// Most images a second.
    pub rate: f64,
}

impl Default for Selection {
    fn default() -> Self {
        Selection { start: 0.0, end: f64::INFINITY, every: 1, rate: f64::INFINITY }
    }
}

/// Reason why a selection is refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SelectionError {
    #[error("the range from {start} s to {end} s is empty, expected a start before the end, and no start below 0")]
    Range { start: f64, end: f64 },
    #[error("every {every}th image, expected a number from 1 on")]
    Every { every: usize },
    #[error("a rate of {rate} images a second, expected a number above 0")]
    Rate { rate: f64 },
}

impl Selection {
    /// # Errors
    /// A value is out of its range.
    pub fn check(&self) -> Result<(), SelectionError> {
        let Selection { start, end, every, rate } = *self;
        // NaN is in no range.
        let is_range = start >= 0.0 && end > start;
        if !is_range {
            return Err(SelectionError::Range { start, end });
        }
        if every == 0 {
            return Err(SelectionError::Every { every });
        }
        if rate.is_nan() || rate <= 0.0 {
            return Err(SelectionError::Rate { rate });
        }
        Ok(())
    }

    /// Returns the indices of the images that are used, ascending. Images without a stamp are not used. A rate counts from
    /// the first image that is used, and starts again if the stamps jump back.
    pub fn select(&self, stamps: &[Option<Stamp>]) -> Vec<usize> {
        let Some(first) = stamps.iter().flatten().next() else { return Vec::new() };
        let seconds = |stamp: &Stamp| (stamp.nanoseconds() - first.nanoseconds()) as f64 * 1e-9;
        let timed = stamps.iter().enumerate().filter_map(|(index, stamp)| Some((index, seconds(stamp.as_ref()?))));
        let in_range = timed.filter(|(_, time)| (self.start..self.end).contains(time));
        let period = 1.0 / self.rate;
        let (mut due, mut last) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        let is_used = |(_, time): &(usize, f64)| {
            if self.rate.is_infinite() {
                return true;
            }
            if *time < last || due == f64::NEG_INFINITY {
                due = *time;
            }
            last = *time;
            let is_due = *time >= due - SLACK * period;
            if is_due {
                // The next time of the fixed rate. After a gap of several periods, none of them is made up for.
                due += period * (((*time - due) / period + SLACK).floor() + 1.0);
            }
            is_due
        };
        in_range.step_by(self.every.max(1)).filter(is_used).map(|(index, _)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stamps at these times, in milliseconds.
    fn stamps(times: &[i64]) -> Vec<Option<Stamp>> {
        let stamp = |ms: &i64| Stamp { sec: 1000 + (ms / 1000) as i32, nanosec: (ms % 1000) as u32 * 1_000_000 };
        times.iter().map(|ms| Some(stamp(ms))).collect()
    }

    fn select(selection: Selection, times: &[i64]) -> Vec<usize> {
        selection.check().unwrap();
        selection.select(&stamps(times))
    }

    #[test]
    fn range_every_nth_and_rate_apply_one_after_the_other() {
        let tenths: Vec<i64> = (0..20).map(|i| i * 100).collect();
        let all = Selection::default();
        assert_eq!(select(all, &tenths).len(), 20);
        assert_eq!(select(Selection { start: 0.5, end: 0.8, ..all }, &tenths), [5, 6, 7]);
        assert_eq!(select(Selection { start: 0.5, every: 6, ..all }, &tenths), [5, 11, 17]);
        assert_eq!(select(Selection { rate: 2.0, ..all }, &tenths), [0, 5, 10, 15]);
        assert_eq!(select(Selection { every: 2, rate: 2.5, start: 0.1, ..all }, &tenths), [1, 5, 9, 13, 17]);
    }

    #[test]
    fn a_rate_keeps_its_mean_with_jitter_and_continues_after_gaps_and_jumps_back() {
        let jittered: Vec<i64> = (0..300).map(|i| i * 33 + [0, 3, -3][i as usize % 3]).collect();
        let kept = select(Selection { rate: 10.0, ..Selection::default() }, &jittered);
        assert!((98..=100).contains(&kept.len()), "{}", kept.len());
        let gap = [0, 100, 200, 5000, 5100, 5200];
        assert_eq!(select(Selection { rate: 5.0, ..Selection::default() }, &gap), [0, 2, 3, 5]);
        let back = [9000, 9100, 9200, 0, 100, 200];
        let kept = select(Selection { rate: 5.0, ..Selection::default() }, &back);
        assert_eq!(kept, [0, 2], "a range from 0 s on begins at the first image");
    }

    #[test]
    fn images_without_a_stamp_are_left_out_and_wrong_values_are_refused() {
        let mut list = stamps(&[0, 100, 200]);
        list[0] = None;
        assert_eq!(Selection::default().select(&list), [1, 2]);
        assert!(Selection::default().select(&[None, None]).is_empty());
        let all = Selection::default();
        for wrong in [
            Selection { start: 2.0, end: 1.0, ..all },
            Selection { start: f64::NAN, ..all },
            Selection { start: -1.0, ..all },
            Selection { every: 0, ..all },
            Selection { rate: 0.0, ..all },
            Selection { rate: f64::NAN, ..all },
        ] {
            assert!(wrong.check().unwrap_err().to_string().contains("expected"), "{wrong:?}");
        }
    }
}
