//! Tasks that answer the requests of a service, and what requests to an active node have in common.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::StreamExt as _;
use r2r::{ServiceRequest, WrappedServiceTypeSupport};

use crate::engine::DEFECT;
use crate::node::ros::topics::Requests;
use crate::node::slot::{ActiveCamera, CameraSlot};

/// Message for a request whose node was deactivated before the answer. A task that waits for an answer holds no reference to
/// the camera: deactivation drops the request, which ends the waiting.
pub const DEACTIVATED: &str = "the node was deactivated";

/// Returns the camera of an active node, or the message for a node that is not active.
pub async fn active(slot: &CameraSlot) -> Result<Arc<ActiveCamera>, String> {
    let inactive = || "the node is not active: configure and activate it (ros2 lifecycle set)".to_owned();
    slot.wait().await.ok_or_else(inactive)
}

/// Answers requests one after the other, on a task of its own. A request whose answer panics has no answer.
pub fn serve<T, F>(mut requests: Requests<T>, mut answer: F)
where
    T: WrappedServiceTypeSupport + 'static,
    T::Request: Send,
    T::Response: Send,
    F: FnMut(&T::Request) -> T::Response + Send + 'static,
{
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            // No answer is invented: the client runs into its timeout.
            match catch_unwind(AssertUnwindSafe(|| answer(&request.message))) {
                Ok(response) => respond(request, response),
                Err(_) => tracing::error!("a service panicked (see above), its request has no answer; {DEFECT}"),
            }
        }
    });
}

/// Runs an answer that carries an error message, and turns a panic into one.
pub async fn guarded<T: Send + 'static>(
    answer: impl Future<Output = Result<T, String>> + Send + 'static,
) -> Result<T, String> {
    tokio::spawn(answer).await.unwrap_or_else(|panicked| {
        let message = format!("{panicked}; {DEFECT}");
        tracing::error!("a service: {message}");
        Err(message)
    })
}

/// Sends an answer. A failure is logged.
pub fn respond<T: WrappedServiceTypeSupport + 'static>(request: ServiceRequest<T>, response: T::Response) {
    if let Err(e) = request.respond(response) {
        tracing::warn!("a service's answer could not be sent: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_the_error_message_of_its_answer() {
        let message = guarded(async { if true { panic!("on purpose") } else { Ok(()) } }).await.unwrap_err();
        assert!(message.contains("on purpose") && message.contains(DEFECT), "{message}");
        assert_eq!(guarded(async { Ok(1) }).await, Ok(1));
        assert_eq!(guarded(async { Err::<(), _>("no".to_owned()) }).await, Err("no".to_owned()));
    }
}
