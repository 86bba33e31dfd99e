//! rcl's remapping rules, which r2r leaves out.

use std::ffi::{CStr, CString, c_char};

use r2r_rcl::{
    RCL_RET_OK, rcl_allocator_t, rcl_arguments_fini, rcl_arguments_t, rcl_get_zero_initialized_arguments,
    rcl_parse_arguments, rcl_ret_t, rcutils_get_default_allocator,
};

unsafe extern "C" {
    /// rcl/remap.h, which r2r_rcl leaves out. `output` is null when no rule matches.
    fn rcl_remap_topic_name(
        local: *const rcl_arguments_t,
        global: *const rcl_arguments_t,
        topic: *const c_char,
        node_name: *const c_char,
        node_namespace: *const c_char,
        allocator: rcl_allocator_t,
        output: *mut *mut c_char,
    ) -> rcl_ret_t;
}

/// The remapping rules of a command line.
pub struct Rules(rcl_arguments_t);

impl Rules {
    /// # Errors
    /// It is no ROS command line.
    pub fn parse(arguments: &[CString]) -> r2r::Result<Self> {
        let pointers: Vec<*const c_char> = arguments.iter().map(|a| a.as_ptr()).collect();
        // SAFETY: takes nothing, returns a plain value.
        let mut rules = unsafe { rcl_get_zero_initialized_arguments() };
        // SAFETY: `pointers` are as many strings as said, which end with a zero byte and live until the call is over: rcl
        // copies what it keeps. `rules` is zero-initialized, as asked for.
        let parsed = unsafe {
            rcl_parse_arguments(
                pointers.len() as i32,
                pointers.as_ptr(),
                rcutils_get_default_allocator(),
                &raw mut rules,
            )
        };
        if parsed == RCL_RET_OK as rcl_ret_t { Ok(Rules(rules)) } else { Err(r2r::Error::from_rcl_error(parsed)) }
    }

    /// The full name of a topic after remapping, where a rule matches.
    pub fn remap(&self, topic: &CStr, node: &CStr, namespace: &CStr) -> Option<String> {
        let mut output: *mut c_char = std::ptr::null_mut();
        // SAFETY: the rules were filled by rcl_parse_arguments and are not freed before `self`; no local rules are a null
        // pointer; the strings end with a zero byte and outlive the call, which writes at most one pointer to `output`.
        let remapped = unsafe {
            rcl_remap_topic_name(
                std::ptr::null(),
                &raw const self.0,
                topic.as_ptr(),
                node.as_ptr(),
                namespace.as_ptr(),
                rcutils_get_default_allocator(),
                &raw mut output,
            )
        };
        if remapped != RCL_RET_OK as rcl_ret_t || output.is_null() {
            return None;
        }
        // SAFETY: rcl wrote a string that ends with a zero byte, with the allocator given above, and it is ours now.
        unsafe {
            let resolved = CStr::from_ptr(output).to_string_lossy().into_owned();
            let allocator = rcutils_get_default_allocator();
            if let Some(free) = allocator.deallocate {
                free(output.cast(), allocator.state);
            }
            Some(resolved)
        }
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        // SAFETY: filled by rcl_parse_arguments, and freed only here.
        unsafe { rcl_arguments_fini(&raw mut self.0) };
    }
}
