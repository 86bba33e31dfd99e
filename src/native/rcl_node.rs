//! The node of rcl, which r2r does not offer. [`__wrap_rcl_node_init`], which the linker calls instead of `rcl_node_init`
//! (`build.rs`), stores it.

use std::ffi::{CString, c_char};
use std::sync::atomic::{AtomicPtr, Ordering};

use r2r::Node;
use r2r_rcl::{RCL_RET_OK, rcl_context_t, rcl_count_clients, rcl_node_options_t, rcl_node_t, rcl_ret_t};

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

/// Returns the node of rcl; null if rcl has made none. r2r keeps it at one address as long as `_node` lives, and the exclusive
/// borrow excludes other uses of the node.
pub(super) fn pointer(_node: &mut Node) -> *mut rcl_node_t {
    NODE.load(Ordering::Acquire)
}

/// Returns how many clients of a service the node knows. `service`: full name, after remapping. `None` if rcl does not say.
pub fn count_clients(node: &mut Node, service: &str) -> Option<usize> {
    let node = pointer(node);
    let service = CString::new(service).ok()?;
    let mut count = 0;
    // SAFETY: the node is valid, see `pointer`; rcl refuses a null pointer. The name ends with a zero byte and outlives the
    // call, and so does the number.
    let status = unsafe { rcl_count_clients(node, service.as_ptr(), &raw mut count) };
    (status == RCL_RET_OK as rcl_ret_t).then_some(count)
}
