//! Health of a camera. `docs/interfaces.md`, "Diagnostics", documents the rules.

use super::snapshot::Snapshot;
use crate::engine::{Metrics, RefusalKind};

/// Level of diagnostic_msgs/DiagnosticStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok = 0,
    Warn = 1,
    Error = 2,
}

/// Share of the published images above which lost images are a warning.
const MAX_LOST_SHARE: f64 = 0.1;

/// Number of waiting prompts from which they are a warning: half of the queue's capacity.
const MANY_WAITING: usize = 128;

impl Snapshot {
    /// Returns the worst level of all findings, with the text of the findings of that level.
    pub fn health(&self) -> (Level, String) {
        let findings = self.findings();
        let Some(worst) = findings.iter().map(|(level, _)| *level).max() else {
            return (Level::Ok, format!("{:.1} images/s", self.rate(|m| m.frames_in)));
        };
        let texts: Vec<String> =
            findings.into_iter().filter(|(level, _)| *level == worst).map(|(_, text)| text).collect();
        (worst, texts.join("; "))
    }

    /// Returns everything that is wrong, with its level.
    fn findings(&self) -> Vec<(Level, String)> {
        let mut findings: Vec<(Level, String)> = Vec::new();
        let failed = self.gained(|m| m.refused.get(&RefusalKind::ModelFailed).copied().unwrap_or_default());
        if failed > 0 {
            findings.push((Level::Error, format!("the model fails: {failed} times in the last second")));
        }
        let panics = self.gained(|m| m.panics);
        if panics > 0 {
            findings.push((Level::Error, format!("{panics} panics caught in the last second: see the log")));
        }
        if self.gained(|m| m.frames_in) == 0 {
            findings.push((Level::Warn, format!("no images: does the camera publish on '{}'?", self.image_topic)));
        }
        let (lost, arrived) = (self.gained(|m| m.frames_lost.unwrap_or_default()), self.gained(|m| m.frames_in));
        if lost as f64 > MAX_LOST_SHARE * (lost + arrived) as f64 {
            let topic = &self.image_topic;
            findings.push((
                Level::Warn,
                format!(
                    "{lost} of {} images lost by the middleware: with Fast DDS set FASTRTPS_DEFAULT_PROFILES_FILE to promptseg's \
                     config/fastdds.xml in the camera's environment; otherwise raise qos_overrides.{topic}.subscription.depth, or \
                     the depth of the camera's publisher",
                    lost + arrived
                ),
            ));
        }
        let inputs = |m: &Metrics| -> u64 {
            let inputs = m.refused.iter().filter(|(kind, _)| **kind != RefusalKind::ModelFailed);
            inputs.map(|(_, count)| count).sum()
        };
        let refused = self.gained(inputs);
        if refused > 0 {
            findings.push((Level::Warn, format!("{refused} inputs refused in the last second")));
        }
        let late = self.gained(|m| m.frames_late);
        if late > 0 {
            findings.push((Level::Warn, format!("{late} images came after one with a newer stamp")));
        }
        let waiting = self.usage.prompts.max(self.usage.queries).max(self.usage.to_encode);
        if waiting >= MANY_WAITING {
            findings.push((Level::Warn, format!("{waiting} prompts are waiting: they come faster than the model is")));
        }
        if let Some(jetson) = self.jetson.as_ref().filter(|j| !j.throttled.is_empty()) {
            findings.push((Level::Warn, format!("the board is throttled: {}", jetson.throttled.join(", "))));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::super::system::Jetson;
    use super::*;

    /// Returns the health after a second with thirty images and `change`.
    fn after(change: impl FnOnce(&mut Snapshot)) -> (Level, String) {
        let mut before = Metrics::default();
        (before.frames_in, before.panics, before.frames_late) = (100, 3, 5);
        let mut now = before.clone();
        now.frames_in = 130;
        let mut snapshot = Snapshot { before, now, seconds: 1.0, image_topic: "/image".into(), ..Snapshot::default() };
        change(&mut snapshot);
        snapshot.health()
    }

    #[test]
    fn faults_before_the_last_second_do_not_count() {
        assert_eq!(after(|_| {}), (Level::Ok, "30.0 images/s".into()));
        assert_eq!(after(|s| s.now.frames_lost = Some(3)).0, Level::Ok, "three lost images of 33");
    }

    #[test]
    fn counters_of_a_new_engine_start_at_zero() {
        let (level, text) = after(|s| {
            (0..5).for_each(|_| s.before.refuse(RefusalKind::BadPrompt));
            s.now = Metrics::default();
            (s.now.epoch, s.now.frames_in) = (1, 3);
            s.now.refuse(RefusalKind::ModelFailed);
        });
        assert_eq!((level, text.as_str()), (Level::Error, "the model fails: 1 times in the last second"));
        let (level, text) = after(|s| {
            (0..5).for_each(|_| s.before.refuse(RefusalKind::BadPrompt));
            s.now = Metrics::default();
            (s.now.epoch, s.now.frames_in) = (1, 101);
            s.now.refuse(RefusalKind::BadPrompt);
        });
        assert_eq!((level, text.as_str()), (Level::Warn, "1 inputs refused in the last second"));
    }

    #[test]
    fn each_rule_has_its_level_and_text() {
        type Change = fn(&mut Snapshot);
        let rules: [(Change, Level, &str); 8] = [
            (
                |s| s.now.frames_lost = Some(4),
                Level::Warn,
                "4 of 34 images lost by the middleware: with Fast DDS set FASTRTPS_DEFAULT_PROFILES_FILE",
            ),
            (|s| s.now.refuse(RefusalKind::ModelFailed), Level::Error, "the model fails: 1 times"),
            (|s| s.now.panics += 2, Level::Error, "2 panics"),
            (|s| s.now.frames_in = 100, Level::Warn, "no images: does the camera publish on '/image'?"),
            (|s| s.now.refuse(RefusalKind::BadPrompt), Level::Warn, "1 inputs refused"),
            (|s| s.now.frames_late += 1, Level::Warn, "1 images came after"),
            (|s| s.usage.prompts = 128, Level::Warn, "128 prompts are waiting"),
            (
                |s| s.jetson = Some(Jetson { throttled: vec!["cpu".into()], ..Jetson::default() }),
                Level::Warn,
                "throttled: cpu",
            ),
        ];
        for (change, expected, part) in rules {
            let (level, text) = after(change);
            assert!(level == expected && text.contains(part), "{level:?} {text}");
        }
    }

    #[test]
    fn only_the_findings_of_the_worst_level_are_reported() {
        let (level, text) = after(|s| {
            s.now.refuse(RefusalKind::ModelFailed);
            s.now.refuse(RefusalKind::BadImage);
            s.now.frames_late += 1;
        });
        assert_eq!((level, text.as_str()), (Level::Error, "the model fails: 1 times in the last second"));
        let (_, text) = after(|s| {
            s.now.refuse(RefusalKind::BadImage);
            s.now.frames_late += 1;
        });
        assert!(text.contains("1 inputs refused") && text.contains("; 1 images came after"), "{text}");
    }
}
