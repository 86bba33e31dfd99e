//! Descriptions of the node's message types, for the service `~/get_type_description`. A function of rcl describes them,
//! and takes the node of rcl, which r2r does not offer. [`__wrap_rcl_node_init`], which the linker calls instead of
//! `rcl_node_init` (`build.rs`), stores that node.

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use r2r::type_description_interfaces::srv::GetTypeDescription::{Request, Response};
use r2r::{NativeMsg, Node, WrappedTypesupport as _};
use r2r_rcl::{
    RCL_RET_OK, rcl_context_t, rcl_node_options_t, rcl_node_t, rcl_node_type_description_service_handle_request,
    rcl_ret_t, rmw_request_id_t,
};

unsafe extern "C" {
    /// `rcl_node_init` of rcl.
    #[link_name = "__real_rcl_node_init"]
    fn real_rcl_node_init(
        node: *mut rcl_node_t,
        name: *const c_char,
        namespace: *const c_char,
        context: *mut rcl_context_t,
        options: *const rcl_node_options_t,
    ) -> rcl_ret_t;
}

/// The node that was created last; this process has one node.
static NODE: AtomicPtr<rcl_node_t> = AtomicPtr::new(std::ptr::null_mut());

/// Calls `rcl_node_init` and stores the node.
///
/// # Safety
/// The contract of `rcl_node_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_rcl_node_init(
    node: *mut rcl_node_t,
    name: *const c_char,
    namespace: *const c_char,
    context: *mut rcl_context_t,
    options: *const rcl_node_options_t,
) -> rcl_ret_t {
    // SAFETY: the caller upholds the contract of `rcl_node_init`.
    let status = unsafe { real_rcl_node_init(node, name, namespace, context, options) };
    if status == RCL_RET_OK as rcl_ret_t {
        NODE.store(node, Ordering::Release);
    }
    status
}

/// Answers a request of `~/get_type_description`. The exclusive borrow of `_node` excludes other uses of the node during
/// the call.
pub fn describe(_node: &mut Node, request: &Request) -> Response {
    let node = NODE.load(Ordering::Acquire);
    if node.is_null() {
        let failure_reason = "the node is unknown to rcl".to_owned();
        return Response { failure_reason, ..Response::default() };
    }
    let request = NativeMsg::<Request>::from(request);
    let response = NativeMsg::<Response>::new();
    // SAFETY: the structure holds numbers alone, and rcl does not read them.
    let header: rmw_request_id_t = unsafe { std::mem::zeroed() };
    // SAFETY: r2r keeps the node at one address as long as `_node` lives, and `_node` is borrowed exclusively. The messages
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
