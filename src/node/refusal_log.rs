//! Warnings about refused inputs, limited in rate.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock::lock;
use crate::engine::{Refusal, RefusalKind};

/// Shortest time between two warnings of a kind.
const PERIOD: Duration = Duration::from_secs(1);

/// Logs refusals, at most one of a kind in each period. Suppressed refusals are counted, and the next warning has the count.
#[derive(Debug, Default)]
pub struct RefusalLog {
    /// Beginning of each line: the camera.
    prefix: String,
    /// Time of the last warning of each kind, and the refusals that were suppressed since.
    last: Mutex<HashMap<RefusalKind, (Instant, u64)>>,
}

impl RefusalLog {
    /// `prefix`: beginning of each line.
    pub fn new(prefix: String) -> Self {
        RefusalLog { prefix, ..RefusalLog::default() }
    }

    /// Logs a refusal, unless one of its kind was logged within the period.
    pub fn warn(&self, input: &str, refusal: &Refusal) {
        if let Some(suppressed) = self.suppressed_if_due(refusal.kind) {
            let more =
                if suppressed > 0 { format!(" ({suppressed} more of this kind in between)") } else { String::new() };
            tracing::warn!("{}{input} refused: {}{more}", self.prefix, refusal.message);
        }
    }

    /// Returns the number of suppressed refusals if a warning of this kind is due; otherwise counts the refusal.
    fn suppressed_if_due(&self, kind: RefusalKind) -> Option<u64> {
        let now = Instant::now();
        let mut last = lock(&self.last);
        match last.get_mut(&kind) {
            Some((warned, suppressed)) if now.duration_since(*warned) < PERIOD => {
                *suppressed += 1;
                None
            }
            Some(entry) => {
                let suppressed = entry.1;
                *entry = (now, 0);
                Some(suppressed)
            }
            None => {
                last.insert(kind, (now, 0));
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_of_a_kind_is_logged_and_the_others_are_counted() {
        let refusals = RefusalLog::default();
        assert_eq!(refusals.suppressed_if_due(RefusalKind::BadImage), Some(0));
        assert_eq!(refusals.suppressed_if_due(RefusalKind::BadImage), None);
        assert_eq!(refusals.suppressed_if_due(RefusalKind::BadPrompt), Some(0));
        assert_eq!(refusals.last.lock().unwrap()[&RefusalKind::BadImage].1, 1);
    }
}
