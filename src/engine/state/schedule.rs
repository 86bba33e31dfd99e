//! The next work of the decoder.
//!
//! Prompts of people and programs come first, in order of arrival. After [`MAX_PROMPTS_IN_A_ROW`] prompts one turn belongs to
//! other work, if any waits: queries (detections, `segment` requests) and the camera's new frame take that turn
//! alternately. So a prompt waits for at most one turn of other work, and a query or a frame for at most
//! `2 * MAX_PROMPTS_IN_A_ROW + 1` turns (an unfinished frame twice that). A turn decodes up to 32 objects of each camera
//! that shares the decoder. Queries are processed in order of arrival, except those that wait for their frame; detections
//! of one source keep the order of their stamps.
//!
//! A batch of clicks of a generation takes a turn when no other work waits, and at the latest after
//! [`MAX_TURNS_BEFORE_BATCH`](super::generations::MAX_TURNS_BEFORE_BATCH) turns: the generation delays a prompt by at most one
//! batch.

use std::sync::Arc;
use std::time::Instant;

use super::client_request::ClientRequest;
use super::engine_state::EngineState;
use super::generations::Turn;
use super::lookup::{FrameLookup, Requester};
use super::query::Query;
use crate::engine::kept::KeptFrame;
use crate::engine::refusal::Refusal;
use crate::engine::request::{Detections, FrameRef, Interaction, Operation, OperatorRequest};

/// Most prompts that are answered in a row while other work waits.
pub const MAX_PROMPTS_IN_A_ROW: usize = 8;

/// Work of the decoder's thread. The instants are arrivals.
pub enum Work {
    Interaction(Interaction, Option<Arc<KeptFrame>>, Instant),
    Detections(Arc<KeptFrame>, Detections, Instant),
    Request(Arc<KeptFrame>, ClientRequest, Instant),
    /// Decode the current objects on a new frame.
    NewFrame(Arc<KeptFrame>),
    /// Decode the objects that an answer on this frame lacks.
    UnfinishedFrame(Arc<KeptFrame>),
    /// Leave the decoder to the generator's thread for a batch of clicks.
    Batch(Turn),
    /// Report a refusal, to the client of a request or to the owner.
    Refuse(Refusal, Option<ClientRequest>),
    /// Report a refusal to an operator.
    RefuseOperator(Refusal, OperatorRequest),
    Stop,
}

impl EngineState {
    /// Takes the next work whose frame is there.
    pub fn next_work(&mut self) -> Option<Work> {
        if let Some(turn) = self.generations.take_overdue_turn() {
            return Some(Work::Batch(turn));
        }
        self.next_prompt_or_frame().or_else(|| self.generations.take_turn().map(Work::Batch))
    }

    fn next_prompt_or_frame(&mut self) -> Option<Work> {
        if self.prompts_in_a_row < MAX_PROMPTS_IN_A_ROW
            && let Some(work) = self.next_interaction()
        {
            self.prompts_in_a_row += 1;
            return Some(work);
        }
        self.prompts_in_a_row = 0;
        let query_first = !self.last_was_query;
        let mut other = if query_first { self.next_query() } else { self.next_frame() };
        self.last_was_query = query_first;
        if other.is_none() {
            other = if query_first { self.next_frame() } else { self.next_query() };
            self.last_was_query = !query_first;
        }
        other.or_else(|| self.next_interaction())
    }

    fn next_frame(&mut self) -> Option<Work> {
        if self.last_was_unfinished
            && let Some(frame) = self.fresh.take()
        {
            self.last_was_unfinished = false;
            return Some(Work::NewFrame(frame));
        }
        let unfinished = self.unfinished.pop_front().map(Work::UnfinishedFrame);
        self.last_was_unfinished = unfinished.is_some();
        unfinished.or_else(|| self.fresh.take().map(Work::NewFrame))
    }

    /// Takes the first prompt if its frame is there. Prompts are processed strictly in order.
    pub fn next_interaction(&mut self) -> Option<Work> {
        let front = self.interactions.front()?;
        let since = front.since;
        let at = match &front.item {
            Interaction::Deferred(_) => return self.refuse_overdue().map(|refusal| Work::Refuse(refusal, None)),
            Interaction::NewObject
            | Interaction::Clear
            | Interaction::Undo { .. }
            | Interaction::Prompts { operation: Operation::Clear | Operation::Remove, .. } => None,
            Interaction::Click { at, .. }
            | Interaction::Region { at, .. }
            | Interaction::Mask { at, .. }
            | Interaction::Prompts { at, .. } => Some(*at),
            Interaction::Operator(request) => request.action.frame(),
        };
        let frame = match at {
            None => self.kept.newest().cloned(),
            Some(at) => match self.find_frame(at, since, Requester::Prompt) {
                FrameLookup::Ready(frame) => Some(frame),
                FrameLookup::Pending => return None,
                FrameLookup::Refused(refusal) => {
                    return Some(match self.interactions.pop()?.item {
                        Interaction::Operator(request) => Work::RefuseOperator(refusal, request),
                        _ => Work::Refuse(refusal, None),
                    });
                }
            },
        };
        self.interactions.pop().map(|q| Work::Interaction(q.item, frame, q.since))
    }

    fn next_query(&mut self) -> Option<Work> {
        self.end_stale_generations();
        // Source and frame of the detections that wait for their frame.
        let mut waiting: Vec<(&'static str, FrameRef)> = Vec::new();
        for i in 0..self.queries.len() {
            let queued = self.queries.get(i)?;
            let (since, mut source, mut requester) = (queued.since, None, Requester::Segment);
            let at = match &queued.item {
                Query::EncodedImage(..) | Query::FrameDetections(..) => None,
                Query::Detections(d) => {
                    (source, requester) = (Some(d.source), Requester::Detector);
                    Some(d.at)
                }
                // A request with an image is queued as `EncodedImage`.
                Query::Request(request) => request.at(),
            };
            let lookup = at.map(|at| self.find_frame(at, since, requester));
            let is_older =
                |(s, earlier): &(&str, FrameRef)| Some(*s) == source && at.is_some_and(|at| earlier.is_before(at));
            let is_ready = matches!(lookup, Some(FrameLookup::Ready(_)));
            if matches!(lookup, Some(FrameLookup::Pending)) || (is_ready && waiting.iter().any(is_older)) {
                waiting.extend(source.zip(at));
                continue;
            }
            let queued = self.queries.remove(i)?;
            return match (queued.item, lookup) {
                (Query::EncodedImage(frame, request), _) => Some(Work::Request(frame, request, since)),
                (Query::FrameDetections(frame, d), _) => Some(Work::Detections(frame, d, since)),
                (Query::Detections(d), Some(FrameLookup::Ready(frame))) => Some(Work::Detections(frame, d, since)),
                (Query::Request(request), Some(FrameLookup::Ready(frame))) => {
                    Some(Work::Request(frame, request, since))
                }
                (Query::Request(request), Some(FrameLookup::Refused(refusal))) => {
                    Some(Work::Refuse(refusal, Some(request)))
                }
                (_, Some(FrameLookup::Refused(refusal))) => Some(Work::Refuse(refusal, None)),
                (_, _) => None,
            };
        }
        None
    }
}

impl FrameRef {
    /// Returns whether both carry a stamp and this stamp is the smaller.
    fn is_before(self, other: FrameRef) -> bool {
        matches!((self, other), (FrameRef::At(a), FrameRef::At(b)) if a < b)
    }
}
