//! Subscriptions that take the quality of service of their publishers, and exist only while the node is active. DDS fixes the
//! quality of service when a subscription is made, so that a subscription that no longer fits is replaced.
//!
//! r2r removes a subscription when a message arrives that nobody takes. A closed subscription therefore ends with the next
//! message; a subscription that is opened again before that message goes on.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::qos::Profile;
use crate::node::config::ImageTransport;
use crate::node::lock::lock;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{Stream, StreamExt as _};
use r2r::qos::{DurabilityPolicy, ReliabilityPolicy};
use r2r::{Node, QosProfile, WrappedTypesupport};
use tracing::{debug, info, warn};

/// Stream of the messages of a subscription.
pub type Messages<T> = Box<dyn Stream<Item = T> + Send + Unpin>;

/// Period at which the publishers are examined.
const PERIOD: Duration = Duration::from_millis(100);

type Subscribe = Box<dyn FnMut(&mut Node, QosProfile) -> r2r::Result<()> + Send>;

/// Wanted and actual state of a subscription.
#[derive(Debug, Default)]
struct Gate {
    /// Whether the node wants messages.
    is_open: bool,
    /// Whether r2r has the subscription.
    is_subscribed: bool,
}

/// Time in which a subscription exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    Active,
    /// While the node is active and receives its images by this transport.
    ActiveWith(ImageTransport),
}

/// Whether somebody needs the messages of a subscription.
pub type Demand = Arc<AtomicBool>;

/// Subscription that follows its publishers.
struct Subscription {
    /// Full name.
    topic: String,
    when: When,
    /// Only while this is set; `None`: always.
    demand: Option<Demand>,
    gate: Arc<Mutex<Gate>>,
    profile: Profile,
    current: QosProfile,
    subscribe: Subscribe,
    /// Publishers that were warned about, because they do not offer the requested quality of service.
    warned: HashSet<Vec<u8>>,
}

/// All subscriptions of the node.
#[derive(Default)]
pub struct Subscriptions {
    list: Vec<Subscription>,
    /// Image transport of an active node; `None` while the node is not active.
    active: Option<ImageTransport>,
    /// Time at which the publishers were last examined.
    examined: Option<Instant>,
}

impl Subscriptions {
    /// Adds a subscription under `name`, whose full name is `topic`.
    ///
    /// # Errors
    /// The middleware refuses the topic.
    pub fn add<T>(
        &mut self,
        node: &mut Node,
        name: String,
        topic: String,
        profile: Profile,
        (when, demand): (When, Option<Demand>),
    ) -> r2r::Result<Messages<T>>
    where
        T: WrappedTypesupport + Send + 'static,
    {
        let (sender, newer): (UnboundedSender<Messages<T>>, _) = unbounded();
        let subscribe: Subscribe = Box::new(move |node, qos| {
            let messages = node.subscribe::<T>(&name, qos)?;
            // Fails only while the node ends: the stream was dropped.
            let _ = sender.unbounded_send(Box::new(messages));
            Ok(())
        });
        let current = profile.matched_to(&[]);
        let gate = Arc::new(Mutex::new(Gate { is_open: when == When::Always, is_subscribed: false }));
        let messages = FollowingStream { newer, current: None, replaced: Vec::new(), gate: Arc::clone(&gate) };
        let warned = HashSet::new();
        let mut subscription = Subscription { topic, when, demand, gate, profile, current, subscribe, warned };
        subscription.subscribe_if_open(node)?;
        self.list.push(subscription);
        Ok(Box::new(messages))
    }

    /// Subscribes to the inputs of an active node.
    ///
    /// # Errors
    /// The middleware refuses a topic.
    pub fn open(&mut self, node: &mut Node, image_transport: ImageTransport) -> r2r::Result<()> {
        self.active = Some(image_transport);
        for subscription in self.list.iter_mut().filter(|s| s.is_due(Some(image_transport))) {
            subscription.open(node)?;
        }
        // Publishers may have been discovered in the meantime.
        self.examined = None;
        self.follow(node);
        Ok(())
    }

    /// Closes all subscriptions, except those that always exist.
    pub fn close(&mut self) {
        self.active = None;
        for subscription in self.list.iter().filter(|s| s.when != When::Always) {
            lock(&subscription.gate).is_open = false;
        }
    }

    /// Examines the publishers and the demand, once in each period. Called by the thread that spins the node.
    pub fn follow(&mut self, node: &mut Node) {
        if self.examined.is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        self.examined = Some(Instant::now());
        for subscription in self.list.iter_mut().filter(|s| s.demand.is_some()) {
            let is_open = lock(&subscription.gate).is_open;
            match subscription.is_due(self.active) {
                true if !is_open => {
                    if let Err(e) = subscription.open(node) {
                        warn!("{} cannot be subscribed to: {e}", subscription.topic);
                    }
                }
                false if is_open => lock(&subscription.gate).is_open = false,
                _ => {}
            }
        }
        for subscription in self.list.iter_mut().filter(|s| lock(&s.gate).is_open) {
            if let Err(e) = subscription.follow(node) {
                debug!("publishers of {}: {e}", subscription.topic);
            }
        }
    }
}

impl Subscription {
    /// Whether the messages are wanted now. `active`: image transport of an active node.
    fn is_due(&self, active: Option<ImageTransport>) -> bool {
        let is_time = match self.when {
            When::Always => true,
            When::Active => active.is_some(),
            When::ActiveWith(transport) => active == Some(transport),
        };
        is_time && self.demand.as_ref().is_none_or(|demand| demand.load(Ordering::Relaxed))
    }

    fn open(&mut self, node: &mut Node) -> r2r::Result<()> {
        let was_open = std::mem::replace(&mut lock(&self.gate).is_open, true);
        if !was_open && self.current.durability == DurabilityPolicy::TransientLocal {
            // The publisher sends its last message once to each subscription: a new one is needed.
            lock(&self.gate).is_subscribed = false;
        }
        self.subscribe_if_open(node)
    }

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
            // The current quality of service is kept for the publisher that returns.
            return Ok(());
        }
        let offered: Vec<QosProfile> = publishers.iter().map(|p| p.qos_profile.clone()).collect();
        let matched = self.profile.matched_to(&offered);
        if matched != self.current {
            (self.subscribe)(node, matched.clone())?;
            info!("{}: {}, as its publishers are", self.topic, describe(&matched));
            self.current = matched;
        }
        self.warned.retain(|gid| publishers.iter().any(|p| p.endpoint_gid.as_slice() == gid));
        for publisher in &publishers {
            let Some((policy, offered, requested)) = incompatible(&self.current, &publisher.qos_profile) else {
                continue;
            };
            if self.warned.insert(publisher.endpoint_gid.to_vec()) {
                let (topic, node) = (&self.topic, &publisher.node_name);
                warn!(
                    "nothing is received from '{node}' on {topic}: its {policy} is {offered}, this node requests {requested}; \
                     set qos_overrides.{topic}.subscription.{policy} to {offered}"
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

/// Returns the first policy for which a publisher offers less than the subscription requests: the name of the policy, the
/// offered value and the requested value.
fn incompatible(requested: &QosProfile, offered: &QosProfile) -> Option<(&'static str, &'static str, &'static str)> {
    if requested.reliability == ReliabilityPolicy::Reliable && offered.reliability == ReliabilityPolicy::BestEffort {
        return Some(("reliability", "best_effort", "reliable"));
    }
    if requested.durability == DurabilityPolicy::TransientLocal && offered.durability == DurabilityPolicy::Volatile {
        return Some(("durability", "volatile", "transient_local"));
    }
    None
}

/// Stream of the messages of a subscription and of its replacements. A replaced subscription is read until the newest has its
/// first message, so that no message is lost between them. A message may arrive by both, which does no harm to an image or a
/// detection.
struct FollowingStream<T> {
    newer: UnboundedReceiver<Messages<T>>,
    current: Option<Messages<T>>,
    replaced: Vec<Messages<T>>,
    gate: Arc<Mutex<Gate>>,
}

impl<T> FollowingStream<T> {
    /// Returns a message of an open subscription. Ends a closed one.
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

impl<T> Stream for FollowingStream<T> {
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

    fn following() -> (UnboundedSender<Messages<u32>>, FollowingStream<u32>) {
        let (sender, newer) = unbounded();
        let gate = Arc::new(Mutex::new(Gate { is_open: true, is_subscribed: true }));
        (sender, FollowingStream { newer, current: None, replaced: Vec::new(), gate })
    }

    fn next(following: &mut FollowingStream<u32>) -> u32 {
        block_on(following.next()).unwrap()
    }

    #[test]
    fn the_old_subscription_is_read_until_the_new_one_has_a_message() {
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
        assert!(lock(&following.gate).is_subscribed, "no message has come: the subscription still exists");
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
    fn an_incompatible_policy_is_named() {
        let reliable = QosProfile::default();
        assert_eq!(incompatible(&reliable, &reliable), None);
        let policy =
            |requested: &QosProfile, offered: &QosProfile| incompatible(requested, offered).map(|(policy, ..)| policy);
        assert_eq!(policy(&reliable, &QosProfile::sensor_data()), Some("reliability"));
        assert_eq!(policy(&QosProfile::sensor_data(), &reliable), None);
        assert_eq!(policy(&QosProfile::default().transient_local(), &reliable), Some("durability"));
    }
}
