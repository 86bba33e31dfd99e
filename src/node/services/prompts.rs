//! Prompts with an answer: `~/segment`, `~/new_object`, `~/clear`, `~/undo`.

use std::future::Future;
use std::sync::Arc;

use futures::StreamExt as _;
use r2r::ServiceRequest;
use r2r::promptseg_msgs::msg::MaskArray;
use r2r::promptseg_msgs::srv::Segment as SegmentSrv;
use r2r::std_srvs::srv::Trigger;
use tokio::sync::oneshot;

use super::serve::{DEACTIVATED, active, guarded, respond};
use crate::engine::{FrameRef, FrameResult, Interaction, Refusal, RefusalKind, Segment, SegmentOn};
use crate::node::config::MaskEncoding;
use crate::node::error::NodeError;
use crate::node::outputs::mask_array;
use crate::node::ros::convert;
use crate::node::ros::topics::{Requests, Topics};
use crate::node::slot::{ActiveCamera, CameraSlot};

/// Makes `~/segment`, `~/new_object`, `~/clear` and `~/undo`.
///
/// # Errors
/// The middleware refuses a service.
pub fn serve_prompts(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    let mut segments: Requests<SegmentSrv::Service> = topics.service("~/segment")?;
    let s = Arc::clone(slot);
    tokio::spawn(async move {
        while let Some(request) = segments.next().await {
            // A task for each request: a large image of one client does not delay other clients.
            tokio::spawn(segment(Arc::clone(&s), request));
        }
    });
    for (name, done, interaction) in [
        ("~/new_object", "the next click starts a new object", (|| Interaction::NewObject) as fn() -> Interaction),
        ("~/clear", "all objects are cleared", || Interaction::Clear),
    ] {
        trigger(topics, name, slot, move |slot| async move {
            let camera = active(&slot).await?;
            camera.engine.interact(interaction()).map(|()| done.to_owned()).map_err(|refusal| refusal.message)
        })?;
    }
    trigger(topics, "~/undo", slot, undo)
}

/// Serves a trigger. Its answer has a message: what was done, or the reason that nothing was done.
fn trigger<F>(
    topics: &mut Topics,
    name: &str,
    slot: &Arc<CameraSlot>,
    answer: impl Fn(Arc<CameraSlot>) -> F + Send + 'static,
) -> Result<(), NodeError>
where
    F: Future<Output = Result<String, String>> + Send + 'static,
{
    let mut requests: Requests<Trigger::Service> = topics.service(name)?;
    let slot = Arc::clone(slot);
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let (success, message) = match guarded(answer(Arc::clone(&slot))).await {
                Ok(done) => (true, done),
                Err(reason) => (false, reason),
            };
            respond(request, Trigger::Response { success, message });
        }
    });
    Ok(())
}

/// Takes the last prompt back. Returns what was taken back, or the reason that nothing was.
async fn undo(slot: Arc<CameraSlot>) -> Result<String, String> {
    let (reply, answer) = oneshot::channel();
    active(&slot).await?.engine.interact(Interaction::Undo { reply }).map_err(|refusal| refusal.message)?;
    answer.await.unwrap_or_else(|_| Err(format!("no answer: it failed (see the log), or {DEACTIVATED}")))
}

/// Answers a request of `~/segment`.
async fn segment(slot: Arc<CameraSlot>, mut request: ServiceRequest<SegmentSrv::Service>) {
    let message = std::mem::take(&mut request.message);
    let response = match guarded(masks(slot, message)).await {
        Ok(result) => SegmentSrv::Response { success: true, message: String::new(), result },
        Err(message) => SegmentSrv::Response { success: false, message, ..SegmentSrv::Response::default() },
    };
    respond(request, response);
}

/// Returns the masks of a request, or the reason of its refusal.
async fn masks(slot: Arc<CameraSlot>, request: SegmentSrv::Request) -> Result<MaskArray, String> {
    let (answer, model) = {
        let camera = active(&slot).await?;
        (submit(&camera, request), camera.model.name.clone())
    };
    let log_refusal = |refusal: Refusal| {
        if let Some(camera) = slot.get() {
            camera.refusals.warn("~/segment", &refusal);
        }
        refusal.message
    };
    answer.await.map(|result| mask_array(&result, &model, MaskEncoding::Raw)).map_err(log_refusal)
}

/// Hands a request to the engine at once, and returns the future of its result.
fn submit(
    camera: &ActiveCamera,
    request: SegmentSrv::Request,
) -> impl Future<Output = Result<FrameResult, Refusal>> + use<> {
    let (reply, answer) = oneshot::channel();
    let objects = convert::object_prompts(request.objects);
    let refused = match objects {
        Ok(objects) => {
            let on = match convert::is_absent(&request.image) {
                true => SegmentOn::Frame(FrameRef::from(convert::stamp(&request.stamp))),
                false => SegmentOn::Image(convert::frame(request.image)),
            };
            camera.engine.segment(Segment { on, objects, all_candidates: request.all_candidates, reply });
            None
        }
        Err(refusal) => {
            camera.engine.count_refusal(refusal.kind);
            Some(refusal)
        }
    };
    async move {
        match refused {
            Some(refusal) => Err(refusal),
            None => answer.await.unwrap_or_else(|_| Err(Refusal::new(RefusalKind::ModelFailed, DEACTIVATED))),
        }
    }
}
