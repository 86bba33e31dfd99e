//! What the decoder does next: people first, then questions and detectors, then the camera's new frame.

use std::sync::Arc;
use std::time::Instant;

use super::command::{Detections, Interaction, Operation, Refusal, Segment, SegmentOn};
use super::kept::KeptFrame;
use super::state::{Batch, Queued, Resolved, State, no_image};

/// What the thread does next.
pub(super) enum Work {
    Interaction(Interaction, Option<Arc<KeptFrame>>, Instant),
    Detections(Arc<KeptFrame>, Detections, Instant),
    Segment(Arc<KeptFrame>, Box<Segment>, Instant),
    Fresh(Arc<KeptFrame>),
    Refused(Refusal, Option<Box<Segment>>),
    Stop,
}

/// The next thing to do, if its frame is there.
pub(super) fn next(state: &mut State) -> Option<Work> {
    next_interaction(state).or_else(|| next_batch(state)).or_else(|| state.fresh.take().map(Work::Fresh))
}

/// The next prompt of a person; they are worked off strictly in order.
pub(super) fn next_interaction(state: &mut State) -> Option<Work> {
    if let Err(refusal) = settle(state)? {
        state.interactions.pop_front();
        return Some(Work::Refused(refusal, None));
    }
    let front = state.interactions.front()?;
    let since = front.since;
    let frame = match &front.item {
        Interaction::Later(_)
        | Interaction::NewObject
        | Interaction::Clear
        | Interaction::Undo { .. }
        | Interaction::Prompts { operation: Operation::Clear | Operation::Remove, .. } => state.kept.newest().cloned(),
        Interaction::Click { at, .. }
        | Interaction::Region { at, .. }
        | Interaction::Mask { at, .. }
        | Interaction::Prompts { at, .. } => {
            let at = *at;
            match state.resolve(at, since) {
                Resolved::Ready(frame) => Some(frame),
                Resolved::Wait => return None,
                Resolved::Refused(refusal) => {
                    state.interactions.pop_front();
                    return Some(Work::Refused(refusal, None));
                }
            }
        }
    };
    state.interactions.pop_front().map(|q| Work::Interaction(q.item, frame, q.since))
}

/// Makes a prompt that could not be told before into what it is; `None` while it has to wait.
fn settle(state: &mut State) -> Option<Result<(), Refusal>> {
    let busy = state.encoder_busy();
    let State { interactions, kept, settings, .. } = state;
    let front = interactions.front_mut()?;
    let Interaction::Later(later) = &mut front.item else { return Some(Ok(())) };
    // The first image of all may take long.
    let last = front.since.elapsed() >= settings.prompt_timeout && !(kept.is_empty() && busy);
    let settled = match later.ready(kept, last) {
        None if last => Err(no_image(settings.prompt_timeout)),
        settled => settled?,
    };
    Some(settled.map(|interaction| front.item = interaction))
}

fn next_batch(state: &mut State) -> Option<Work> {
    for i in 0..state.batches.len() {
        let since = state.batches[i].since;
        let at = match &state.batches[i].item {
            Batch::OnOwnImage(..) => None,
            Batch::Detections(d) => Some(d.at),
            Batch::Segment(s) => match s.on {
                SegmentOn::Frame(at) => Some(at),
                // Questions with an image of their own come here as `OnOwnImage`.
                SegmentOn::Image(_) => None,
            },
        };
        let resolved = at.map(|at| state.resolve(at, since));
        if matches!(resolved, Some(Resolved::Wait)) {
            continue;
        }
        let Queued { item, since } = state.batches.remove(i)?;
        return match (item, resolved) {
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
