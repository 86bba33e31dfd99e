//! The memory of the process, and its end.

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
