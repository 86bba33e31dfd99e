//! The rate of a client's messages.

use std::time::{Duration, Instant};

/// Messages that a client may send at once, and the time in which it may send a further one.
const BURST: u32 = 100;
const MESSAGE_PERIOD: Duration = Duration::from_millis(10);

/// Limits the rate of messages: after a burst, each message is read a period after the one before.
#[derive(Debug)]
pub struct Pace {
    /// Time up to which the messages so far have used the rate.
    used: Instant,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Pace { used: now }
    }

    /// Returns when the next message may be read.
    pub fn next(&self) -> Instant {
        self.used.checked_sub(MESSAGE_PERIOD * BURST).unwrap_or(self.used)
    }

    /// Counts a message.
    pub fn count(&mut self, now: Instant) {
        self.used = self.used.max(now) + MESSAGE_PERIOD;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_read_at_once_and_the_rest_at_the_rate() {
        let now = Instant::now() + Duration::from_secs(60);
        let mut pace = Pace::new(now);
        for _ in 0..BURST {
            assert!(pace.next() <= now);
            pace.count(now);
        }
        for i in 1..=20 {
            pace.count(now);
            assert_eq!(pace.next(), now + i * MESSAGE_PERIOD);
        }
        // A pause fills the burst again.
        let later = now + Duration::from_secs(60);
        pace.count(later);
        assert!(pace.next() <= later);
    }
}
