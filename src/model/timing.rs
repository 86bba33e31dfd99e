//! Times of stages.

use std::time::Instant;

/// Returns the milliseconds since `start`.
pub fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
