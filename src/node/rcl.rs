//! What C offers and r2r does not: remapping rules, the memory of the process and its end. The only module with `unsafe` code; the rest
//! of the crate denies it.

#![allow(unsafe_code)]

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

/// Ends the process at once, without the destructors of C++ libraries: a thread of theirs may still run.
pub fn end_process(status: i32) -> ! {
    // SAFETY: takes no memory of ours and does not return.
    unsafe { libc::_exit(status) }
}

/// Has all threads share one heap, where an image takes the room of an earlier one. Of glibc's own ways, a heap for each
/// thread keeps what the largest images in it once took (80 MB more after some hundred of 1280x720), and a block of its own
/// from the system for each image lets the resident memory move by tens of megabytes and makes the system clear new pages
/// for every image.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes numbers; called before there are other threads.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20); // the most that glibc takes
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
    }
}

/// Gives freed memory back to the system: the heap keeps it otherwise.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number; safe to call from any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
