//! The functions of libnvinfer.so.10 and libcuda.so.1 that promptseg calls.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

use crate::state::{Providers, state};

#[unsafe(no_mangle)]
pub extern "C" fn getInferLibVersion() -> i32 {
    std::env::var("STUB_TENSORRT").ok().and_then(|v| v.parse().ok()).unwrap_or(100_300)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_: u32) -> c_int {
    0
}

/// # Safety
/// The pointers must be valid, as cuda.h requires.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(device: *mut c_int, number: c_int) -> c_int {
    unsafe { *device = number };
    i32::from(number > 0)
}

/// # Safety
/// The pointers must be valid, as cuda.h requires.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, _: c_int, _: c_int) -> c_int {
    let given = CString::new(std::env::var("STUB_GPU").unwrap_or("Stub".to_owned())).unwrap();
    unsafe { ptr::copy_nonoverlapping(given.as_ptr(), name, given.as_bytes_with_nul().len()) };
    0
}

/// # Safety
/// The pointers must be valid, as cuda.h requires.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, _: c_int) -> c_int {
    unsafe { *value = if attribute == 75 { 8 } else { 7 } };
    0
}

/// # Safety
/// The pointers must be valid, as cuda.h requires.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDriverGetVersion(version: *mut c_int) -> c_int {
    unsafe { *version = 12_060 };
    0
}

/// # Safety
/// The pointers must be valid, as cuda.h requires.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut *mut c_void, _: c_int) -> c_int {
    unsafe { *context = ptr::null_mut() };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPushCurrent_v2(_: *mut c_void) -> c_int {
    0
}

/// # Safety
/// The pointers must be valid, as cuda.h requires.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxPopCurrent_v2(context: *mut *mut c_void) -> c_int {
    unsafe { *context = ptr::null_mut() };
    0
}

/// Each session that was opened on TensorRT or CUDA takes 100 MB of 8 GB, and other processes take 1 GB.
///
/// # Safety
/// The pointers must be valid, as cuda.h requires.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> c_int {
    let on_gpu = |providers: &Providers| providers.iter().any(|(name, _)| *name != "openvino");
    let sessions = state(|s| s.sessions.values().filter(|(_, providers)| on_gpu(providers)).count());
    unsafe {
        *total = 8_000_000_000;
        *free = 7_000_000_000_usize.saturating_sub(100_000_000 * sessions);
    }
    0
}
