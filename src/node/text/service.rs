//! `~/set_text`: phrases with classes and least scores, answered with what was understood.

use std::sync::Arc;

use futures::StreamExt as _;
use r2r::promptseg_msgs::msg::{RefusedPhrase as RefusedPhraseMsg, TextPhrase};
use r2r::promptseg_msgs::srv::SetText;
use tokio::sync::oneshot;

use super::control::Answer;
use super::submit::{check_model, count, leave};
use crate::engine::{FrameRef, Refusal, RefusalKind};
use crate::node::error::NodeError;
use crate::node::ros::convert;
use crate::node::ros::topics::{Requests, Topics};
use crate::node::services::serve::{DEACTIVATED, active, guarded, respond};
use crate::node::slot::{ActiveCamera, CameraSlot};
use crate::text::phrase::add_phrase;
use crate::text::{Phrase, RefusedPhrase, Understood};

/// Makes `~/set_text`.
///
/// # Errors
/// The middleware refuses the service.
pub fn serve(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    let mut requests: Requests<SetText::Service> = topics.service("~/set_text")?;
    let slot = Arc::clone(slot);
    tokio::spawn(async move {
        while let Some(mut request) = requests.next().await {
            let (slot, message) = (Arc::clone(&slot), std::mem::take(&mut request.message));
            // A task for each request: newer phrases answer the earlier ones.
            tokio::spawn(async move {
                let response = match guarded(understood(slot, message)).await {
                    Ok(understood) => response(&understood),
                    Err(message) => SetText::Response {
                        success: false,
                        message: convert::text(&message),
                        ..SetText::Response::default()
                    },
                };
                respond(request, response);
            });
        }
    });
    Ok(())
}

/// Returns what was understood of a request, or the reason of its refusal.
async fn understood(slot: Arc<CameraSlot>, request: SetText::Request) -> Result<Understood, String> {
    let answer = {
        let camera = active(&slot).await?;
        let at = FrameRef::from(convert::stamp(&request.stamp));
        submit_phrases(&camera, request.phrases, at).map_err(|refusal| {
            camera.refusals.warn("~/set_text", &refusal);
            refusal.message
        })?
    };
    answer.await.unwrap_or_else(|_| Err(DEACTIVATED.to_owned()))
}

/// Leaves the phrases of a client for the text thread. A phrase that is refused does not take the others with it. Returns the
/// answer.
///
/// # Errors
/// There is no text model. The refusal is counted.
fn submit_phrases(
    camera: &ActiveCamera,
    requested: Vec<TextPhrase>,
    at: FrameRef,
) -> Result<oneshot::Receiver<Answer>, Refusal> {
    check_model(camera).inspect_err(|refusal| count(camera, refusal))?;
    let (mut phrases, mut refused) = (Vec::new(), Vec::new());
    for TextPhrase { text, class_id, min_score } in requested {
        let min_score = (min_score != 0.0).then_some(min_score);
        let added = Phrase::with(&text, &class_id, min_score).and_then(|phrase| add_phrase(&mut phrases, phrase));
        if let Err(e) = added {
            let refusal = Refusal::new(RefusalKind::BadPhrase, e.to_string());
            count(camera, &refusal);
            camera.refusals.warn("~/set_text", &refusal);
            refused.push(RefusedPhrase { text, reason: refusal.message });
        }
    }
    Ok(leave(camera, phrases, refused, at))
}

fn response(understood: &Understood) -> SetText::Response {
    let accepted = |Phrase { text, class_id, min_score }: &Phrase| TextPhrase {
        text: text.clone(),
        class_id: class_id.clone(),
        min_score: min_score.unwrap_or_default(),
    };
    let refused = |RefusedPhrase { text, reason }: &RefusedPhrase| RefusedPhraseMsg {
        text: convert::text(text),
        reason: convert::text(reason),
    };
    let success = !understood.accepted.is_empty() || understood.refused.is_empty();
    SetText::Response {
        success,
        message: if success { String::new() } else { convert::text(&understood.to_string()) },
        accepted: understood.accepted.iter().map(accepted).collect(),
        refused: understood.refused.iter().map(refused).collect(),
    }
}
