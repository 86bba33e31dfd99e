//! Whether anybody needs the camera's frames to be encoded.

use std::time::{Duration, Instant};

use crate::engine::settings::EncodeMode;

/// Who needs the camera's frames.
#[derive(Debug, Default)]
pub struct Demand {
    /// Somebody subscribes to an output.
    pub has_listeners: bool,
    /// When a person or a program pointed last.
    pub pointed: Option<Instant>,
    /// Newer images came than the newest encoded frame, and nobody needed them. A prompt for the newest frame waits for
    /// one of them.
    pub is_behind: bool,
}

impl Demand {
    /// Whether every frame is needed, although no object lives on and no prompt waits. `linger`: how long somebody who
    /// pointed is expected to point again.
    pub fn needs_every_frame(&self, mode: EncodeMode, linger: Duration, now: Instant) -> bool {
        let pointed_lately = || self.pointed.is_some_and(|at| now.saturating_duration_since(at) < linger);
        match mode {
            EncodeMode::Always => true,
            EncodeMode::Auto => self.has_listeners || pointed_lately(),
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
        let (nobody, listeners) = (Demand::default(), Demand { has_listeners: true, ..Demand::default() });
        let pointed = Demand { pointed: Some(now), ..Demand::default() };
        let long_ago = Demand { pointed: now.checked_sub(second), ..Demand::default() };
        for (name, expected) in [("always", [true; 4]), ("auto", [false, true, true, false]), ("on_demand", [false; 4])]
        {
            let mode: EncodeMode = name.parse().unwrap();
            let found = [&nobody, &listeners, &pointed, &long_ago].map(|d| d.needs_every_frame(mode, second, now));
            assert_eq!(found, expected, "{name}");
        }
        assert!("never".parse::<EncodeMode>().unwrap_err().contains("auto, always, on_demand"));
    }
}
