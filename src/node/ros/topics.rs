//! Makes topics and services, with the name of their camera and their quality of service, and spins the node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::clock::NodeClock;
use super::names::Names;
use super::qos::Profile;
use super::qos_overrides::{QosOverrides, Side};
use super::subscriptions::{Demand, Messages, Subscriptions, When};
use crate::node::config::{Declared, ImageTransport};
use crate::node::error::NodeError;
use futures::Stream;
use r2r::qos::DurabilityPolicy;
use r2r::{Node, Publisher, QosProfile, ServiceRequest, WrappedServiceTypeSupport, WrappedTypesupport};
use tokio::sync::oneshot;

/// Stream of the requests of a service.
pub type Requests<T> = Box<dyn Stream<Item = ServiceRequest<T>> + Send + Unpin>;

/// Node whose topics are being made.
pub struct Topics {
    node: Node,
    names: Names,
    overrides: QosOverrides,
    subscriptions: Subscriptions,
    /// Camera that the next topics belong to.
    camera: String,
    jobs: (Sender<Job>, Receiver<Job>),
}

impl Topics {
    pub fn new(node: Node, names: Names, overrides: QosOverrides) -> Self {
        let (subscriptions, camera) = Default::default();
        Topics { node, names, overrides, subscriptions, camera, jobs: channel() }
    }

    /// Sets the camera of the topics that are made next: `image` becomes `front/image`, `~/mask` becomes `~/front/mask`.
    /// Topics of the only camera of a node, which has no name, keep their names.
    pub fn set_camera(&mut self, camera: &str) {
        camera.clone_into(&mut self.camera);
    }

    /// Returns the full name of a topic of the camera, after remapping.
    pub fn resolve(&self, topic: &str) -> String {
        self.names.resolve(&name_of_camera(&self.camera, topic))
    }

    /// Returns the name of a topic that other programs derive from `topic`: `/compressed` of image_transport, `_mouse_left` of
    /// rqt_image_view. The derived name is the final name of `topic` followed by `suffix`, unless it is remapped itself.
    pub fn derived(&self, topic: &str, suffix: &str) -> String {
        derived(&self.names, &self.camera, topic, suffix)
    }

    /// Returns the name of the topic `name` in the namespace of `topic`, as image_transport has it for `camera_info`, unless
    /// `own`, the node's name for it, is remapped.
    pub fn beside(&self, topic: &str, name: &str, own: &str) -> String {
        let full = name_of_camera(&self.camera, own);
        if self.names.resolve(&full) != self.names.expand(&full) {
            return own.to_owned();
        }
        let topic = self.resolve(topic);
        let namespace = topic.rsplit_once('/').map_or("", |(namespace, _)| namespace);
        format!("{namespace}/{name}")
    }

    /// Subscribes while the node is active.
    ///
    /// # Errors
    /// The middleware refuses the topic, or an override of its profile is wrong.
    pub fn subscribe<T>(&mut self, topic: &str, profile: Profile) -> Result<Messages<T>, NodeError>
    where
        T: WrappedTypesupport + Send + 'static,
    {
        self.subscribe_when(When::Active, topic, profile)
    }

    /// Subscribes for the time that `when` names.
    ///
    /// # Errors
    /// The middleware refuses the topic, or an override of its profile is wrong.
    pub fn subscribe_when<T>(&mut self, when: When, topic: &str, profile: Profile) -> Result<Messages<T>, NodeError>
    where
        T: WrappedTypesupport + Send + 'static,
    {
        self.subscription((when, None), topic, profile)
    }

    /// Subscribes while the node is active and `demand` is set.
    ///
    /// # Errors
    /// The middleware refuses the topic, or an override of its profile is wrong.
    pub fn subscribe_on_demand<T>(
        &mut self,
        demand: &Demand,
        topic: &str,
        profile: Profile,
    ) -> Result<Messages<T>, NodeError>
    where
        T: WrappedTypesupport + Send + 'static,
    {
        self.subscription((When::Active, Some(Arc::clone(demand))), topic, profile)
    }

    fn subscription<T>(
        &mut self,
        when: (When, Option<Demand>),
        topic: &str,
        profile: Profile,
    ) -> Result<Messages<T>, NodeError>
    where
        T: WrappedTypesupport + Send + 'static,
    {
        let (name, full) = (name_of_camera(&self.camera, topic), self.resolve(topic));
        let profile = self.overrides.apply(&full, Side::Subscription, profile)?;
        Ok(self.subscriptions.add(&mut self.node, name, full, profile, when)?)
    }

    /// Makes a topic that is offered in every state of the node.
    ///
    /// # Errors
    /// The middleware refuses the topic, or an override of its profile is wrong.
    pub fn publisher<T>(&mut self, topic: &str, profile: Profile) -> Result<Output<T>, NodeError>
    where
        T: WrappedTypesupport + 'static,
    {
        let mut output = self.output(topic, profile)?;
        output.offer(&mut self.node)?;
        Ok(output)
    }

    /// Makes a topic with a fixed profile that is offered in every state of the node. `topic` is a full name: remapping and the
    /// camera are applied already.
    ///
    /// # Errors
    /// The middleware refuses the topic.
    pub fn fixed_publisher<T>(&mut self, topic: String, qos: QosProfile) -> Result<Output<T>, NodeError>
    where
        T: WrappedTypesupport + 'static,
    {
        let mut output = Output { name: topic, qos, publisher: None };
        output.offer(&mut self.node)?;
        Ok(output)
    }

    /// Returns the node's clock.
    pub fn clock(&self) -> NodeClock {
        NodeClock::new(&self.node)
    }

    /// Makes a topic that is offered later.
    ///
    /// # Errors
    /// An override of its profile is wrong.
    pub fn output<T: WrappedTypesupport>(&mut self, topic: &str, profile: Profile) -> Result<Output<T>, NodeError> {
        let Profile { qos, .. } = self.overrides.apply(&self.resolve(topic), Side::Publisher, profile)?;
        Ok(Output { name: name_of_camera(&self.camera, topic), qos, publisher: None })
    }

    /// Makes a service.
    ///
    /// # Errors
    /// The middleware refuses the service.
    pub fn service<T>(&mut self, service: &str) -> Result<Requests<T>, NodeError>
    where
        T: WrappedServiceTypeSupport + 'static,
        T::Request: Send,
    {
        let name = name_of_camera(&self.camera, service);
        Ok(Box::new(self.node.create_service::<T>(&name, QosProfile::services_default())?))
    }

    /// Returns the parameters that the topics made so far declare.
    pub fn declared(&self) -> BTreeMap<String, Declared> {
        self.overrides.declared.clone()
    }

    /// Returns the handle for jobs on the spinning node.
    pub fn spinning(&self) -> SpinningNode {
        SpinningNode { jobs: self.jobs.0.clone() }
    }

    /// Returns the node with all its topics, for the thread that spins it.
    pub fn finish(self) -> Spinner {
        if let Some(unused) = self.overrides.describe_unused() {
            tracing::info!("parameters: {unused}");
        }
        Spinner { node: self.node, subscriptions: self.subscriptions, jobs: self.jobs.1 }
    }
}

/// Topic that the node publishes while it is offered.
pub struct Output<T: WrappedTypesupport> {
    name: String,
    qos: QosProfile,
    publisher: Option<Publisher<T>>,
}

/// Topic of any type that can be offered and withdrawn.
pub trait Offer {
    /// Makes the publisher.
    ///
    /// # Errors
    /// The middleware refuses the topic.
    fn offer(&mut self, node: &mut Node) -> r2r::Result<()>;
    /// Removes the publisher, with the messages that the middleware keeps for it.
    fn withdraw(&mut self, node: &mut Node);
    /// Whether somebody subscribes now.
    fn has_listeners(&self) -> bool;
}

impl<T: WrappedTypesupport + 'static> Offer for Output<T> {
    fn offer(&mut self, node: &mut Node) -> r2r::Result<()> {
        if self.publisher.is_none() {
            self.publisher = Some(node.create_publisher(&self.name, self.qos.clone())?);
        }
        Ok(())
    }

    fn withdraw(&mut self, node: &mut Node) {
        if let Some(publisher) = self.publisher.take() {
            node.destroy_publisher(publisher);
        }
    }

    fn has_listeners(&self) -> bool {
        let count = |publisher: &Publisher<T>| publisher.get_inter_process_subscription_count();
        self.publisher.as_ref().is_some_and(|publisher| count(publisher).is_ok_and(|n| n > 0))
    }
}

impl<T: WrappedTypesupport + 'static> Output<T> {
    /// Whether somebody subscribes, or may receive the message later from a publisher that keeps it. Nothing is computed for an
    /// unwanted topic.
    pub fn is_wanted(&self) -> bool {
        let is_kept = self.qos.durability == DurabilityPolicy::TransientLocal;
        self.publisher.is_some() && (is_kept || self.has_listeners())
    }

    /// Publishes a message.
    ///
    /// # Errors
    /// The middleware refuses the message, or the topic is not offered.
    pub fn publish(&self, message: &T) -> r2r::Result<()> {
        self.publisher.as_ref().ok_or(r2r::Error::RCL_RET_PUBLISHER_INVALID)?.publish(message)
    }
}

/// Node with all its topics, owned by the thread that spins it.
pub struct Spinner {
    node: Node,
    subscriptions: Subscriptions,
    jobs: Receiver<Job>,
}

/// Work on the node between two spins.
type Job = Box<dyn FnOnce(&mut Spinner) + Send>;

impl Spinner {
    /// Delivers arrived messages, or waits for one, and runs jobs.
    pub fn spin_once(&mut self, timeout: Duration) {
        self.node.spin_once(timeout);
        while let Ok(job) = self.jobs.try_recv() {
            job(self);
        }
        self.subscriptions.follow(&mut self.node);
    }
}

/// Handle by which other threads have work done on the node: rcl allows one thread at a time.
#[derive(Clone)]
pub struct SpinningNode {
    jobs: Sender<Job>,
}

impl SpinningNode {
    /// Subscribes to the inputs of an active node, with the images of one transport.
    ///
    /// # Errors
    /// The middleware refuses a topic.
    pub async fn open(&self, image_transport: ImageTransport) -> Result<(), NodeError> {
        Ok(self.run(move |spinner| spinner.subscriptions.open(&mut spinner.node, image_transport)).await?)
    }

    /// Closes the subscriptions of an active node.
    ///
    /// # Errors
    /// The node has ended.
    pub async fn close(&self) -> Result<(), NodeError> {
        let closed = self.run(|spinner| {
            spinner.subscriptions.close();
            Ok(())
        });
        Ok(closed.await?)
    }

    /// Runs a job on the node between two spins.
    ///
    /// # Errors
    /// The job fails, or the node has ended.
    pub async fn with_node(
        &self,
        job: impl FnOnce(&mut Node) -> r2r::Result<()> + Send + 'static,
    ) -> Result<(), NodeError> {
        Ok(self.run(|spinner| job(&mut spinner.node)).await?)
    }

    async fn run(&self, job: impl FnOnce(&mut Spinner) -> r2r::Result<()> + Send + 'static) -> r2r::Result<()> {
        let (done, outcome) = oneshot::channel();
        let job: Job = Box::new(move |spinner| {
            // Fails only while the node ends: nobody waits for the outcome.
            let _ = done.send(job(spinner));
        });
        let ended = r2r::Error::RCL_RET_NODE_INVALID;
        match self.jobs.send(job) {
            Ok(()) => outcome.await.unwrap_or(Err(ended)),
            Err(_) => Err(ended),
        }
    }
}

fn name_of_camera(camera: &str, name: &str) -> String {
    match name.strip_prefix("~/") {
        // An absolute name belongs to no camera.
        _ if camera.is_empty() || name.starts_with('/') => name.to_owned(),
        Some(name) => format!("~/{camera}/{name}"),
        None => format!("{camera}/{name}"),
    }
}

fn derived(names: &Names, camera: &str, topic: &str, suffix: &str) -> String {
    let own = format!("{topic}{suffix}");
    let full = name_of_camera(camera, &own);
    let remapped = names.resolve(&full) != names.expand(&full);
    if remapped { own } else { format!("{}{suffix}", names.resolve(&name_of_camera(camera, topic))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::ros::names::tests::names;

    #[test]
    fn names_of_a_camera() {
        for (camera, name, full) in [
            ("", "image", "image"),
            ("", "~/mask", "~/mask"),
            ("front", "image", "front/image"),
            ("front", "~/mask", "~/front/mask"),
            ("front", "/tf", "/tf"),
        ] {
            assert_eq!(name_of_camera(camera, name), full);
        }
    }

    #[test]
    fn derived_topics_follow_the_final_name_of_theirs() {
        for (camera, rules, name) in [
            ("", &[][..], "/robot/image/compressed"),
            ("", &["image:=/front/image_raw"], "/front/image_raw/compressed"),
            ("", &["image:=/front/image_raw", "image/compressed:=/jpeg"], "/jpeg"),
            ("front", &[], "/robot/front/image/compressed"),
            ("front", &["front/image:=/a/raw"], "/a/raw/compressed"),
            ("front", &["front/image/compressed:=/jpeg"], "/jpeg"),
        ] {
            let names = names(rules);
            assert_eq!(names.resolve(&name_of_camera(camera, &derived(&names, camera, "image", "/compressed"))), name);
        }
        let names = names(&["~/overlay:=/ui/overlay"]);
        assert_eq!(derived(&names, "", "~/overlay", "_mouse_left"), "/ui/overlay_mouse_left");
    }
}
