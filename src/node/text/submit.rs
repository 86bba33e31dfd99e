//! From a text to the phrases of a camera, with its refusals.

use std::time::Instant;

use tokio::sync::oneshot;

use super::control::{Answer, Change};
use crate::engine::{FrameRef, Refusal, RefusalKind};
use crate::node::slot::ActiveCamera;
use crate::text::{Phrase, PhraseError, RefusedPhrase, parse_phrases};

/// Leaves the phrases of a text for the text thread: phrases with commas between them, or none to end. Returns the answer.
///
/// # Errors
/// There is no text model, or the text is refused as a whole. The refusal is counted.
pub fn submit_text(camera: &ActiveCamera, text: &str) -> Result<oneshot::Receiver<Answer>, Refusal> {
    let bad = |e: PhraseError| Refusal::new(RefusalKind::BadPhrase, e.to_string());
    let phrases = check_model(camera).and_then(|()| parse_phrases(text).map_err(bad));
    let phrases = phrases.inspect_err(|refusal| count(camera, refusal))?;
    Ok(leave(camera, phrases, Vec::new(), FrameRef::Newest))
}

/// Applies the parameter `text.phrases`, if it changed since it was applied last.
pub fn apply_parameter(camera: &ActiveCamera, phrases: &[String]) {
    if !camera.text.set_parameter(phrases) {
        return;
    }
    if let Err(refusal) = submit_text(camera, &phrases.join(",")) {
        camera.refusals.warn("text.phrases", &refusal);
    }
}

/// Checks that there is a text model.
///
/// # Errors
/// There is none. The refusal is not counted.
pub(super) fn check_model(camera: &ActiveCamera) -> Result<(), Refusal> {
    match camera.model.text {
        Some(_) => Ok(()),
        None => {
            let message =
                "there is no text model: set the parameter text.model to its folder, then cleanup and configure";
            Err(Refusal::new(RefusalKind::NoTextModel, message))
        }
    }
}

/// Counts a refused phrase.
pub(super) fn count(camera: &ActiveCamera, refusal: &Refusal) {
    camera.engine.count_refusal(refusal.kind);
    camera.engine.count_text(|counts| counts.refused += 1);
}

/// Leaves phrases for the text thread. Returns the answer.
pub(super) fn leave(
    camera: &ActiveCamera,
    phrases: Vec<Phrase>,
    refused: Vec<RefusedPhrase>,
    at: FrameRef,
) -> oneshot::Receiver<Answer> {
    let (reply, answer) = oneshot::channel();
    camera.text.set(Change { phrases, refused, at, since: Instant::now(), reply });
    answer
}
