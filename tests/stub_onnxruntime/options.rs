//! Options of sessions and runs.

use std::ffi::{c_char, c_int};

use ort_sys::{OrtRunOptions, OrtSessionOptions, OrtStatusPtr};

use crate::library::{OK, real, text};
use crate::settings::log;

pub unsafe extern "system" fn add_run_config(
    options: *mut OrtRunOptions,
    key: *const c_char,
    value: *const c_char,
) -> OrtStatusPtr {
    let given = unsafe { text(value) };
    log(&format!("run-option {}={given}", unsafe { text(key) }));
    if given.starts_with("gpu") {
        return OK; // the CPU has no such arena
    }
    unsafe { (real().AddRunConfigEntry)(options, key, value) }
}

pub unsafe extern "system" fn add_session_config(
    options: *mut OrtSessionOptions,
    key: *const c_char,
    value: *const c_char,
) -> OrtStatusPtr {
    log(&format!("option {}={}", unsafe { text(key) }, unsafe { text(value) }));
    unsafe { (real().AddSessionConfigEntry)(options, key, value) }
}

pub unsafe extern "system" fn set_threads(options: *mut OrtSessionOptions, n: c_int) -> OrtStatusPtr {
    log(&format!("option threads={n}"));
    unsafe { (real().SetIntraOpNumThreads)(options, n) }
}

pub unsafe extern "system" fn disable_pattern(options: *mut OrtSessionOptions) -> OrtStatusPtr {
    log("option memory-pattern=0");
    unsafe { (real().DisableMemPattern)(options) }
}

pub unsafe extern "system" fn disable_arena(options: *mut OrtSessionOptions) -> OrtStatusPtr {
    log("option arena=0");
    unsafe { (real().DisableCpuMemArena)(options) }
}
