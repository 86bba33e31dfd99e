//! State machine of a managed node, without ROS: states and transitions of rcl_lifecycle's default state machine,
//! with its ids and labels (https://design.ros2.org/articles/node_lifecycle.html).

use std::fmt;

/// Primary states (ids below 10), and transition states, which last while a transition is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Unknown = 0,
    Unconfigured = 1,
    Inactive = 2,
    Active = 3,
    Finalized = 4,
    Configuring = 10,
    CleaningUp = 11,
    ShuttingDown = 12,
    Activating = 13,
    Deactivating = 14,
    ErrorProcessing = 15,
}

use State::{
    Activating, Active, CleaningUp, Configuring, Deactivating, ErrorProcessing, Finalized, Inactive, ShuttingDown,
    Unconfigured, Unknown,
};

impl State {
    /// All states, in the order of rcl_lifecycle.
    pub const ALL: [State; 11] = [
        Unknown,
        Unconfigured,
        Inactive,
        Active,
        Finalized,
        Configuring,
        CleaningUp,
        ShuttingDown,
        Activating,
        Deactivating,
        ErrorProcessing,
    ];

    pub fn id(self) -> u8 {
        self as u8
    }

    pub fn label(self) -> &'static str {
        match self {
            Unknown => "unknown",
            Unconfigured => "unconfigured",
            Inactive => "inactive",
            Active => "active",
            Finalized => "finalized",
            Configuring => "configuring",
            CleaningUp => "cleaningup",
            ShuttingDown => "shuttingdown",
            Activating => "activating",
            Deactivating => "deactivating",
            ErrorProcessing => "errorprocessing",
        }
    }

    /// Whether no transition is under way.
    pub fn is_primary(self) -> bool {
        self.id() < Configuring.id()
    }

    /// Transitions that start in this state.
    pub fn transitions(self) -> impl Iterator<Item = &'static Transition> {
        TRANSITIONS.iter().filter(move |t| t.start == self)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Edge of the graph of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    pub id: u8,
    pub label: &'static str,
    pub start: State,
    pub goal: State,
}

const fn edge(id: u8, label: &'static str, start: State, goal: State) -> Transition {
    Transition { id, label, start, goal }
}

const SUCCESS: &str = "transition_success";
const FAILURE: &str = "transition_failure";
const ERROR: &str = "transition_error";

/// All transitions, in the order of rcl_lifecycle.
pub const TRANSITIONS: [Transition; 25] = [
    edge(1, "configure", Unconfigured, Configuring),
    edge(10, SUCCESS, Configuring, Inactive),
    edge(11, FAILURE, Configuring, Unconfigured),
    edge(12, ERROR, Configuring, ErrorProcessing),
    edge(2, "cleanup", Inactive, CleaningUp),
    edge(20, SUCCESS, CleaningUp, Unconfigured),
    edge(21, FAILURE, CleaningUp, Inactive),
    edge(22, ERROR, CleaningUp, ErrorProcessing),
    edge(3, "activate", Inactive, Activating),
    edge(30, SUCCESS, Activating, Active),
    edge(31, FAILURE, Activating, Inactive),
    edge(32, ERROR, Activating, ErrorProcessing),
    edge(4, "deactivate", Active, Deactivating),
    edge(40, SUCCESS, Deactivating, Inactive),
    edge(41, FAILURE, Deactivating, Active),
    edge(42, ERROR, Deactivating, ErrorProcessing),
    edge(5, "shutdown", Unconfigured, ShuttingDown),
    edge(6, "shutdown", Inactive, ShuttingDown),
    edge(7, "shutdown", Active, ShuttingDown),
    edge(50, SUCCESS, ShuttingDown, Finalized),
    edge(51, FAILURE, ShuttingDown, Finalized),
    edge(52, ERROR, ShuttingDown, ErrorProcessing),
    edge(60, SUCCESS, ErrorProcessing, Unconfigured),
    edge(61, FAILURE, ErrorProcessing, Finalized),
    edge(62, ERROR, ErrorProcessing, Finalized),
];

/// Outcome of the work of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// Nothing was changed: the node returns to the state before.
    Failure,
    /// The work was interrupted half way: error processing cleans up.
    Error,
}

/// Reason that a requested transition does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("'{requested}' is no transition from '{from}'; from there go: {possible}")]
    NoTransition { requested: String, from: State, possible: String },
    #[error("'{requested}' must wait: the node is {during}")]
    UnderWay { requested: String, during: State },
}

/// Current state of the node.
#[derive(Debug)]
pub struct Machine {
    state: State,
}

impl Default for Machine {
    fn default() -> Self {
        Machine { state: Unconfigured }
    }
}

impl Machine {
    pub fn state(&self) -> State {
        self.state
    }

    /// Starts a transition. As in rclcpp, a label takes precedence over the id, which ROS tools leave at 0 beside a label.
    /// The edges that end a transition cannot be requested.
    ///
    /// # Errors
    /// The state has no such transition, or a transition is under way.
    pub fn request(&mut self, id: u8, label: &str) -> Result<&'static Transition, RequestError> {
        let from = self.state;
        let requested = || {
            let known = TRANSITIONS.iter().find(|t| t.id == id);
            match (label, known) {
                ("", Some(t)) => format!("{} ({id})", t.label),
                ("", None) => id.to_string(),
                (label, _) => label.to_owned(),
            }
        };
        if !from.is_primary() {
            return Err(RequestError::UnderWay { requested: requested(), during: from });
        }
        let wanted = |t: &&Transition| if label.is_empty() { t.id == id } else { t.label == label };
        let Some(transition) = from.transitions().find(wanted) else {
            let mut possible: Vec<&str> = from.transitions().map(|t| t.label).collect();
            if possible.is_empty() {
                possible.push("none");
            }
            return Err(RequestError::NoTransition { requested: requested(), from, possible: possible.join(", ") });
        };
        self.state = transition.goal;
        Ok(transition)
    }

    /// Ends the transition that is under way. Returns `None` if no transition is.
    pub fn finish(&mut self, outcome: Outcome) -> Option<&'static Transition> {
        let label = match outcome {
            Outcome::Success => SUCCESS,
            Outcome::Failure => FAILURE,
            Outcome::Error => ERROR,
        };
        let transition = self.state.transitions().find(|t| t.label == label)?;
        self.state = transition.goal;
        Some(transition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(state: State) -> Machine {
        Machine { state }
    }

    #[test]
    fn ids_are_those_of_lifecycle_msgs() {
        use r2r::lifecycle_msgs::msg::{State as S, Transition as T};
        let states = [
            (Unknown, S::PRIMARY_STATE_UNKNOWN as u8),
            (Unconfigured, S::PRIMARY_STATE_UNCONFIGURED as u8),
            (Inactive, S::PRIMARY_STATE_INACTIVE as u8),
            (Active, S::PRIMARY_STATE_ACTIVE as u8),
            (Finalized, S::PRIMARY_STATE_FINALIZED as u8),
            (Configuring, S::TRANSITION_STATE_CONFIGURING as u8),
            (CleaningUp, S::TRANSITION_STATE_CLEANINGUP as u8),
            (ShuttingDown, S::TRANSITION_STATE_SHUTTINGDOWN as u8),
            (Activating, S::TRANSITION_STATE_ACTIVATING as u8),
            (Deactivating, S::TRANSITION_STATE_DEACTIVATING as u8),
            (ErrorProcessing, S::TRANSITION_STATE_ERRORPROCESSING as u8),
        ];
        assert_eq!(states.map(|(state, _)| state), State::ALL);
        assert!(states.iter().all(|(state, id)| state.id() == *id));
        let ids = [
            T::TRANSITION_CONFIGURE as u8,
            T::TRANSITION_ON_CONFIGURE_SUCCESS as u8,
            T::TRANSITION_ON_CONFIGURE_FAILURE as u8,
            T::TRANSITION_ON_CONFIGURE_ERROR as u8,
            T::TRANSITION_CLEANUP as u8,
            T::TRANSITION_ON_CLEANUP_SUCCESS as u8,
            T::TRANSITION_ON_CLEANUP_FAILURE as u8,
            T::TRANSITION_ON_CLEANUP_ERROR as u8,
            T::TRANSITION_ACTIVATE as u8,
            T::TRANSITION_ON_ACTIVATE_SUCCESS as u8,
            T::TRANSITION_ON_ACTIVATE_FAILURE as u8,
            T::TRANSITION_ON_ACTIVATE_ERROR as u8,
            T::TRANSITION_DEACTIVATE as u8,
            T::TRANSITION_ON_DEACTIVATE_SUCCESS as u8,
            T::TRANSITION_ON_DEACTIVATE_FAILURE as u8,
            T::TRANSITION_ON_DEACTIVATE_ERROR as u8,
            T::TRANSITION_UNCONFIGURED_SHUTDOWN as u8,
            T::TRANSITION_INACTIVE_SHUTDOWN as u8,
            T::TRANSITION_ACTIVE_SHUTDOWN as u8,
            T::TRANSITION_ON_SHUTDOWN_SUCCESS as u8,
            T::TRANSITION_ON_SHUTDOWN_FAILURE as u8,
            T::TRANSITION_ON_SHUTDOWN_ERROR as u8,
            T::TRANSITION_ON_ERROR_SUCCESS as u8,
            T::TRANSITION_ON_ERROR_FAILURE as u8,
            T::TRANSITION_ON_ERROR_ERROR as u8,
        ];
        assert_eq!(TRANSITIONS.map(|t| t.id), ids);
    }

    #[test]
    fn a_whole_life() {
        let mut machine = Machine::default();
        for (id, during, after) in [
            (1, Configuring, Inactive),
            (3, Activating, Active),
            (4, Deactivating, Inactive),
            (2, CleaningUp, Unconfigured),
            (5, ShuttingDown, Finalized),
        ] {
            assert_eq!(machine.request(id, "").map(|t| t.goal), Ok(during));
            assert_eq!(machine.finish(Outcome::Success).map(|t| t.goal), Some(after));
        }
        assert_eq!(machine.state().transitions().count(), 0);
        assert!(machine.request(1, "").unwrap_err().to_string().contains("go: none"));
    }

    #[test]
    fn a_failure_goes_back_and_an_error_is_processed() {
        for (from, id, back) in
            [(Unconfigured, 1, Unconfigured), (Inactive, 2, Inactive), (Inactive, 3, Inactive), (Active, 4, Active)]
        {
            let mut machine = at(from);
            machine.request(id, "").unwrap();
            machine.finish(Outcome::Failure);
            assert_eq!(machine.state(), back);
            for (outcome, after) in
                [(Outcome::Success, Unconfigured), (Outcome::Failure, Finalized), (Outcome::Error, Finalized)]
            {
                let mut machine = at(from);
                machine.request(id, "").unwrap();
                machine.finish(Outcome::Error);
                assert_eq!(machine.state(), ErrorProcessing);
                machine.finish(outcome);
                assert_eq!(machine.state(), after);
            }
        }
    }

    #[test]
    fn every_other_request_is_refused_and_changes_nothing() {
        for from in State::ALL {
            for id in 0..=u8::MAX {
                let mut machine = at(from);
                let allowed = from.is_primary() && TRANSITIONS.iter().any(|t| t.start == from && t.id == id);
                assert_eq!(machine.request(id, "").is_ok(), allowed, "{id} from {from}");
                assert_eq!(machine.state() != from, allowed);
            }
        }
    }

    #[test]
    fn a_label_counts_more_than_the_id() {
        for (from, id) in [(Unconfigured, 5), (Inactive, 6), (Active, 7)] {
            assert_eq!(at(from).request(0, "shutdown").map(|t| t.id), Ok(id));
        }
        assert_eq!(at(Unconfigured).request(5, "configure").map(|t| t.id), Ok(1));
        assert!(at(Unconfigured).request(1, "activate").is_err());
    }

    #[test]
    fn a_request_cannot_end_a_transition() {
        let mut machine = at(Configuring);
        assert_eq!(
            machine.request(10, "").unwrap_err(),
            RequestError::UnderWay { requested: "transition_success (10)".into(), during: Configuring }
        );
        assert!(machine.request(0, SUCCESS).is_err());
        assert_eq!(machine.state(), Configuring);
        assert_eq!(at(Active).finish(Outcome::Success), None);
    }
}
