//! What rcl knows about the types of the node's topics, for `~/get_type_description`. rclcpp serves it with a function of rcl
//! that takes the node, which r2r hides; so the linker puts [`__wrap_rcl_node_init`] before rcl's own (`build.rs`).

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use r2r::type_description_interfaces::srv::GetTypeDescription::{Request, Response};
use r2r::{NativeMsg, Node, WrappedTypesupport as _};
use r2r_rcl::{
    RCL_RET_OK, rcl_context_t, rcl_node_options_t, rcl_node_t, rcl_node_type_description_service_handle_request,
    rcl_ret_t, rmw_request_id_t,
};

unsafe extern "C" {
    /// rcl's own `rcl_node_init`.
    #[link_name = "__real_rcl_node_init"]
    fn real_rcl_node_init(
        node: *mut rcl_node_t,
        name: *const c_char,
        namespace: *const c_char,
        context: *mut rcl_context_t,
        options: *const rcl_node_options_t,
    ) -> rcl_ret_t;
}

/// The node that was made last; this process has one.
static NODE: AtomicPtr<rcl_node_t> = AtomicPtr::new(std::ptr::null_mut());

/// Calls `rcl_node_init` and notes the node.
///
/// # Safety
/// As `rcl_node_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_rcl_node_init(
    node: *mut rcl_node_t,
    name: *const c_char,
    namespace: *const c_char,
    context: *mut rcl_context_t,
    options: *const rcl_node_options_t,
) -> rcl_ret_t {
    // SAFETY: passed on as the caller gave them.
    let made = unsafe { real_rcl_node_init(node, name, namespace, context, options) };
    if made == RCL_RET_OK as rcl_ret_t {
        NODE.store(node, Ordering::Release);
    }
    made
}

/// Answers a request of `~/get_type_description`. `_node` is the node of this process, which nobody else uses meanwhile.
pub fn describe(_node: &mut Node, request: &Request) -> Response {
    let node = NODE.load(Ordering::Acquire);
    if node.is_null() {
        let failure_reason = "the node is unknown to rcl".to_owned();
        return Response { failure_reason, ..Response::default() };
    }
    let request = NativeMsg::<Request>::from(request);
    let response = NativeMsg::<Response>::new();
    // SAFETY: a plain structure of numbers, which rcl does not read.
    let header: rmw_request_id_t = unsafe { std::mem::zeroed() };
    // SAFETY: r2r keeps its node in one place for as long as `_node` lives, and it is ours alone meanwhile. The messages are
    // of the types that rcl expects, made by their own functions, and outlive the call.
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
