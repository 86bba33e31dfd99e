//! Measured times of one stage.

/// Measured times of one stage in milliseconds.
#[derive(Default)]
pub struct Stage(pub Vec<f64>);

impl Stage {
    /// Returns the lowest, the median and the highest time.
    pub fn spread(&self) -> [f64; 3] {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |i: usize| sorted.get(i).copied().unwrap_or_default();
        let middle = sorted.len() / 2;
        let median =
            if sorted.len().is_multiple_of(2) { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 } else { at(middle) };
        [at(0), median, at(sorted.len().saturating_sub(1))].map(rounded)
    }

    /// Returns the median.
    pub fn median(&self) -> f64 {
        self.spread()[1]
    }
}

/// Rounds milliseconds to microseconds.
pub fn rounded(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::Stage;

    #[test]
    fn the_spread_is_lowest_median_highest() {
        assert_eq!(Stage(vec![3.0, 1.0, 2.0]).spread(), [1.0, 2.0, 3.0]);
        assert_eq!(Stage(vec![4.0, 1.0, 2.0, 3.0]).spread(), [1.0, 2.5, 4.0]);
        assert_eq!(Stage::default().spread(), [0.0; 3]);
    }
}
