//! Demand for encoded frames of the camera, and for the certain parts of masks.

use std::time::{Duration, Instant};

use crate::engine::settings::EncodeMode;

/// Demand for encoded frames of the camera, and for the certain parts of masks.
#[derive(Debug, Default)]
pub struct Demand {
    /// An output has a subscriber.
    pub has_subscribers: bool,
    /// Time of the last prompt.
    pub last_prompt: Option<Instant>,
    /// Images newer than the newest encoded frame arrived and were not needed. A prompt for the newest frame waits for one of
    /// them to be encoded.
    pub is_behind: bool,
    /// The owner searches frames for phrases and waits for the next frame.
    pub awaits_frame: bool,
    /// Objects are measured in metres.
    pub needs_certain_masks: bool,
}

impl Demand {
    /// Returns whether every frame is needed even if no object persists and no prompt waits. `linger`: time after a prompt in
    /// which another prompt is likely.
    pub fn needs_every_frame(&self, mode: EncodeMode, linger: Duration, now: Instant) -> bool {
        let has_recent_prompt = || self.last_prompt.is_some_and(|at| now.saturating_duration_since(at) < linger);
        match mode {
            EncodeMode::Always => true,
            EncodeMode::Auto => self.has_subscribers || has_recent_prompt(),
            EncodeMode::OnDemand => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_its_name_and_its_demand() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let (idle, subscribed) = (Demand::default(), Demand { has_subscribers: true, ..Demand::default() });
        let prompted = Demand { last_prompt: Some(now), ..Demand::default() };
        let long_ago = Demand { last_prompt: now.checked_sub(second), ..Demand::default() };
        for (name, expected) in [("always", [true; 4]), ("auto", [false, true, true, false]), ("on_demand", [false; 4])]
        {
            let mode: EncodeMode = name.parse().unwrap();
            let needed = [&idle, &subscribed, &prompted, &long_ago].map(|d| d.needs_every_frame(mode, second, now));
            assert_eq!(needed, expected, "{name}");
        }
        assert!("never".parse::<EncodeMode>().unwrap_err().contains("auto, always, on_demand"));
    }
}
