//! Descriptions of the node's message types, for the service `~/get_type_description`. A function of rcl describes them.

use std::ffi::c_void;

use r2r::type_description_interfaces::srv::GetTypeDescription::{Request, Response};
use r2r::{NativeMsg, Node, WrappedTypesupport as _};
use r2r_rcl::{rcl_node_type_description_service_handle_request, rmw_request_id_t};

use super::rcl_node;

/// Answers a request of `~/get_type_description`. The exclusive borrow of `node` excludes other uses of the node
/// during the call.
pub fn describe(node: &mut Node, request: &Request) -> Response {
    let node = rcl_node::pointer(node);
    if node.is_null() {
        let failure_reason = "the node is unknown to rcl".to_owned();
        return Response { failure_reason, ..Response::default() };
    }
    let request = NativeMsg::<Request>::from(request);
    let response = NativeMsg::<Response>::new();
    // SAFETY: the structure holds numbers alone, and rcl does not read them.
    let header: rmw_request_id_t = unsafe { std::mem::zeroed() };
    // SAFETY: r2r keeps the node at one address as long as the borrow of `node`, which is exclusive. The messages
    // have the types that rcl expects, were created by the functions of these types, and outlive the call.
    unsafe {
        rcl_node_type_description_service_handle_request(
            node,
            &raw const header,
            request.msg.cast::<c_void>().cast(),
            response.msg.cast::<c_void>().cast(),
        );
    }
    Response::from_native(&response)
}
