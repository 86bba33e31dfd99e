//! Where the engine takes the time from: tests turn the clock themselves.

use std::time::{Duration, Instant};

/// Time-outs, ages and latencies are by this clock.
#[derive(Debug, Clone, Default)]
pub(super) enum Clock {
    #[default]
    System,
    #[cfg(test)]
    Manual(super::tests::testing::ManualClock),
}

impl Clock {
    pub fn now(&self) -> Instant {
        match self {
            Clock::System => Instant::now(),
            #[cfg(test)]
            Clock::Manual(clock) => clock.now(),
        }
    }

    pub fn since(&self, then: Instant) -> Duration {
        self.now().saturating_duration_since(then)
    }

    /// Milliseconds since then.
    pub fn ms_since(&self, then: Instant) -> f32 {
        self.since(then).as_secs_f32() * 1e3
    }
}
