//! The clock of the engine. Tests use a manual clock.

use std::time::{Duration, Instant};

/// Clock of time-outs, ages and latencies.
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

    /// Returns the time since an instant.
    pub fn since(&self, start: Instant) -> Duration {
        self.now().saturating_duration_since(start)
    }

    /// Returns the milliseconds since an instant.
    pub fn ms_since(&self, start: Instant) -> f32 {
        self.since(start).as_secs_f32() * 1e3
    }
}
