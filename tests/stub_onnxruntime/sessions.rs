//! Sessions, and the caches of engines and compiled models that opening them fills.

use std::ffi::{c_char, c_void};

use ort_sys::{OrtEnv, OrtSession, OrtSessionOptions, OrtStatusPtr};

use crate::library::{fail, real, text};
use crate::settings::{log, setting};
use crate::state::{Options, state};

pub unsafe extern "system" fn create_session(
    env: *const OrtEnv,
    path: *const c_char,
    options: *const OrtSessionOptions,
    out: *mut *mut OrtSession,
) -> OrtStatusPtr {
    unsafe { opened(text(path), options, out, || (real().CreateSession)(env, path, options, out)) }
}

pub unsafe extern "system" fn create_session_from_array(
    env: *const OrtEnv,
    data: *const c_void,
    n: usize,
    options: *const OrtSessionOptions,
    out: *mut *mut OrtSession,
) -> OrtStatusPtr {
    let mut name = format!("memory-{n}");
    if let Some(folder) = std::env::var_os("STUB_GRAPHS") {
        let path = std::path::Path::new(&folder).join(format!("{name}.onnx"));
        std::fs::write(&path, unsafe { std::slice::from_raw_parts(data.cast::<u8>(), n) }).unwrap();
        name = path.display().to_string();
    }
    unsafe { opened(name, options, out, || (real().CreateSessionFromArray)(env, data, n, options, out)) }
}

unsafe fn opened(
    path: String,
    options: *const OrtSessionOptions,
    out: *mut *mut OrtSession,
    make: impl FnOnce() -> OrtStatusPtr,
) -> OrtStatusPtr {
    let providers = state(|s| s.options.get(&(options as usize)).cloned().unwrap_or_default());
    let first = providers.first().map_or("cpu", |(name, _)| name);
    log(&format!("session {first} {path}"));
    if let Some(why) = setting(&format!("{first}.load")) {
        return fail(&why);
    }
    for (name, given) in &providers {
        let outcome = match *name {
            "tensorrt" => engine(&path, given),
            "openvino" => compiled_model(&path, given),
            _ => Ok(()),
        };
        if let Err(why) = outcome {
            return fail(&why);
        }
    }
    let status = make();
    if status.0.is_null() {
        state(|s| s.sessions.insert(unsafe { *out } as usize, (path, providers)));
    }
    status
}

/// Imitates TensorRT's engine cache, without an engine.
fn engine(path: &str, given: &Options) -> Result<(), String> {
    let is = |key: &str| given.get(key).is_some_and(|v| v == "1" || v == "true");
    if !is("trt_engine_cache_enable") {
        log("engine built");
        return Ok(());
    }
    let half = if is("trt_fp16_enable") { "_fp16" } else { "" };
    let file = format!("{}/TRTKernel_{}{half}_sm87.engine", given["trt_engine_cache_path"], path.len());
    match std::fs::read(&file) {
        Ok(content) if content.starts_with(b"ENGINE") => log("engine reused"),
        Ok(_) => return Err(format!("TensorRT EP could not deserialize engine from cache: {file}")),
        Err(_) => {
            // TensorRT also ignores whether the cache could be written.
            let _ = std::fs::write(&file, b"ENGINE of the stub");
            log("engine built");
        }
    }
    Ok(())
}

/// Imitates OpenVINO's cache of compiled models.
fn compiled_model(path: &str, given: &Options) -> Result<(), String> {
    let config = &given["load_config"];
    let Some((_, rest)) = config.split_once("\"CACHE_DIR\":\"") else {
        log("model compiled");
        return Ok(());
    };
    let file = format!("{}/{}.blob", rest.split('"').next().unwrap(), path.len());
    match std::fs::read(&file) {
        Ok(content) if content == b"MODEL of the stub" => log("model reused"),
        Ok(_) => return Err(format!("OpenVINO could not import {file}")),
        Err(_) => {
            let _ = std::fs::write(&file, b"MODEL of the stub");
            log("model compiled");
        }
    }
    Ok(())
}
