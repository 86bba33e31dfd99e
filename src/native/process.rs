//! The memory of the process, and its end.

/// Ends the process at once, without the destructors of C++ libraries, whose threads may still run.
pub fn end_process(status: i32) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(status) }
}

/// Makes all threads share one heap, so that an image takes the memory of an earlier image.
///
/// glibc's defaults are worse. With a heap for each thread, each heap keeps the memory of its largest images: 80 MB
/// more after some hundred images of 1280x720. With a block from the system for each image, the resident memory varies
/// by tens of megabytes and the system clears new pages for every image.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the calls take numbers, before any other thread exists.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20); // the largest value that glibc accepts
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
    }
}

/// Returns freed memory to the system. The heap keeps the memory otherwise.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a number and is safe on any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
