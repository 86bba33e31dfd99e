//! Interfaces of a managed node: five services and `~/transition_event`, as rclcpp_lifecycle has them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use r2r::lifecycle_msgs::msg::{
    State as StateMsg, Transition as TransitionMsg, TransitionDescription, TransitionEvent,
};
use r2r::lifecycle_msgs::srv::{ChangeState, GetAvailableStates, GetAvailableTransitions, GetState};
use tracing::{error, info, warn};

use super::machine::{Machine, Outcome, RequestError, State, TRANSITIONS, Transition};
use crate::node::error::NodeError;
use crate::node::lock::lock;
use crate::node::ros::qos;
use crate::node::ros::topics::{Requests, Topics};
use crate::node::services::serve::{respond, serve};

/// Work of a transition.
pub type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Starts the work of a transition state (first argument) that began in a primary state (second argument). One transition is
/// under way at a time.
pub type OnTransition = Box<dyn Fn(State, State) -> Work + Send + Sync>;

/// Called with each transition, in order.
type Announce = Box<dyn Fn(&Transition) + Send + Sync>;

/// Lifecycle of the node.
pub struct Lifecycle {
    node: String,
    machine: Mutex<Machine>,
    on_transition: OnTransition,
    announce: Announce,
}

impl Lifecycle {
    fn new(node: &str, on_transition: OnTransition, announce: Announce) -> Self {
        Lifecycle { node: node.to_owned(), machine: Mutex::default(), on_transition, announce }
    }

    /// Makes the services and the topic.
    ///
    /// # Errors
    /// The middleware refuses one of them.
    pub fn start(topics: &mut Topics, node: &str, on_transition: OnTransition) -> Result<Arc<Self>, NodeError> {
        // A publisher moves between threads, but cannot be shared without a lock.
        let events = Mutex::new(topics.publisher("~/transition_event", qos::OUTPUTS)?);
        let announce = Box::new(move |transition: &Transition| {
            let published = lock(&events).publish(&event(transition));
            if let Err(e) = published {
                warn!("~/transition_event could not be published: {e}");
            }
        });
        let lifecycle = Arc::new(Self::new(node, on_transition, announce));

        let mut requests: Requests<ChangeState::Service> = topics.service("~/change_state")?;
        let l = Arc::clone(&lifecycle);
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let lifecycle = Arc::clone(&l);
                // A task for each request: loading a model takes long, and later requests are answered meanwhile.
                tokio::spawn(async move {
                    let TransitionMsg { id, label } = &request.message.transition;
                    let success = lifecycle.change(*id, label).await;
                    respond(request, ChangeState::Response { success });
                });
            }
        });
        let l = Arc::clone(&lifecycle);
        serve::<GetState::Service, _>(topics.service("~/get_state")?, move |_| GetState::Response {
            current_state: state(l.state()),
        });
        serve::<GetAvailableStates::Service, _>(topics.service("~/get_available_states")?, move |_| {
            GetAvailableStates::Response { available_states: State::ALL.map(state).into() }
        });
        let l = Arc::clone(&lifecycle);
        serve::<GetAvailableTransitions::Service, _>(topics.service("~/get_available_transitions")?, move |_| {
            GetAvailableTransitions::Response { available_transitions: l.state().transitions().map(describe).collect() }
        });
        serve::<GetAvailableTransitions::Service, _>(topics.service("~/get_transition_graph")?, move |_| {
            GetAvailableTransitions::Response { available_transitions: TRANSITIONS.iter().map(describe).collect() }
        });
        Ok(lifecycle)
    }

    pub fn state(&self) -> State {
        self.lock().state()
    }

    /// Runs a transition, with error processing if it goes wrong. Returns whether it succeeded.
    pub async fn change(&self, id: u8, label: &str) -> bool {
        let node = &self.node;
        let (from, during) = match self.begin(id, label) {
            Ok(transition) => (transition.start, transition.goal),
            Err(error) => {
                warn!("{node}: {error}");
                return false;
            }
        };
        let outcome = self.work(during, from).await;
        if self.end(outcome) == State::ErrorProcessing {
            warn!("{node}: error on the way from '{from}': cleaning up");
            let outcome = self.work(State::ErrorProcessing, from).await;
            self.end(outcome);
        }
        info!("{node}: {}", self.state());
        outcome == Outcome::Success
    }

    fn begin(&self, id: u8, label: &str) -> Result<&'static Transition, RequestError> {
        let mut machine = self.lock();
        machine.request(id, label).inspect(|transition| (self.announce)(transition))
    }

    /// Ends the transition under way, and returns the state after it.
    fn end(&self, outcome: Outcome) -> State {
        let mut machine = self.lock();
        if let Some(transition) = machine.finish(outcome) {
            (self.announce)(transition);
        }
        machine.state()
    }

    /// Does the work of a transition. A panic counts as an error.
    async fn work(&self, during: State, from: State) -> Outcome {
        tokio::spawn((self.on_transition)(during, from)).await.unwrap_or_else(|e| {
            error!("{}: {during} panicked: {e}", self.node);
            Outcome::Error
        })
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        lock(&self.machine)
    }
}

fn event(transition: &Transition) -> TransitionEvent {
    TransitionEvent {
        timestamp: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64),
        transition: message(transition),
        start_state: state(transition.start),
        goal_state: state(transition.goal),
    }
}

fn state(state: State) -> StateMsg {
    StateMsg { id: state.id(), label: state.label().to_owned() }
}

fn message(transition: &Transition) -> TransitionMsg {
    TransitionMsg { id: transition.id, label: transition.label.to_owned() }
}

fn describe(transition: &Transition) -> TransitionDescription {
    TransitionDescription {
        transition: message(transition),
        start_state: state(transition.start),
        goal_state: state(transition.goal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a lifecycle whose work in a transition state ends with `outcome`, and the states that it announces.
    fn lifecycle(outcome: fn(State) -> Outcome) -> (Arc<Lifecycle>, Arc<Mutex<Vec<State>>>) {
        let announced: Arc<Mutex<Vec<State>>> = Arc::default();
        let h = Arc::clone(&announced);
        let announce = Box::new(move |t: &Transition| h.lock().unwrap().push(t.goal));
        let on_transition: OnTransition = Box::new(move |during, _| Box::pin(async move { outcome(during) }));
        (Arc::new(Lifecycle::new("test", on_transition, announce)), announced)
    }

    #[tokio::test]
    async fn a_panic_is_processed_and_the_node_can_be_configured_again() {
        let (lifecycle, announced) = lifecycle(|during| match during {
            State::Activating => panic!("on purpose"),
            _ => Outcome::Success,
        });
        assert!(lifecycle.change(0, "configure").await);
        assert!(!lifecycle.change(0, "activate").await);
        let way = [State::Configuring, State::Inactive, State::Activating, State::ErrorProcessing, State::Unconfigured];
        assert_eq!(*announced.lock().unwrap(), way);
        assert!(lifecycle.change(1, "").await, "it can be configured again");
    }

    #[tokio::test]
    async fn an_error_that_cannot_be_processed_is_the_end() {
        let (lifecycle, _) = lifecycle(|_| Outcome::Error);
        assert!(!lifecycle.change(1, "").await);
        assert_eq!(lifecycle.state(), State::Finalized);
    }

    #[tokio::test]
    async fn a_failure_leaves_the_node_as_it_was() {
        let (lifecycle, announced) = lifecycle(|_| Outcome::Failure);
        assert!(!lifecycle.change(1, "").await);
        assert_eq!(*announced.lock().unwrap(), [State::Configuring, State::Unconfigured]);
    }

    #[tokio::test]
    async fn one_transition_at_a_time() {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let g = Arc::clone(&gate);
        let on_transition: OnTransition = Box::new(move |_, _| {
            let gate = Arc::clone(&g);
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                Outcome::Success
            })
        });
        let lifecycle = Arc::new(Lifecycle::new("test", on_transition, Box::new(|_| {})));
        let l = Arc::clone(&lifecycle);
        let configuring = tokio::spawn(async move { l.change(1, "").await });
        while lifecycle.state() != State::Configuring {
            tokio::task::yield_now().await;
        }
        assert!(!lifecycle.change(1, "").await && !lifecycle.change(5, "").await);
        gate.add_permits(1);
        assert!(configuring.await.unwrap());
        assert_eq!(lifecycle.state(), State::Inactive);
    }
}
