//! `~/get_cloud`: the points of an object.

use std::sync::Arc;

use futures::StreamExt as _;
use r2r::promptseg_msgs::srv::GetCloud;

use super::serve::{DEACTIVATED, active, guarded, respond};
use crate::node::error::NodeError;
use crate::node::ros::topics::{Requests, Topics};
use crate::node::slot::CameraSlot;

/// Makes `~/get_cloud`.
///
/// # Errors
/// The middleware refuses the service.
pub fn serve_clouds(topics: &mut Topics, slot: &Arc<CameraSlot>) -> Result<(), NodeError> {
    let mut requests: Requests<GetCloud::Service> = topics.service("~/get_cloud")?;
    let slot = Arc::clone(slot);
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let (slot, object_id) = (Arc::clone(&slot), request.message.object_id);
            // A task for each request: one that waits for depth does not delay the others.
            tokio::spawn(async move {
                let response = guarded(cloud(slot, object_id)).await.unwrap_or_else(|message| GetCloud::Response {
                    success: false,
                    message,
                    ..GetCloud::Response::default()
                });
                respond(request, response);
            });
        }
    });
    Ok(())
}

async fn cloud(slot: Arc<CameraSlot>, object_id: u32) -> Result<GetCloud::Response, String> {
    let answer = active(&slot).await?.depth.request(object_id)?;
    answer.await.unwrap_or_else(|_| Err(DEACTIVATED.to_owned()))
}
