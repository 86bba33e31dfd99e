//! Subscriptions that take the quality of service of their publishers, and are only there while the node is active. DDS
//! fixes the quality of service when a subscription is made, so one that no longer fits is replaced.
//!
//! r2r lets go of a subscription only with a message that nobody takes. One that is closed therefore ends with the first
//! message that comes after that; when it is opened again before that, it is still there and goes on.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::qos::Profile;
use crate::node::lock::lock;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{Stream, StreamExt as _};
use r2r::qos::{DurabilityPolicy, ReliabilityPolicy};
use r2r::{Node, QosProfile, WrappedTypesupport};
use tracing::{debug, info, warn};

/// Messages of a subscription as they come.
pub type Messages<T> = Box<dyn Stream<Item = T> + Send + Unpin>;

/// How often the publishers are looked at.
const PERIOD: Duration = Duration::from_millis(100);

type Subscribe = Box<dyn FnMut(&mut Node, QosProfile) -> r2r::Result<()> + Send>;

/// Whether a subscription is to be there, and whether it is.
#[derive(Debug, Default)]
struct Gate {
    is_open: bool,
    is_subscribed: bool,
}

/// When a subscription is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    Active,
    /// While the node is active, and takes its images by this transport.
    ActiveWith(&'static str),
}

/// A subscription whose publishers are watched.
struct Watched {
    /// Full name.
    topic: String,
    when: When,
    gate: Arc<Mutex<Gate>>,
    profile: Profile,
    current: QosProfile,
    subscribe: Subscribe,
    /// Publishers that do not offer what this node asks for, and were said.
    said: HashSet<Vec<u8>>,
}

/// All subscriptions of the node.
#[derive(Default)]
pub struct Subscriptions {
    watched: Vec<Watched>,
    looked: Option<Instant>,
}

impl Subscriptions {
    /// A subscription under `name`, whose full name is `topic`.
    ///
    /// # Errors
    /// The middleware refuses the topic.
    pub fn add<T>(
        &mut self,
        node: &mut Node,
        name: String,
        topic: String,
        profile: Profile,
        when: When,
    ) -> r2r::Result<Messages<T>>
    where
        T: WrappedTypesupport + Send + 'static,
    {
        let (sender, newer): (UnboundedSender<Messages<T>>, _) = unbounded();
        let subscribe: Subscribe = Box::new(move |node, qos| {
            let messages = node.subscribe::<T>(&name, qos)?;
            // Nobody listens any more: only while the node goes away.
            let _ = sender.unbounded_send(Box::new(messages));
            Ok(())
        });
        let current = profile.matched_to(&[]);
        let gate = Arc::new(Mutex::new(Gate { is_open: when == When::Always, is_subscribed: false }));
        let following = Following { newer, current: None, replaced: Vec::new(), gate: Arc::clone(&gate) };
        let mut watched = Watched { topic, when, gate, profile, current, subscribe, said: HashSet::new() };
        watched.subscribe_if_open(node)?;
        self.watched.push(watched);
        Ok(Box::new(following))
    }

    /// Subscribes to what an active node listens to.
    ///
    /// # Errors
    /// The middleware refuses a topic.
    pub fn open(&mut self, node: &mut Node, image_transport: &str) -> r2r::Result<()> {
        for subscription in &mut self.watched {
            if [When::Always, When::Active].contains(&subscription.when)
                || matches!(subscription.when, When::ActiveWith(transport) if transport == image_transport)
            {
                let was_open = std::mem::replace(&mut lock(&subscription.gate).is_open, true);
                if !was_open && subscription.current.durability == DurabilityPolicy::TransientLocal {
                    // What the old one has had, which was published once, comes only to a new one.
                    lock(&subscription.gate).is_subscribed = false;
                }
                subscription.subscribe_if_open(node)?;
            }
        }
        // What the publishers are is known by now.
        self.looked = None;
        self.follow(node);
        Ok(())
    }

    /// Listens no more, but to what is always listened to.
    pub fn close(&mut self) {
        for subscription in self.watched.iter().filter(|s| s.when != When::Always) {
            lock(&subscription.gate).is_open = false;
        }
    }

    /// Looks at the publishers, now and then: to be called by the thread that spins the node.
    pub fn follow(&mut self, node: &mut Node) {
        if self.looked.is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        self.looked = Some(Instant::now());
        for subscription in self.watched.iter_mut().filter(|s| lock(&s.gate).is_open) {
            if let Err(e) = subscription.follow(node) {
                debug!("publishers of {}: {e}", subscription.topic);
            }
        }
    }
}

impl Watched {
    fn subscribe_if_open(&mut self, node: &mut Node) -> r2r::Result<()> {
        let mut gate = lock(&self.gate);
        if gate.is_open && !gate.is_subscribed {
            (self.subscribe)(node, self.current.clone())?;
            debug!("{}: subscribed, {}, depth {}", self.topic, describe(&self.current), self.current.depth);
            gate.is_subscribed = true;
        }
        Ok(())
    }

    fn follow(&mut self, node: &mut Node) -> r2r::Result<()> {
        let publishers = node.get_publishers_info_by_topic(&self.topic, false)?;
        if publishers.is_empty() {
            // What is there fits the camera that comes back.
            return Ok(());
        }
        let offered: Vec<QosProfile> = publishers.iter().map(|p| p.qos_profile.clone()).collect();
        let wanted = self.profile.matched_to(&offered);
        if wanted != self.current {
            (self.subscribe)(node, wanted.clone())?;
            info!("{}: {}, as its publishers are", self.topic, describe(&wanted));
            self.current = wanted;
        }
        self.said.retain(|gid| publishers.iter().any(|p| p.endpoint_gid.as_slice() == gid));
        for publisher in &publishers {
            let Some((policy, offers, asks)) = incompatible(&self.current, &publisher.qos_profile) else { continue };
            if self.said.insert(publisher.endpoint_gid.to_vec()) {
                let (topic, node) = (&self.topic, &publisher.node_name);
                warn!(
                    "nothing is received from '{node}' on {topic}: its {policy} is {offers}, this node asks for {asks}; \
                     set qos_overrides.{topic}.subscription.{policy} to {offers}"
                );
            }
        }
        Ok(())
    }
}

fn describe(qos: &QosProfile) -> String {
    let reliable = if qos.reliability == ReliabilityPolicy::Reliable { "reliable" } else { "best effort" };
    let durable = if qos.durability == DurabilityPolicy::TransientLocal { "transient local" } else { "volatile" };
    format!("{reliable} and {durable}")
}

/// The policy in which a publisher offers less than is asked for: its name, what is offered, what is asked for.
fn incompatible(asked: &QosProfile, offered: &QosProfile) -> Option<(&'static str, &'static str, &'static str)> {
    if asked.reliability == ReliabilityPolicy::Reliable && offered.reliability == ReliabilityPolicy::BestEffort {
        return Some(("reliability", "best_effort", "reliable"));
    }
    if asked.durability == DurabilityPolicy::TransientLocal && offered.durability == DurabilityPolicy::Volatile {
        return Some(("durability", "volatile", "transient_local"));
    }
    None
}

/// The messages of a subscription and of those that replace it. An old one is listened to until the newest has its first
/// message, so that none falls between the two; one may come by both, which does no harm to an image or a detection.
struct Following<T> {
    newer: UnboundedReceiver<Messages<T>>,
    current: Option<Messages<T>>,
    replaced: Vec<Messages<T>>,
    gate: Arc<Mutex<Gate>>,
}

impl<T> Following<T> {
    /// A message that is not dropped: the subscription is open. Otherwise it ends here.
    fn pass(&mut self, message: Option<T>) -> Poll<Option<T>> {
        let mut gate = lock(&self.gate);
        if gate.is_open {
            return Poll::Ready(message);
        }
        gate.is_subscribed = false;
        self.current = None;
        self.replaced.clear();
        Poll::Pending
    }
}

impl<T> Stream for Following<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        while let Poll::Ready(Some(newest)) = this.newer.poll_next_unpin(context) {
            this.replaced.extend(this.current.replace(newest));
        }
        for old in &mut this.replaced {
            if let Poll::Ready(Some(message)) = old.poll_next_unpin(context) {
                return this.pass(Some(message));
            }
        }
        let Some(current) = &mut this.current else { return Poll::Pending };
        let message = ready!(current.poll_next_unpin(context));
        this.replaced.clear();
        this.pass(message)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::channel::mpsc::channel;
    use futures::executor::block_on;

    use super::*;

    type Sent = futures::channel::mpsc::Sender<u32>;

    fn subscription(subscriptions: &UnboundedSender<Messages<u32>>) -> Sent {
        let (sender, messages) = channel(10);
        subscriptions.unbounded_send(Box::new(messages)).unwrap();
        sender
    }

    fn following() -> (UnboundedSender<Messages<u32>>, Following<u32>) {
        let (sender, newer) = unbounded();
        let gate = Arc::new(Mutex::new(Gate { is_open: true, is_subscribed: true }));
        (sender, Following { newer, current: None, replaced: Vec::new(), gate })
    }

    fn next(following: &mut Following<u32>) -> u32 {
        block_on(following.next()).unwrap()
    }

    #[test]
    fn the_old_subscription_is_heard_until_the_new_one_speaks() {
        let (subscriptions, mut following) = following();
        let mut first = subscription(&subscriptions);
        first.try_send(1).unwrap();
        assert_eq!(next(&mut following), 1);
        let mut second = subscription(&subscriptions);
        first.try_send(2).unwrap();
        assert_eq!(next(&mut following), 2);
        second.try_send(3).unwrap();
        assert_eq!(next(&mut following), 3);
        assert!(first.try_send(4).is_err(), "the old subscription is let go");
    }

    #[test]
    fn a_closed_subscription_ends_with_its_next_message() {
        let (subscriptions, mut following) = following();
        let mut first = subscription(&subscriptions);
        lock(&following.gate).is_open = false;
        assert_eq!(following.next().now_or_never(), None);
        assert!(lock(&following.gate).is_subscribed, "nothing has come: it is still there");
        first.try_send(1).unwrap();
        assert_eq!(following.next().now_or_never(), None);
        assert!(!lock(&following.gate).is_subscribed);
        assert!(first.try_send(2).is_err(), "the subscription is let go");

        lock(&following.gate).is_open = true;
        let mut second = subscription(&subscriptions);
        second.try_send(3).unwrap();
        assert_eq!(next(&mut following), 3, "what came while it was closed is gone");
    }

    #[test]
    fn the_policy_that_does_not_fit_is_named() {
        let reliable = QosProfile::default();
        assert_eq!(incompatible(&reliable, &reliable), None);
        let policy = |asked: &QosProfile, offered: &QosProfile| incompatible(asked, offered).map(|(policy, ..)| policy);
        assert_eq!(policy(&reliable, &QosProfile::sensor_data()), Some("reliability"));
        assert_eq!(policy(&QosProfile::sensor_data(), &reliable), None);
        assert_eq!(policy(&QosProfile::default().transient_local(), &reliable), Some("durability"));
    }
}
