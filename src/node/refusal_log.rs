//! One warning for what was refused, and not a thousand of them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock::lock;
use crate::engine::{Refusal, RefusalKind};

/// At most one warning of a kind in this time.
const PERIOD: Duration = Duration::from_secs(1);

/// Says refusals, rate-limited by kind; what was left unsaid is counted and said with the next one.
#[derive(Debug, Default)]
pub struct Refusals {
    /// What each begins with: whose they are.
    whose: String,
    last: Mutex<HashMap<RefusalKind, (Instant, u64)>>,
}

impl Refusals {
    /// `whose`: what each line begins with.
    pub fn new(whose: String) -> Self {
        Refusals { whose, ..Refusals::default() }
    }

    pub fn say(&self, input: &str, refusal: &Refusal) {
        if let Some(unsaid) = self.due(refusal.kind) {
            let more = if unsaid > 0 { format!(" ({unsaid} more of this kind in between)") } else { String::new() };
            tracing::warn!("{}{input} refused: {}{more}", self.whose, refusal.message);
        }
    }

    /// How many were left unsaid, when it is time to say one again.
    fn due(&self, kind: RefusalKind) -> Option<u64> {
        let now = Instant::now();
        let mut last = lock(&self.last);
        match last.get_mut(&kind) {
            Some((said, unsaid)) if now.duration_since(*said) < PERIOD => {
                *unsaid += 1;
                None
            }
            Some(entry) => {
                let unsaid = entry.1;
                *entry = (now, 0);
                Some(unsaid)
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
    fn one_of_a_kind_is_said_and_the_others_are_counted() {
        let refusals = Refusals::default();
        assert_eq!(refusals.due(RefusalKind::BadImage), Some(0));
        assert_eq!(refusals.due(RefusalKind::BadImage), None);
        assert_eq!(refusals.due(RefusalKind::BadPrompt), Some(0));
        assert_eq!(refusals.last.lock().unwrap()[&RefusalKind::BadImage].1, 1);
    }
}
