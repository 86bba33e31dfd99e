//! The service `~/segment_everything`: one answer for each request.

use std::sync::Arc;

use futures::StreamExt as _;
use r2r::ServiceRequest;
use r2r::promptseg_msgs::srv::SegmentEverything as Srv;

use super::clients::ServiceClients;
use super::request::{EverythingRequest, submit};
use crate::node::error::NodeError;
use crate::node::ros::convert;
use crate::node::ros::topics::{Requests, Topics};
use crate::node::services::serve::{guarded, respond};
use crate::node::slot::CameraSlot;

/// Makes the service.
///
/// # Errors
/// The middleware refuses the service.
pub fn serve(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    let mut requests: Requests<Srv::Service> = topics.service("~/segment_everything")?;
    let clients = ServiceClients { node: topics.spinning(), service: topics.resolve("~/segment_everything") };
    let slot = Arc::clone(slot);
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            // A task for each request: they wait in the engine.
            tokio::spawn(answer(Arc::clone(&slot), clients.clone(), request));
        }
    });
    Ok(())
}

async fn answer(slot: Arc<CameraSlot>, clients: ServiceClients, mut request: ServiceRequest<Srv::Service>) {
    let message = EverythingRequest::from(std::mem::take(&mut request.message));
    let masks = async move {
        let submitted = submit(&slot, message).await?;
        // The answer is dropped with the future, which cancels the generation.
        tokio::select! {
            found = submitted.finish(&slot) => found,
            () = clients.gone() => {
                tracing::info!("~/segment_everything: a request is cancelled, because its client is gone");
                Err("the client is gone".to_owned())
            }
        }
    };
    let response = match guarded(masks).await {
        Ok(found) => Srv::Response { success: true, message: convert::text(&found.note), result: found.masks },
        Err(message) => Srv::Response { success: false, message: convert::text(&message), ..Srv::Response::default() },
    };
    respond(request, response);
}

impl From<Srv::Request> for EverythingRequest {
    fn from(m: Srv::Request) -> Self {
        let Srv::Request { image, stamp, region, points_per_side, min_iou, min_stability, min_area, parameters } = m;
        EverythingRequest { image, stamp, region, points_per_side, min_iou, min_stability, min_area, parameters }
    }
}
