//! Makes topics and services: under the names of their camera, with the quality of service in force.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::Stream;
use r2r::qos::DurabilityPolicy;
use r2r::{Node, Publisher, QosProfile, ServiceRequest, WrappedServiceTypeSupport, WrappedTypesupport};

use super::NodeError;
use super::matching::Subscriptions;
use super::names::Names;
use super::parameters::Declared;
use super::qos::{Overrides, Profile, Side};

/// Messages of a subscription as they come.
pub type Messages<T> = Box<dyn Stream<Item = T> + Send + Unpin>;

/// Requests of a service's clients.
pub type Requests<T> = Box<dyn Stream<Item = ServiceRequest<T>> + Send + Unpin>;

/// The node while its topics are made.
pub struct Topics {
    node: Node,
    names: Names,
    overrides: Overrides,
    subscriptions: Subscriptions,
    camera: String,
}

impl Topics {
    /// # Errors
    /// The command line is no ROS command line.
    pub fn new(node: Node, overrides: Overrides) -> Result<Self, NodeError> {
        let names = Names::of(&node)?;
        Ok(Topics { node, names, overrides, subscriptions: Subscriptions::default(), camera: String::new() })
    }

    /// What is made from now on belongs to that camera: `image` becomes `front/image`, `~/mask` becomes `~/front/mask`.
    /// The only camera of a node has no name, and the names stay as they are.
    pub fn of_camera(&mut self, camera: &str) {
        camera.clone_into(&mut self.camera);
    }

    /// The full name of a topic of the camera, after remapping.
    pub fn resolve(&self, topic: &str) -> String {
        self.names.resolve(&of_camera(&self.camera, topic))
    }

    /// The name of the compressed variant of a topic, as image_transport chooses it: below the topic's final name,
    /// unless it is remapped itself.
    pub fn compressed(&self, topic: &str) -> String {
        compressed(&self.names, &of_camera(&self.camera, topic))
    }

    /// # Errors
    /// The middleware refuses the topic; an override of its profile is wrong.
    pub fn subscribe<T>(&mut self, topic: &str, profile: Profile) -> Result<Messages<T>, NodeError>
    where
        T: WrappedTypesupport + Send + 'static,
    {
        let (name, full) = (of_camera(&self.camera, topic), self.resolve(topic));
        let profile = self.overrides.apply(&full, Side::Subscription, profile)?;
        Ok(self.subscriptions.subscribe(&mut self.node, name, full, profile)?)
    }

    /// # Errors
    /// The middleware refuses the topic; an override of its profile is wrong.
    pub fn publisher<T: WrappedTypesupport>(&mut self, topic: &str, profile: Profile) -> Result<Output<T>, NodeError> {
        let Profile { qos, .. } = self.overrides.apply(&self.resolve(topic), Side::Publisher, profile)?;
        let is_latched = qos.durability == DurabilityPolicy::TransientLocal;
        let publisher = self.node.create_publisher(&of_camera(&self.camera, topic), qos)?;
        Ok(Output { publisher, is_latched })
    }

    /// # Errors
    /// The middleware refuses the service.
    pub fn service<T>(&mut self, service: &str) -> Result<Requests<T>, NodeError>
    where
        T: WrappedServiceTypeSupport + 'static,
        T::Request: Send,
    {
        let name = of_camera(&self.camera, service);
        Ok(Box::new(self.node.create_service::<T>(&name, QosProfile::services_default())?))
    }

    /// The parameters that the topics made so far have declared.
    pub fn declared(&self) -> BTreeMap<String, Declared> {
        self.overrides.declared.clone()
    }

    /// The node with all its topics, to be spun.
    pub fn finish(self) -> Spinner {
        if let Some(others) = self.overrides.of_others() {
            tracing::info!("parameters: {others}");
        }
        Spinner { node: self.node, subscriptions: self.subscriptions }
    }
}

/// A topic that the node publishes.
pub struct Output<T: WrappedTypesupport> {
    publisher: Publisher<T>,
    is_latched: bool,
}

impl<T: WrappedTypesupport + 'static> Output<T> {
    /// Whether somebody subscribes; or may do so later, when the last message is kept for them. Nothing is computed for
    /// a topic that nobody wants.
    pub fn is_wanted(&self) -> bool {
        self.is_latched || self.publisher.get_inter_process_subscription_count().is_ok_and(|n| n > 0)
    }

    /// # Errors
    /// The middleware does not take it.
    pub fn publish(&self, message: &T) -> r2r::Result<()> {
        self.publisher.publish(message)
    }
}

/// The node at work.
pub struct Spinner {
    node: Node,
    subscriptions: Subscriptions,
}

impl Spinner {
    /// Hands on what has come, or waits for it.
    pub fn spin_once(&mut self, timeout: Duration) {
        self.node.spin_once(timeout);
        self.subscriptions.follow(&mut self.node);
    }
}

fn of_camera(camera: &str, name: &str) -> String {
    match name.strip_prefix("~/") {
        // An absolute name is everybody's.
        _ if camera.is_empty() || name.starts_with('/') => name.to_owned(),
        Some(name) => format!("~/{camera}/{name}"),
        None => format!("{camera}/{name}"),
    }
}

fn compressed(names: &Names, topic: &str) -> String {
    let own = format!("{topic}/compressed");
    let remapped = names.resolve(&own) != names.expand(&own);
    if remapped { own } else { format!("{}/compressed", names.resolve(topic)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::names::tests::names;

    #[test]
    fn names_of_a_camera() {
        for (camera, name, full) in [
            ("", "image", "image"),
            ("", "~/mask", "~/mask"),
            ("front", "image", "front/image"),
            ("front", "~/mask", "~/front/mask"),
            ("front", "/tf", "/tf"),
        ] {
            assert_eq!(of_camera(camera, name), full);
        }
    }

    #[test]
    fn the_compressed_topic_is_below_the_final_name_of_the_image() {
        for (rules, name) in [
            (&[][..], "/robot/image/compressed"),
            (&["image:=/front/image_raw"], "/front/image_raw/compressed"),
            (&["image:=/front/image_raw", "image/compressed:=/jpeg"], "/jpeg"),
        ] {
            let names = names(rules);
            assert_eq!(names.resolve(&compressed(&names, "image")), name);
        }
    }
}
