//! Preprocessing allocates memory only for the first frame of a size.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use image::{Rgb, RgbImage};
use promptseg::pixels::{InputSpec, Preprocessor, Resize};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator with a count of allocations for each thread.
struct CountingAllocator;

// SAFETY: the system's allocator serves every call. The counter is a constant-initialised thread local without a
// destructor, which allocates no memory.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller upholds the contract of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller upholds the contract of the system's allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn the_second_frame_allocates_nothing() {
    for resize in [Resize::Letterbox, Resize::Stretch] {
        let mut preprocessor = Preprocessor::new(InputSpec { side: 256, resize, mean: [120.0; 3], std: [58.0; 3] });
        let mut out = vec![0.0; 3 * 256 * 256];
        let mut allocations = |level: u8| {
            let image = RgbImage::from_pixel(320, 180, Rgb([level; 3]));
            let before = ALLOCATIONS.get();
            preprocessor.run(&image, &mut out).unwrap();
            ALLOCATIONS.get() - before
        };
        assert!(allocations(10) > 0, "the allocator does not count");
        assert_eq!(allocations(200), 0, "{resize:?}");
    }
}
