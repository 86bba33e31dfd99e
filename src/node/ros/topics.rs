//! Makes topics and services: under the names of their camera, with the quality of service in force.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::names::Names;
use super::qos::{Overrides, Profile, Side};
use super::subscriptions::{Messages, Subscriptions, When};
use crate::node::config::values::Declared;
use crate::node::error::NodeError;
use futures::Stream;
use r2r::qos::DurabilityPolicy;
use r2r::{Node, Publisher, QosProfile, ServiceRequest, WrappedServiceTypeSupport, WrappedTypesupport};
use tokio::sync::oneshot;

/// Requests of a service's clients.
pub type Requests<T> = Box<dyn Stream<Item = ServiceRequest<T>> + Send + Unpin>;

/// The node while its topics are made.
pub struct Topics {
    node: Node,
    names: Names,
    overrides: Overrides,
    subscriptions: Subscriptions,
    camera: String,
    jobs: (Sender<Job>, Receiver<Job>),
}

impl Topics {
    pub fn new(node: Node, names: Names, overrides: Overrides) -> Self {
        let (subscriptions, camera) = Default::default();
        Topics { node, names, overrides, subscriptions, camera, jobs: channel() }
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

    /// The name of a topic that others derive from another one's: `/compressed` of image_transport, `_mouse_left` of
    /// rqt_image_view. It is the final name of that one with `suffix` behind it, unless it is remapped itself.
    pub fn derived(&self, topic: &str, suffix: &str) -> String {
        derived(&self.names, &self.camera, topic, suffix)
    }

    /// Messages that come while the node is active.
    ///
    /// # Errors
    /// The middleware refuses the topic; an override of its profile is wrong.
    pub fn subscribe<T>(&mut self, topic: &str, profile: Profile) -> Result<Messages<T>, NodeError>
    where
        T: WrappedTypesupport + Send + 'static,
    {
        self.subscribe_when(When::Active, topic, profile)
    }

    /// # Errors
    /// The middleware refuses the topic; an override of its profile is wrong.
    pub fn subscribe_when<T>(&mut self, when: When, topic: &str, profile: Profile) -> Result<Messages<T>, NodeError>
    where
        T: WrappedTypesupport + Send + 'static,
    {
        let (name, full) = (of_camera(&self.camera, topic), self.resolve(topic));
        let profile = self.overrides.apply(&full, Side::Subscription, profile)?;
        Ok(self.subscriptions.add(&mut self.node, name, full, profile, when)?)
    }

    /// # Errors
    /// The middleware refuses the topic; an override of its profile is wrong.
    pub fn publisher<T>(&mut self, topic: &str, profile: Profile) -> Result<Output<T>, NodeError>
    where
        T: WrappedTypesupport + 'static,
    {
        let mut output = self.output(topic, profile)?;
        output.offer(&mut self.node)?;
        Ok(output)
    }

    /// A topic that is not offered yet.
    ///
    /// # Errors
    /// An override of its profile is wrong.
    pub fn output<T: WrappedTypesupport>(&mut self, topic: &str, profile: Profile) -> Result<Output<T>, NodeError> {
        let Profile { qos, .. } = self.overrides.apply(&self.resolve(topic), Side::Publisher, profile)?;
        Ok(Output { name: of_camera(&self.camera, topic), qos, publisher: None })
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

    /// What can be asked of the node once it is spun.
    pub fn spinning(&self) -> SpinningNode {
        SpinningNode { jobs: self.jobs.0.clone() }
    }

    /// The node with all its topics, to be spun by one thread.
    pub fn finish(self) -> Spinner {
        if let Some(others) = self.overrides.of_others() {
            tracing::info!("parameters: {others}");
        }
        Spinner { node: self.node, subscriptions: self.subscriptions, jobs: self.jobs.1 }
    }
}

/// A topic that the node publishes while it is offered.
pub struct Output<T: WrappedTypesupport> {
    name: String,
    qos: QosProfile,
    publisher: Option<Publisher<T>>,
}

/// Whatever its type.
pub trait Offer {
    /// # Errors
    /// The middleware refuses the topic.
    fn offer(&mut self, node: &mut Node) -> r2r::Result<()>;
    /// Takes it back, with the messages that the middleware keeps for it.
    fn withdraw(&mut self, node: &mut Node);
    /// Whether somebody subscribes to it now.
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
    /// Whether somebody subscribes; or may do so later, when the last message is kept for them. Nothing is computed for
    /// a topic that nobody wants.
    pub fn is_wanted(&self) -> bool {
        let is_kept = self.qos.durability == DurabilityPolicy::TransientLocal;
        self.publisher.is_some() && (is_kept || self.has_listeners())
    }

    /// # Errors
    /// The middleware does not take it, or the topic is not offered.
    pub fn publish(&self, message: &T) -> r2r::Result<()> {
        self.publisher.as_ref().ok_or(r2r::Error::RCL_RET_PUBLISHER_INVALID)?.publish(message)
    }
}

/// The node at work.
pub struct Spinner {
    node: Node,
    subscriptions: Subscriptions,
    jobs: Receiver<Job>,
}

type Job = Box<dyn FnOnce(&mut Spinner) + Send>;

impl Spinner {
    /// Hands on what has come, or waits for it.
    pub fn spin_once(&mut self, timeout: Duration) {
        self.node.spin_once(timeout);
        while let Ok(job) = self.jobs.try_recv() {
            job(self);
        }
        self.subscriptions.follow(&mut self.node);
    }
}

/// What the thread that spins the node does for the others: rcl takes no two of them at a time.
#[derive(Clone)]
pub struct SpinningNode {
    jobs: Sender<Job>,
}

impl SpinningNode {
    /// Listens to the inputs, to images by that transport.
    ///
    /// # Errors
    /// The middleware refuses a topic.
    pub async fn open(&self, image_transport: &str) -> Result<(), NodeError> {
        let transport = image_transport.to_owned();
        Ok(self.run(move |spinner| spinner.subscriptions.open(&mut spinner.node, &transport)).await?)
    }

    /// Listens no more.
    ///
    /// # Errors
    /// The node is gone.
    pub async fn close(&self) -> Result<(), NodeError> {
        let closed = self.run(|spinner| {
            spinner.subscriptions.close();
            Ok(())
        });
        Ok(closed.await?)
    }

    /// Has something done with the node between two spins.
    ///
    /// # Errors
    /// What the job says; the node is gone.
    pub async fn with_node(
        &self,
        job: impl FnOnce(&mut Node) -> r2r::Result<()> + Send + 'static,
    ) -> Result<(), NodeError> {
        Ok(self.run(|spinner| job(&mut spinner.node)).await?)
    }

    async fn run(&self, job: impl FnOnce(&mut Spinner) -> r2r::Result<()> + Send + 'static) -> r2r::Result<()> {
        let (done, outcome) = oneshot::channel();
        let job: Job = Box::new(move |spinner| {
            // Nobody waits for it any more: only while the node goes away.
            let _ = done.send(job(spinner));
        });
        let gone = r2r::Error::RCL_RET_NODE_INVALID;
        match self.jobs.send(job) {
            Ok(()) => outcome.await.unwrap_or(Err(gone)),
            Err(_) => Err(gone),
        }
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

fn derived(names: &Names, camera: &str, topic: &str, suffix: &str) -> String {
    let own = format!("{topic}{suffix}");
    let full = of_camera(camera, &own);
    let remapped = names.resolve(&full) != names.expand(&full);
    if remapped { own } else { format!("{}{suffix}", names.resolve(&of_camera(camera, topic))) }
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
            assert_eq!(of_camera(camera, name), full);
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
            assert_eq!(names.resolve(&of_camera(camera, &derived(&names, camera, "image", "/compressed"))), name);
        }
        let names = names(&["~/overlay:=/ui/overlay"]);
        assert_eq!(derived(&names, "", "~/overlay", "_mouse_left"), "/ui/overlay_mouse_left");
    }
}
