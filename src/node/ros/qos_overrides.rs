//! Parameters `qos_overrides.*`, which change the quality of service of topics.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use r2r::ParameterValue;
use r2r::qos::{DurabilityPolicy, HistoryPolicy, LivelinessPolicy, ReliabilityPolicy};

use super::qos::Profile;
use crate::node::config::{Declared, ParameterError, QOS_OVERRIDES};

/// End of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Publisher,
    Subscription,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Publisher => "publisher",
            Side::Subscription => "subscription",
        })
    }
}

/// Policy of a profile, with the name and the values of rclcpp.
struct Policy {
    name: &'static str,
    /// Whether the parameter is declared for every topic; the other policies are declared where they are overridden.
    always: bool,
    expected: &'static str,
    get: fn(&Profile) -> ParameterValue,
    /// Sets the policy. Returns false for an unexpected value.
    set: fn(&mut Profile, &ParameterValue) -> bool,
}

/// Value of a policy that follows the publishers.
const BEST_AVAILABLE: &str = "best_available";

const POLICIES: &[Policy] = &[
    Policy {
        name: "reliability",
        always: true,
        expected: "reliable, best_effort, system_default or (subscriptions only) best_available",
        get: |p| match (p.matches_reliability, &p.qos.reliability) {
            (true, _) => text(BEST_AVAILABLE),
            (_, ReliabilityPolicy::Reliable) => text("reliable"),
            (_, ReliabilityPolicy::BestEffort) => text("best_effort"),
            _ => text("system_default"),
        },
        set: |p, value| {
            let Some(word) = word(value) else { return false };
            p.matches_reliability = word == BEST_AVAILABLE;
            p.qos.reliability = match word {
                "reliable" => ReliabilityPolicy::Reliable,
                "best_effort" | BEST_AVAILABLE => ReliabilityPolicy::BestEffort,
                "system_default" => ReliabilityPolicy::SystemDefault,
                _ => return false,
            };
            true
        },
    },
    Policy {
        name: "durability",
        always: true,
        expected: "volatile, transient_local, system_default or (subscriptions only) best_available",
        get: |p| match (p.matches_durability, &p.qos.durability) {
            (true, _) => text(BEST_AVAILABLE),
            (_, DurabilityPolicy::Volatile) => text("volatile"),
            (_, DurabilityPolicy::TransientLocal) => text("transient_local"),
            _ => text("system_default"),
        },
        set: |p, value| {
            let Some(word) = word(value) else { return false };
            p.matches_durability = word == BEST_AVAILABLE;
            p.qos.durability = match word {
                "volatile" | BEST_AVAILABLE => DurabilityPolicy::Volatile,
                "transient_local" => DurabilityPolicy::TransientLocal,
                "system_default" => DurabilityPolicy::SystemDefault,
                _ => return false,
            };
            true
        },
    },
    Policy {
        name: "history",
        always: true,
        expected: "keep_last, keep_all or system_default",
        get: |p| match p.qos.history {
            HistoryPolicy::KeepLast => text("keep_last"),
            HistoryPolicy::KeepAll => text("keep_all"),
            _ => text("system_default"),
        },
        set: |p, value| {
            p.qos.history = match word(value) {
                Some("keep_last") => HistoryPolicy::KeepLast,
                Some("keep_all") => HistoryPolicy::KeepAll,
                Some("system_default") => HistoryPolicy::SystemDefault,
                _ => return false,
            };
            true
        },
    },
    Policy {
        name: "depth",
        always: true,
        expected: "a whole number from 1 to 100000",
        get: |p| ParameterValue::Integer(p.qos.depth as i64),
        set: |p, value| match value {
            ParameterValue::Integer(depth @ 1..=100_000) => {
                p.qos.depth = *depth as usize;
                true
            }
            _ => false,
        },
    },
    Policy {
        name: "liveliness",
        always: false,
        expected: "automatic, manual_by_topic or system_default",
        get: |p| match p.qos.liveliness {
            LivelinessPolicy::Automatic => text("automatic"),
            LivelinessPolicy::ManualByTopic => text("manual_by_topic"),
            _ => text("system_default"),
        },
        set: |p, value| {
            p.qos.liveliness = match word(value) {
                Some("automatic") => LivelinessPolicy::Automatic,
                Some("manual_by_topic") => LivelinessPolicy::ManualByTopic,
                Some("system_default") => LivelinessPolicy::SystemDefault,
                _ => return false,
            };
            true
        },
    },
    Policy {
        name: "liveliness_lease_duration",
        always: false,
        expected: NANOSECONDS,
        get: |p| nanoseconds(p.qos.liveliness_lease_duration),
        set: |p, value| set_duration(&mut p.qos.liveliness_lease_duration, value),
    },
    Policy {
        name: "deadline",
        always: false,
        expected: NANOSECONDS,
        get: |p| nanoseconds(p.qos.deadline),
        set: |p, value| set_duration(&mut p.qos.deadline, value),
    },
    Policy {
        name: "lifespan",
        always: false,
        expected: NANOSECONDS,
        get: |p| nanoseconds(p.qos.lifespan),
        set: |p, value| set_duration(&mut p.qos.lifespan, value),
    },
];

const NANOSECONDS: &str = "a whole number of nanoseconds, at least 0";

fn text(s: &str) -> ParameterValue {
    ParameterValue::String(s.to_owned())
}

fn word(value: &ParameterValue) -> Option<&str> {
    match value {
        ParameterValue::String(s) => Some(s),
        _ => None,
    }
}

fn nanoseconds(duration: Duration) -> ParameterValue {
    ParameterValue::Integer(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

fn set_duration(duration: &mut Duration, value: &ParameterValue) -> bool {
    let nanoseconds = match value {
        ParameterValue::Integer(n) => u64::try_from(*n).ok(),
        _ => None,
    };
    nanoseconds.map(|n| *duration = Duration::from_nanos(n)).is_some()
}

/// Returns a value as it is shown in errors.
fn show(value: &ParameterValue) -> String {
    match value {
        ParameterValue::String(s) => format!("'{s}'"),
        ParameterValue::Integer(i) => i.to_string(),
        other => format!("a {}", other.type_name()),
    }
}

/// Overrides of the parameter file and the command line, and the parameters that they declare.
#[derive(Debug, Default)]
pub struct QosOverrides {
    given: BTreeMap<String, ParameterValue>,
    /// Policies of the topics made so far, as parameters.
    pub declared: BTreeMap<String, Declared>,
    topics: Vec<String>,
}

impl QosOverrides {
    /// Selects the overrides among the parameters of the parameter file and the command line.
    pub fn new<'a>(given: impl IntoIterator<Item = (&'a String, &'a ParameterValue)>) -> Self {
        let given = given.into_iter().filter(|(name, _)| name.starts_with(QOS_OVERRIDES));
        QosOverrides { given: given.map(|(n, v)| (n.clone(), v.clone())).collect(), ..QosOverrides::default() }
    }

    /// Returns the profile of a topic, by its full name, with its overrides, and declares its parameters.
    ///
    /// # Errors
    /// An override names no policy, or has an unexpected value.
    pub fn apply(&mut self, topic: &str, side: Side, mut profile: Profile) -> Result<Profile, ParameterError> {
        let start = format!("{QOS_OVERRIDES}{topic}.{side}.");
        let is_policy = |name: &str| POLICIES.iter().any(|p| p.name == name && is_allowed(p, side));
        for name in self.given.keys().filter(|name| name.starts_with(&start)) {
            if !is_policy(&name[start.len()..]) {
                let names: Vec<&str> = POLICIES.iter().filter(|p| is_allowed(p, side)).map(|p| p.name).collect();
                let (name, found) = (name.clone(), "no policy".to_owned());
                return Err(ParameterError::Value { name, found, expected: format!("one of {}", names.join(", ")) });
            }
        }
        for policy in POLICIES.iter().filter(|p| is_allowed(p, side)) {
            let name = format!("{start}{}", policy.name);
            let given = self.given.get(&name);
            if let Some(value) = given {
                let follows_publishers = word(value) == Some(BEST_AVAILABLE) && side == Side::Publisher;
                if follows_publishers || !(policy.set)(&mut profile, value) {
                    return Err(ParameterError::Value { name, found: show(value), expected: policy.expected.into() });
                }
            }
            if policy.always || given.is_some() {
                let description = format!("{} of the {side} of '{topic}': {}.", policy.name, policy.expected);
                self.declared.insert(name, Declared { value: (policy.get)(&profile), description });
            }
        }
        self.topics.push(format!("{topic} ({side})"));
        Ok(profile)
    }

    /// Describes the overrides for topics of other nodes, and the topics of this one: every node of a launch file gets the same
    /// parameter file.
    pub fn describe_unused(&self) -> Option<String> {
        let others: Vec<&str> =
            self.given.keys().filter(|n| !self.declared.contains_key(*n)).map(String::as_str).collect();
        (!others.is_empty()).then(|| {
            format!("not for a topic of this node: {}; its topics are {}", others.join(", "), self.topics.join(", "))
        })
    }
}

/// Whether an end of a topic has the policy: only publishers have a lifespan.
fn is_allowed(policy: &Policy, side: Side) -> bool {
    policy.name != "lifespan" || side == Side::Publisher
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::ros::qos::{OUTPUTS, SENSOR};

    fn overrides(given: &[(&str, ParameterValue)]) -> QosOverrides {
        let given: Vec<(String, ParameterValue)> =
            given.iter().map(|(n, v)| (format!("qos_overrides.{n}"), v.clone())).collect();
        QosOverrides::new(given.iter().map(|(n, v)| (n, v)))
    }

    #[test]
    fn overrides_change_the_profile_and_are_declared() {
        let mut overrides = overrides(&[
            ("/image.subscription.reliability", text("reliable")),
            ("/image.subscription.depth", ParameterValue::Integer(5)),
            ("/image.publisher.depth", ParameterValue::Integer(7)),
            ("/mask.publisher.lifespan", ParameterValue::Integer(1_500_000_000)),
        ]);
        let image = overrides.apply("/image", Side::Subscription, SENSOR).unwrap();
        assert!(!image.matches_reliability && image.matches_durability);
        assert_eq!((image.qos.reliability, image.qos.depth), (ReliabilityPolicy::Reliable, 5));
        let mask = overrides.apply("/mask", Side::Publisher, OUTPUTS).unwrap();
        assert_eq!(mask.qos.lifespan, Duration::from_millis(1500));
        let value = |name: &str| overrides.declared.get(&format!("qos_overrides.{name}")).map(|d| d.value.clone());
        assert_eq!(value("/image.subscription.durability"), Some(text("best_available")));
        assert_eq!(value("/image.subscription.depth"), Some(ParameterValue::Integer(5)));
        assert_eq!(value("/mask.publisher.reliability"), Some(text("reliable")));
        assert_eq!(value("/image.subscription.deadline"), None);
        let others = overrides.describe_unused().unwrap();
        assert!(others.contains("/image.publisher.depth") && others.contains("/mask (publisher)"), "{others}");
    }

    #[test]
    fn every_declared_value_is_accepted() {
        let mut first = QosOverrides::default();
        for (side, profile) in [(Side::Subscription, SENSOR), (Side::Publisher, OUTPUTS)] {
            first.apply("/x", side, profile).unwrap();
        }
        let dumped: Vec<_> = first.declared.iter().map(|(n, d)| (n.clone(), d.value.clone())).collect();
        let mut again = QosOverrides::new(dumped.iter().map(|(n, v)| (n, v)));
        assert_eq!(again.apply("/x", Side::Subscription, SENSOR), Ok(SENSOR));
        assert_eq!(again.apply("/x", Side::Publisher, OUTPUTS), Ok(OUTPUTS));
        assert_eq!(again.describe_unused(), None);
    }

    #[test]
    fn a_wrong_override_is_refused_with_the_reason() {
        for (name, value, expected) in [
            ("/x.publisher.reliability", text("perfect"), "is 'perfect', expected reliable, best_effort"),
            ("/x.publisher.reliability", text("best_available"), "subscriptions only"),
            ("/x.publisher.depth", ParameterValue::Integer(0), "from 1 to"),
            ("/x.publisher.depth", text("five"), "is 'five', expected a whole number"),
            ("/x.publisher.relability", text("reliable"), "one of reliability, durability"),
            ("/x.publisher.deadline", ParameterValue::Integer(-1), "at least 0"),
        ] {
            let message = overrides(&[(name, value)]).apply("/x", Side::Publisher, OUTPUTS).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains(name), "{message}");
        }
        let mut lifespan = overrides(&[("/x.subscription.lifespan", ParameterValue::Integer(1))]);
        assert!(lifespan.apply("/x", Side::Subscription, SENSOR).is_err());
    }
}
