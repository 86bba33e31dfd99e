//! The goals of an action server, by the protocol of ROS 2 actions
//! (<https://design.ros2.org/articles/actions.html>), without the middleware.
//!
//! r2r has an action server, which keeps every goal with its result for ever, and keeps the node awake after the first goal.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Id that the client gave a goal.
pub type GoalId = [u8; 16];

/// Seconds and nanoseconds at which a goal was accepted.
pub type AcceptedAt = (i32, u32);

/// Most goals that run or wait.
const MAX_RUNNING: usize = 64;

/// Most goals whose results are kept for late clients.
const MAX_ENDED: usize = 4;

/// Most requests that wait for the result of one goal.
const MAX_WAITING: usize = 16;

/// Time for which the result of a goal is kept: rcl's default.
const RESULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Status of a goal, with the number of action_msgs/GoalStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Unknown = 0,
    Executing = 2,
    Canceling = 3,
    Succeeded = 4,
    Canceled = 5,
    Aborted = 6,
}

/// Return code of action_msgs/CancelGoal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelCode {
    None = 0,
    UnknownGoal = 2,
    GoalTerminated = 3,
}

/// The goals of an action server. `W`: a request for a result; `R`: a result.
pub struct Goals<W, R> {
    goals: BTreeMap<GoalId, Goal<W, R>>,
}

struct Goal<W, R> {
    accepted: AcceptedAt,
    status: Status,
    /// Ends the work on the goal; `None` once it was sent.
    cancel: Option<oneshot::Sender<()>>,
    waiting: Vec<W>,
    /// Result, with the time at which the goal ended.
    result: Option<(R, Instant)>,
}

/// Answer to a request for a result.
#[derive(Debug, PartialEq)]
pub enum ResultAnswer<W, R> {
    /// The goal is unknown, or its result is no longer kept.
    Unknown(W),
    Ended(W, Status, R),
    /// The request waits for the end of the goal.
    Waits,
}

impl<W, R> Default for Goals<W, R> {
    fn default() -> Self {
        Goals { goals: BTreeMap::new() }
    }
}

impl<W, R: Clone> Goals<W, R> {
    /// Accepts a goal, and returns the receiver of its cancellation. A goal whose id is taken, and one of too many, is rejected.
    pub fn accept(&mut self, id: GoalId, accepted: AcceptedAt, now: Instant) -> Option<oneshot::Receiver<()>> {
        self.forget_old(now);
        if self.goals.contains_key(&id) || self.running().count() >= MAX_RUNNING {
            return None;
        }
        let (cancel, cancelled) = oneshot::channel();
        let goal =
            Goal { accepted, status: Status::Executing, cancel: Some(cancel), waiting: Vec::new(), result: None };
        self.goals.insert(id, goal);
        Some(cancelled)
    }

    fn running(&self) -> impl Iterator<Item = (&GoalId, &Goal<W, R>)> {
        self.goals.iter().filter(|(_, goal)| goal.result.is_none())
    }

    /// Returns whether a goal runs.
    pub fn is_busy(&self) -> bool {
        self.running().next().is_some()
    }

    /// Cancels goals. An id of zeros stands for all goals; with a time other than zero also the goals that were accepted until
    /// then are cancelled, or only they if the id is zeros. Returns the goals that are being cancelled.
    pub fn cancel(&mut self, id: GoalId, until: AcceptedAt) -> (CancelCode, Vec<(GoalId, AcceptedAt)>) {
        let (any_id, any_time) = (id == GoalId::default(), until == AcceptedAt::default());
        let is_meant = |goal_id: &GoalId, goal: &Goal<W, R>| {
            let is_early = !any_time && goal.accepted <= until;
            (any_id && any_time) || is_early || (!any_id && *goal_id == id)
        };
        let mut cancelled = Vec::new();
        for (goal_id, goal) in &mut self.goals {
            if goal.result.is_none() && is_meant(goal_id, goal) {
                goal.status = Status::Canceling;
                if let Some(cancel) = goal.cancel.take() {
                    // The work may have ended at this moment.
                    let _ = cancel.send(());
                }
                cancelled.push((*goal_id, goal.accepted));
            }
        }
        let code = match self.goals.get(&id) {
            _ if any_id || !cancelled.is_empty() => CancelCode::None,
            Some(_) => CancelCode::GoalTerminated,
            None => CancelCode::UnknownGoal,
        };
        (code, cancelled)
    }

    /// Ends a goal, and returns the requests that wait for its result.
    pub fn end(&mut self, id: GoalId, status: Status, result: R, now: Instant) -> Vec<W> {
        let Some(goal) = self.goals.get_mut(&id) else { return Vec::new() };
        goal.status = status;
        goal.cancel = None;
        goal.result = Some((result, now));
        let waiting = std::mem::take(&mut goal.waiting);
        self.forget_old(now);
        waiting
    }

    /// Answers a request for the result of a goal.
    pub fn result(&mut self, id: GoalId, request: W, now: Instant) -> ResultAnswer<W, R> {
        self.forget_old(now);
        match self.goals.get_mut(&id) {
            Some(Goal { result: Some((result, _)), status, .. }) => {
                ResultAnswer::Ended(request, *status, result.clone())
            }
            Some(goal) if goal.waiting.len() < MAX_WAITING => {
                goal.waiting.push(request);
                ResultAnswer::Waits
            }
            _ => ResultAnswer::Unknown(request),
        }
    }

    /// Returns the status of each goal.
    pub fn statuses(&self) -> Vec<(GoalId, AcceptedAt, Status)> {
        self.goals.iter().map(|(id, goal)| (*id, goal.accepted, goal.status)).collect()
    }

    /// Forgets results that are old, and all but the newest.
    pub fn forget_old(&mut self, now: Instant) {
        self.goals.retain(|_, goal| {
            goal.result.as_ref().is_none_or(|(_, ended)| now.saturating_duration_since(*ended) < RESULT_TIMEOUT)
        });
        let mut ended: Vec<(Instant, GoalId)> =
            self.goals.iter().filter_map(|(id, goal)| goal.result.as_ref().map(|(_, ended)| (*ended, *id))).collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(MAX_ENDED);
        for (_, id) in &ended[..surplus] {
            self.goals.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> GoalId {
        let mut id = GoalId::default();
        id[0] = number;
        id
    }

    fn goals() -> (Goals<&'static str, u32>, Instant) {
        (Goals::default(), Instant::now())
    }

    #[test]
    fn a_request_for_a_result_waits_for_the_end_of_its_goal() {
        let (mut goals, now) = goals();
        assert!(goals.accept(id(1), (1, 0), now).is_some());
        assert_eq!(goals.result(id(1), "early", now), ResultAnswer::Waits);
        assert_eq!(goals.end(id(1), Status::Succeeded, 42, now), ["early"]);
        assert_eq!(goals.result(id(1), "late", now), ResultAnswer::Ended("late", Status::Succeeded, 42));
        assert_eq!(goals.result(id(2), "unknown", now), ResultAnswer::Unknown("unknown"));
        assert!(!goals.is_busy());
    }

    #[test]
    fn an_id_is_accepted_once_and_goals_are_bounded() {
        let (mut goals, now) = goals();
        let _cancelled = goals.accept(id(1), (1, 0), now);
        assert!(goals.accept(id(1), (2, 0), now).is_none());
        for number in 2..=MAX_RUNNING as u8 {
            assert!(goals.accept(id(number), (1, 0), now).is_some());
        }
        assert!(goals.accept(id(200), (1, 0), now).is_none());
        for request in 0..MAX_WAITING {
            assert_eq!(goals.result(id(1), "waits", now), ResultAnswer::Waits, "{request}");
        }
        assert_eq!(goals.result(id(1), "one too many", now), ResultAnswer::Unknown("one too many"));
    }

    #[test]
    fn results_are_kept_for_a_while_and_the_newest_alone() {
        let (mut goals, now) = goals();
        let at = |seconds| now + Duration::from_secs(seconds);
        for number in 1..=6 {
            goals.accept(id(number), (1, 0), now);
            goals.end(id(number), Status::Aborted, u32::from(number), at(u64::from(number)));
        }
        assert_eq!(goals.statuses().iter().map(|(id, ..)| id[0]).collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert_eq!(goals.result(id(3), "old", at(13)), ResultAnswer::Unknown("old"));
        assert_eq!(goals.result(id(4), "new", at(13)), ResultAnswer::Ended("new", Status::Aborted, 4));
    }

    #[test]
    fn goals_are_cancelled_by_id_by_time_or_all_together() {
        let started = || {
            let (mut goals, now) = goals();
            let receivers: Vec<_> =
                (1..=3).map(|number| goals.accept(id(number), (i32::from(number), 0), now).unwrap()).collect();
            (goals, receivers, now)
        };
        for (goal, until, expected) in [
            (id(2), (0, 0), vec![2]),
            (id(0), (0, 0), vec![1, 2, 3]),
            (id(0), (2, 0), vec![1, 2]),
            (id(3), (1, 5), vec![1, 3]),
        ] {
            let (mut goals, mut receivers, _) = started();
            let (code, cancelled) = goals.cancel(goal, until);
            assert_eq!(
                (code, cancelled.iter().map(|(id, _)| id[0]).collect::<Vec<_>>()),
                (CancelCode::None, expected.clone())
            );
            for (number, receiver) in (1..).zip(&mut receivers) {
                assert_eq!(receiver.try_recv().is_ok(), expected.contains(&number), "goal {number}");
            }
        }
        let (mut goals, _receivers, now) = started();
        goals.end(id(1), Status::Succeeded, 0, now);
        assert_eq!(goals.cancel(id(1), (0, 0)), (CancelCode::GoalTerminated, Vec::new()));
        assert_eq!(goals.cancel(id(9), (0, 0)), (CancelCode::UnknownGoal, Vec::new()));
        assert_eq!(goals.cancel(id(0), (0, 0)).1.len(), 2);
        goals.end(id(2), Status::Canceled, 0, now);
        assert_eq!(goals.statuses()[1].2, Status::Canceled);
        assert_eq!(goals.statuses()[2].2, Status::Canceling);
    }
}
