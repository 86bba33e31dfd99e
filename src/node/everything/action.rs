//! The action `~/segment_everything`: feedback after each batch of clicks, and cancel.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use r2r::action_msgs::msg::{GoalInfo, GoalStatus, GoalStatusArray};
use r2r::action_msgs::srv::CancelGoal;
use r2r::builtin_interfaces::msg::Time;
use r2r::promptseg_msgs::action::SegmentEverything as Action;
use r2r::unique_identifier_msgs::msg::UUID;
use r2r::{QosProfile, ServiceRequest};
use tokio::sync::oneshot;

use super::goals::{AcceptedAt, GoalId, Goals, ResultAnswer, Status};
use super::request::{EverythingRequest, Submitted, submit};
use crate::everything::Progress;
use crate::node::error::NodeError;
use crate::node::lock::lock;
use crate::node::ros::clock::NodeClock;
use crate::node::ros::convert;
use crate::node::ros::topics::{Offer as _, Output, Requests, Topics};
use crate::node::services::serve::{guarded, respond};
use crate::node::slot::CameraSlot;

/// Period at which the server checks whether a client is still there.
const CLIENT_CHECK_PERIOD: Duration = Duration::from_millis(500);

/// Time without any client after which the goals are cancelled. The middleware may take some time to connect a new client.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(2);

type SendGoal = ServiceRequest<Action::SendGoal::Service>;
type Cancel = ServiceRequest<CancelGoal::Service>;
type GetResult = ServiceRequest<Action::GetResult::Service>;

/// The action server of a camera.
struct Server {
    slot: Arc<CameraSlot>,
    clock: NodeClock,
    goals: Mutex<Goals<GetResult, Action::Result>>,
    feedback: Mutex<Output<Action::FeedbackMessage>>,
    status: Mutex<Output<GoalStatusArray>>,
}

/// Makes the services and topics of the action.
///
/// # Errors
/// The middleware refuses a service or a topic.
pub fn serve(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    let name = |part: &str, topics: &Topics| format!("{}/_action/{part}", topics.resolve("~/segment_everything"));
    let (feedback, status) = (name("feedback", topics), name("status", topics));
    // The profiles of rcl_action.
    let latched = QosProfile::default().keep_last(1).transient_local();
    let server = Arc::new(Server {
        slot: Arc::clone(slot),
        clock: topics.clock(),
        goals: Mutex::default(),
        feedback: Mutex::new(topics.fixed_publisher(feedback, QosProfile::default())?),
        status: Mutex::new(topics.fixed_publisher(status, latched)?),
    });
    let mut goals: Requests<Action::SendGoal::Service> = topics.service(&name("send_goal", topics))?;
    let mut cancels: Requests<CancelGoal::Service> = topics.service(&name("cancel_goal", topics))?;
    let mut results: Requests<Action::GetResult::Service> = topics.service(&name("get_result", topics))?;
    tokio::spawn(async move {
        let mut check = tokio::time::interval(CLIENT_CHECK_PERIOD);
        let mut client_seen = Instant::now();
        loop {
            tokio::select! {
                Some(request) = goals.next() => server.accept(request),
                Some(request) = cancels.next() => server.cancel(request),
                Some(request) = results.next() => server.answer(request),
                _ = check.tick() => server.check_clients(&mut client_seen),
            }
        }
    });
    Ok(())
}

impl Server {
    /// Accepts or rejects a goal, and starts to work on it.
    fn accept(self: &Arc<Self>, mut request: SendGoal) {
        let id = goal_id(&request.message.goal_id);
        let stamp = self.clock.now();
        let cancelled = lock(&self.goals).accept(id, (stamp.sec, stamp.nanosec), Instant::now());
        let goal = std::mem::take(&mut request.message.goal);
        respond(request, Action::SendGoal::Response { accepted: cancelled.is_some(), stamp });
        match cancelled {
            Some(cancelled) => {
                self.publish_status();
                tokio::spawn(Arc::clone(self).run(id, goal, cancelled));
            }
            None => tracing::warn!("~/segment_everything: a goal is rejected: its id is taken, or too many goals run"),
        }
    }

    /// Works on a goal until its end.
    async fn run(self: Arc<Self>, id: GoalId, goal: Action::Goal, cancelled: oneshot::Receiver<()>) {
        let work = guarded(Arc::clone(&self).work(id, goal, cancelled)).await;
        let (status, result) = match work {
            Ok(Some(result)) => (Status::Succeeded, result),
            Ok(None) => (Status::Canceled, Action::Result { message: "canceled".into(), ..Action::Result::default() }),
            Err(message) => {
                (Status::Aborted, Action::Result { message: convert::text(&message), ..Action::Result::default() })
            }
        };
        let waiting = lock(&self.goals).end(id, status, result.clone(), Instant::now());
        self.publish_status();
        for request in waiting {
            respond(request, Action::GetResult::Response { status: status as i8, result: result.clone() });
        }
    }

    /// Returns the result of a goal, `None` if it was cancelled.
    ///
    /// # Errors
    /// Why there are no masks.
    async fn work(
        self: Arc<Self>,
        id: GoalId,
        goal: Action::Goal,
        mut cancelled: oneshot::Receiver<()>,
    ) -> Result<Option<Action::Result>, String> {
        let submitted = tokio::select! {
            biased;
            _ = &mut cancelled => return Ok(None),
            submitted = submit(&self.slot, goal.into()) => submitted?,
        };
        let (mut progress, answer, model) = submitted.into_parts();
        // Dropping the answer cancels the generation.
        let mut answer = pin!(answer);
        let mut has_progress = true;
        loop {
            tokio::select! {
                biased;
                _ = &mut cancelled => return Ok(None),
                answer = &mut answer => {
                    let found = Submitted::result(&model, &self.slot, answer)?;
                    let message = convert::text(&found.note);
                    return Ok(Some(Action::Result { success: true, message, result: found.masks }));
                }
                changed = progress.changed(), if has_progress => match changed {
                    Ok(()) => self.publish_feedback(id, *progress.borrow_and_update()),
                    Err(_) => has_progress = false,
                },
            }
        }
    }

    fn cancel(&self, request: Cancel) {
        let GoalInfo { goal_id: id, stamp } = &request.message.goal_info;
        let (code, cancelled) = lock(&self.goals).cancel(goal_id(id), (stamp.sec, stamp.nanosec));
        let goals_canceling = cancelled.into_iter().map(|(id, accepted)| goal_info(id, accepted)).collect();
        respond(request, CancelGoal::Response { return_code: code as i8, goals_canceling });
        self.publish_status();
    }

    fn answer(&self, request: GetResult) {
        let id = goal_id(&request.message.goal_id);
        let answer = lock(&self.goals).result(id, request, Instant::now());
        let (request, status, result) = match answer {
            ResultAnswer::Unknown(request) => (request, Status::Unknown, Action::Result::default()),
            ResultAnswer::Ended(request, status, result) => (request, status, result),
            ResultAnswer::Waits => return,
        };
        respond(request, Action::GetResult::Response { status: status as i8, result });
    }

    /// Cancels all goals if no client has been there for [`CLIENT_TIMEOUT`]. Every client of an action subscribes to its
    /// feedback. Also forgets old results.
    fn check_clients(&self, seen: &mut Instant) {
        let mut goals = lock(&self.goals);
        goals.forget_old(Instant::now());
        if !goals.is_busy() || lock(&self.feedback).has_listeners() {
            *seen = Instant::now();
        } else if seen.elapsed() >= CLIENT_TIMEOUT {
            let (_, cancelled) = goals.cancel(GoalId::default(), AcceptedAt::default());
            drop(goals);
            tracing::info!(
                "~/segment_everything: {} goals are canceled, because their client is gone",
                cancelled.len()
            );
            self.publish_status();
            *seen = Instant::now();
        }
    }

    fn publish_feedback(&self, goal_id: GoalId, progress: Progress) {
        let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let feedback = Action::Feedback {
            points_done: count(progress.decoded),
            points: count(progress.points),
            masks: count(progress.masks as u64),
        };
        let message = Action::FeedbackMessage { goal_id: uuid(goal_id), feedback };
        if let Err(e) = lock(&self.feedback).publish(&message) {
            tracing::warn!("the feedback of ~/segment_everything could not be published: {e}");
        }
    }

    fn publish_status(&self) {
        let status = |(id, accepted, status): (GoalId, AcceptedAt, Status)| GoalStatus {
            goal_info: goal_info(id, accepted),
            status: status as i8,
        };
        let status_list = lock(&self.goals).statuses().into_iter().map(status).collect();
        if let Err(e) = lock(&self.status).publish(&GoalStatusArray { status_list }) {
            tracing::warn!("the status of ~/segment_everything could not be published: {e}");
        }
    }
}

/// Returns the bytes of an id; missing bytes are zeros.
fn goal_id(message: &UUID) -> GoalId {
    let mut id = GoalId::default();
    id.iter_mut().zip(&message.uuid).for_each(|(byte, given)| *byte = *given);
    id
}

fn uuid(id: GoalId) -> UUID {
    UUID { uuid: id.to_vec() }
}

fn goal_info(id: GoalId, (sec, nanosec): AcceptedAt) -> GoalInfo {
    GoalInfo { goal_id: uuid(id), stamp: Time { sec, nanosec } }
}

impl From<Action::Goal> for EverythingRequest {
    fn from(m: Action::Goal) -> Self {
        let Action::Goal { image, stamp, region, points_per_side, min_iou, min_stability, min_area, parameters } = m;
        EverythingRequest { image, stamp, region, points_per_side, min_iou, min_stability, min_area, parameters }
    }
}
