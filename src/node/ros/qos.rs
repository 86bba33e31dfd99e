//! Quality of service: default profiles of topics.

use r2r::QosProfile;
use r2r::qos::{DurabilityPolicy, ReliabilityPolicy};

/// Quality of service of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub qos: QosProfile,
    /// Whether a subscription takes the reliability of its publishers ("best_available").
    pub matches_reliability: bool,
    /// Whether a subscription takes the durability of its publishers.
    pub matches_durability: bool,
}

impl Profile {
    /// A profile that does not depend on the publishers.
    pub const fn fixed(qos: QosProfile) -> Self {
        Profile { qos, matches_reliability: false, matches_durability: false }
    }

    /// Returns the strictest profile that receives from all publishers; without publishers, one that receives from any.
    pub fn matched_to(&self, publishers: &[QosProfile]) -> QosProfile {
        let all = |is: &dyn Fn(&QosProfile) -> bool| !publishers.is_empty() && publishers.iter().all(is);
        let mut qos = self.qos.clone();
        if self.matches_reliability {
            qos.reliability = match all(&|p| p.reliability == ReliabilityPolicy::Reliable) {
                true => ReliabilityPolicy::Reliable,
                false => ReliabilityPolicy::BestEffort,
            };
        }
        if self.matches_durability {
            qos.durability = match all(&|p| p.durability == DurabilityPolicy::TransientLocal) {
                true => DurabilityPolicy::TransientLocal,
                false => DurabilityPolicy::Volatile,
            };
        }
        qos
    }
}

/// Depth of an image's subscription. An image of more than 64 kB arrives in fragments, and Fast DDS counts an incomplete image
/// as a message of the queue: with a depth of one, the first fragment of the next image evicts it before a lost fragment is
/// sent again. The queue delays no image, because the node takes each as soon as it is complete, and a newer image replaces an
/// older one before the encoder. docs/performance.md has the images that arrive by depth.
const IMAGE_DEPTH: usize = 10;

/// Images: as reliable and durable as the publishers.
pub const SENSOR: Profile = Profile {
    qos: QosProfile::sensor_data().keep_last(IMAGE_DEPTH),
    matches_reliability: true,
    matches_durability: true,
};

/// Detections, which are published at the rate of a camera: as reliable as the publishers.
pub const DETECTIONS: Profile =
    Profile { qos: QosProfile::sensor_data().keep_last(10), matches_reliability: true, matches_durability: false };

/// Prompts: none is lost.
pub const PROMPTS: Profile = Profile::fixed(QosProfile::default());

/// Transforms, as tf2_ros takes them.
pub const TRANSFORMS: Profile = Profile::fixed(QosProfile::default().keep_last(100));
/// Static transforms, as tf2_ros takes them.
pub const STATIC_TRANSFORMS: Profile = Profile::fixed(QosProfile::default().keep_last(100).transient_local());

/// Outputs: reliable and volatile, which suits every subscriber except one that requests transient local.
pub const OUTPUTS: Profile = Profile::fixed(QosProfile::default());

/// Outputs that are published when they change: a late subscriber receives the last message.
pub const LATCHED: Profile = Profile::fixed(QosProfile::default().keep_last(1).transient_local());

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher(reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> QosProfile {
        QosProfile { reliability, durability, ..QosProfile::default() }
    }

    #[test]
    fn a_subscription_takes_the_policies_that_its_publishers_have_in_common() {
        use {DurabilityPolicy as D, ReliabilityPolicy as R};
        let latched = publisher(R::Reliable, D::TransientLocal);
        let usual = publisher(R::Reliable, D::Volatile);
        let sensor = publisher(R::BestEffort, D::Volatile);
        for (publishers, reliability, durability) in [
            (vec![], R::BestEffort, D::Volatile),
            (vec![latched.clone()], R::Reliable, D::TransientLocal),
            (vec![latched.clone(), usual.clone()], R::Reliable, D::Volatile),
            (vec![latched, usual, sensor], R::BestEffort, D::Volatile),
        ] {
            let matched = SENSOR.matched_to(&publishers);
            assert_eq!(
                (matched.reliability, matched.durability, matched.depth),
                (reliability, durability, IMAGE_DEPTH)
            );
        }
        assert_eq!(PROMPTS.matched_to(&[publisher(R::BestEffort, D::Volatile)]), PROMPTS.qos);
    }
}
