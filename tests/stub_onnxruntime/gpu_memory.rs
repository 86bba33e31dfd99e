//! Bindings and allocators, whose memory is reported as GPU memory.

use std::ffi::c_char;
use std::ptr;

use ort_sys::{
    OrtAllocator, OrtAllocatorType, OrtIoBinding, OrtMemType, OrtMemoryInfo, OrtSession, OrtStatusPtr, OrtValue,
};

use crate::library::{OK, real, text};
use crate::runs::{break_value, runs_on, shape};
use crate::settings::{log, setting};
use crate::state::state;

unsafe fn cpu() -> *const OrtMemoryInfo {
    let mut info = ptr::null_mut();
    unsafe {
        let (kind, place) = (OrtAllocatorType::OrtDeviceAllocator, OrtMemType::OrtMemTypeDefault);
        assert!((real().CreateMemoryInfo)(c"Cpu".as_ptr(), kind, 0, place, &mut info).0.is_null());
    }
    info
}

unsafe fn name_of(info: *const OrtMemoryInfo) -> String {
    let mut name = ptr::null();
    unsafe {
        assert!((real().MemoryInfoGetName)(info, &mut name).0.is_null());
        text(name)
    }
}

/// Creates a memory info named "Cuda", which is never released.
unsafe fn gpu() -> usize {
    let mut info = ptr::null_mut();
    unsafe {
        let (kind, place) = (OrtAllocatorType::OrtDeviceAllocator, OrtMemType::OrtMemTypeDefault);
        assert!((real().CreateMemoryInfo)(c"Cuda".as_ptr(), kind, 0, place, &mut info).0.is_null());
    }
    info as usize
}

pub unsafe extern "system" fn create_binding(session: *mut OrtSession, out: *mut *mut OrtIoBinding) -> OrtStatusPtr {
    let status = unsafe { (real().CreateIoBinding)(session, out) };
    state(|s| {
        s.bindings.insert(unsafe { *out } as usize, session as usize);
        s.bound_to_gpu.remove(&(unsafe { *out } as usize));
    });
    status
}

pub unsafe extern "system" fn bind_input(
    binding: *mut OrtIoBinding,
    name: *const c_char,
    value: *const OrtValue,
) -> OrtStatusPtr {
    log(&format!("bind-input {}{:?}", unsafe { text(name) }, unsafe { shape(value) }));
    unsafe { (real().BindInput)(binding, name, value) }
}

pub unsafe extern "system" fn bind_to_device(
    binding: *mut OrtIoBinding,
    name: *const c_char,
    info: *const OrtMemoryInfo,
) -> OrtStatusPtr {
    let place = unsafe { name_of(info) };
    log(&format!("bind {} {place}", unsafe { text(name) }));
    if place == "Cuda" {
        state(|s| s.bound_to_gpu.insert(binding as usize, unsafe { gpu() }));
        return unsafe { (real().BindOutputToDevice)(binding, name, cpu()) };
    }
    state(|s| s.bound_to_gpu.remove(&(binding as usize)));
    unsafe { (real().BindOutputToDevice)(binding, name, info) }
}

pub unsafe extern "system" fn bound_values(
    binding: *const OrtIoBinding,
    allocator: *mut OrtAllocator,
    out: *mut *mut *mut OrtValue,
    n: *mut usize,
) -> OrtStatusPtr {
    let status = unsafe { (real().GetBoundOutputValues)(binding, allocator, out, n) };
    let place = state(|s| s.bound_to_gpu.get(&(binding as usize)).copied());
    let session = state(|s| s.bindings.get(&(binding as usize)).copied().unwrap_or_default());
    let half = runs_on(session as *const OrtSession).1;
    for i in 0..unsafe { *n } {
        let value = unsafe { *(*out).add(i) };
        if let Some(place) = place {
            state(|s| s.values.insert(value as usize, place));
        }
        if half && setting("fp16").is_some() {
            unsafe { break_value(value) };
        }
    }
    status
}

pub unsafe extern "system" fn create_allocator(
    session: *const OrtSession,
    info: *const OrtMemoryInfo,
    out: *mut *mut OrtAllocator,
) -> OrtStatusPtr {
    let place = unsafe { name_of(info) };
    log(&format!("allocator {place}"));
    let status = unsafe { (real().CreateAllocator)(session, if place == "Cpu" { info } else { cpu() }, out) };
    if place == "Cuda" {
        state(|s| s.allocators.insert(unsafe { *out } as usize, unsafe { gpu() }));
    }
    status
}

pub unsafe extern "system" fn create_tensor(
    allocator: *mut OrtAllocator,
    shape: *const i64,
    rank: usize,
    kind: ort_sys::ONNXTensorElementDataType,
    out: *mut *mut OrtValue,
) -> OrtStatusPtr {
    let status = unsafe { (real().CreateTensorAsOrtValue)(allocator, shape, rank, kind, out) };
    state(|s| {
        if let Some(place) = s.allocators.get(&(allocator as usize)) {
            s.values.insert(unsafe { *out } as usize, *place);
        }
    });
    status
}

pub unsafe extern "system" fn memory_info(value: *const OrtValue, out: *mut *const OrtMemoryInfo) -> OrtStatusPtr {
    match state(|s| s.values.get(&(value as usize)).copied()) {
        Some(place) => unsafe {
            *out = place as *const OrtMemoryInfo;
            OK
        },
        None => unsafe { (real().GetTensorMemoryInfo)(value, out) },
    }
}

pub unsafe extern "system" fn release_value(value: *mut OrtValue) {
    state(|s| s.values.remove(&(value as usize)));
    unsafe { (real().ReleaseValue)(value) };
}
