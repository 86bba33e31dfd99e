//! Whose turn it is on the decoder.
//!
//! Prompts of people and programs are first, in the order in which they came. After [`MOST_PROMPTS`] of them in a row
//! one turn is somebody else's, if somebody waits: a batch (detections, a question) and the camera's new frame take that
//! turn alternately. So a prompt waits for at most one turn of another kind, a batch or a frame for at most
//! `2 * MOST_PROMPTS + 1` turns (a frame that an answer left unfinished, twice that), and a turn is up to 32 objects of each camera that shares the decoder. Batches are
//! first come, first served, but for those whose frame is still to come; detections of one source keep the order of
//! their stamps.

use std::sync::Arc;
use std::time::Instant;

use super::deferred::overdue;
use super::engine_state::State;
use super::lookup::{Asker, Resolved};
use super::query::Batch;
use crate::engine::kept::KeptFrame;
use crate::engine::refusal::Refusal;
use crate::engine::request::{Detections, FrameRef, Interaction, Operation, Segment, SegmentOn};

/// Prompts that are answered in a row while others wait.
pub const MOST_PROMPTS: usize = 8;

/// What the thread does next.
pub enum Work {
    Interaction(Interaction, Option<Arc<KeptFrame>>, Instant),
    Detections(Arc<KeptFrame>, Detections, Instant),
    Segment(Arc<KeptFrame>, Box<Segment>, Instant),
    Fresh(Arc<KeptFrame>),
    /// The answer to a prompt on this frame lacks objects.
    Finish(Arc<KeptFrame>),
    Refused(Refusal, Option<Box<Segment>>),
    Stop,
}

/// The next thing to do, if its frame is there.
pub fn next(state: &mut State) -> Option<Work> {
    if state.prompts_in_a_row < MOST_PROMPTS
        && let Some(work) = next_interaction(state)
    {
        state.prompts_in_a_row += 1;
        return Some(work);
    }
    state.prompts_in_a_row = 0;
    let batch_first = !state.last_was_batch;
    let mut other = if batch_first { next_batch(state) } else { next_frame(state) };
    state.last_was_batch = batch_first;
    if other.is_none() {
        other = if batch_first { next_frame(state) } else { next_batch(state) };
        state.last_was_batch = !batch_first;
    }
    other.or_else(|| next_interaction(state))
}

fn next_frame(state: &mut State) -> Option<Work> {
    if state.last_was_unfinished
        && let Some(frame) = state.fresh.take()
    {
        state.last_was_unfinished = false;
        return Some(Work::Fresh(frame));
    }
    let unfinished = state.unfinished.pop_front().map(Work::Finish);
    state.last_was_unfinished = unfinished.is_some();
    unfinished.or_else(|| state.fresh.take().map(Work::Fresh))
}

/// The next prompt of a person; they are worked off strictly in order.
pub fn next_interaction(state: &mut State) -> Option<Work> {
    let front = state.interactions.front()?;
    let since = front.since;
    let frame = match &front.item {
        Interaction::Later(_) => return overdue(state).map(|refusal| Work::Refused(refusal, None)),
        Interaction::NewObject
        | Interaction::Clear
        | Interaction::Undo { .. }
        | Interaction::Prompts { operation: Operation::Clear | Operation::Remove, .. } => state.kept.newest().cloned(),
        Interaction::Click { at, .. }
        | Interaction::Region { at, .. }
        | Interaction::Mask { at, .. }
        | Interaction::Prompts { at, .. } => {
            let at = *at;
            match state.resolve(at, since, Asker::Prompt) {
                Resolved::Ready(frame) => Some(frame),
                Resolved::Wait => return None,
                Resolved::Refused(refusal) => {
                    state.interactions.pop();
                    return Some(Work::Refused(refusal, None));
                }
            }
        }
    };
    state.interactions.pop().map(|q| Work::Interaction(q.item, frame, q.since))
}

fn next_batch(state: &mut State) -> Option<Work> {
    // Detections that wait for their frame: source and stamp.
    let mut waiting: Vec<(&'static str, FrameRef)> = Vec::new();
    for i in 0..state.batches.len() {
        let queued = state.batches.get(i)?;
        let (since, mut source, mut asker) = (queued.since, None, Asker::Question);
        let at = match &queued.item {
            Batch::OnOwnImage(..) => None,
            Batch::Detections(d) => {
                (source, asker) = (Some(d.source), Asker::Detector);
                Some(d.at)
            }
            Batch::Segment(s) => match s.on {
                SegmentOn::Frame(at) => Some(at),
                // Questions with an image of their own come here as `OnOwnImage`.
                SegmentOn::Image(_) => None,
            },
        };
        let resolved = at.map(|at| state.resolve(at, since, asker));
        let is_older = |(s, other): &(&str, FrameRef)| Some(*s) == source && at.is_some_and(|at| other.is_before(at));
        let ready = matches!(resolved, Some(Resolved::Ready(_)));
        if matches!(resolved, Some(Resolved::Wait)) || (ready && waiting.iter().any(is_older)) {
            waiting.extend(source.zip(at));
            continue;
        }
        let queued = state.batches.remove(i)?;
        return match (queued.item, resolved) {
            (Batch::OnOwnImage(frame, segment), _) => Some(Work::Segment(frame, segment, since)),
            (Batch::Detections(d), Some(Resolved::Ready(frame))) => Some(Work::Detections(frame, d, since)),
            (Batch::Segment(s), Some(Resolved::Ready(frame))) => Some(Work::Segment(frame, s, since)),
            (Batch::Segment(s), Some(Resolved::Refused(refusal))) => Some(Work::Refused(refusal, Some(s))),
            (_, Some(Resolved::Refused(refusal))) => Some(Work::Refused(refusal, None)),
            (_, _) => None,
        };
    }
    None
}

impl FrameRef {
    /// Whether both carry a stamp, and this one is the older.
    fn is_before(self, other: FrameRef) -> bool {
        matches!((self, other), (FrameRef::At(a), FrameRef::At(b)) if a < b)
    }
}
