//! `~/get_type_description`.

use futures::StreamExt as _;
use r2r::type_description_interfaces::srv::GetTypeDescription::{Response, Service};
use tokio::sync::oneshot;

use super::serve::respond;
use crate::node::error::NodeError;
use crate::node::ros::topics::{Requests, Topics};

/// Serves `~/get_type_description`, as rclcpp does since Iron.
///
/// # Errors
/// The middleware refuses the service.
pub fn serve_type_description(topics: &mut Topics) -> Result<(), NodeError> {
    let mut requests: Requests<Service> = topics.service("~/get_type_description")?;
    let node = topics.spinning();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let (reply, answer) = oneshot::channel();
            let message = request.message.clone();
            let ran = node.with_node(move |node| {
                // Fails only while the node ends: nobody waits for the answer.
                let _ = reply.send(crate::native::node_types::describe(node, &message));
                Ok(())
            });
            let failed = match ran.await {
                Ok(()) => String::new(),
                Err(e) => e.to_string(),
            };
            let response = answer.await.unwrap_or(Response { failure_reason: failed, ..Response::default() });
            respond(request, response);
        }
    });
    Ok(())
}
