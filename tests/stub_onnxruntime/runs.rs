//! Runs of a session.

use std::ffi::c_char;
use std::path::Path;
use std::ptr;
use std::time::{Duration, Instant};

use ort_sys::{OrtIoBinding, OrtRunOptions, OrtSession, OrtStatusPtr, OrtValue};

use crate::library::{OK, fail, real, text};
use crate::settings::{log, setting};
use crate::state::state;

/// Returns the name of the session's provider, and whether it computes in half precision.
pub fn runs_on(session: *const OrtSession) -> (&'static str, bool) {
    state(|s| {
        let Some((path, providers)) = s.sessions.get(&(session as usize)) else { return ("cpu", false) };
        let Some((name, given)) = providers.first() else { return ("cpu", false) };
        let half = given.get("trt_fp16_enable").is_some_and(|v| v == "true")
            || given.get("load_config").is_some_and(|v| v.contains(r#""INFERENCE_PRECISION_HINT":"bf16""#))
            || Path::new(path).file_name().is_some_and(|name| name.to_string_lossy().contains("fp16"));
        (*name, half)
    })
}

/// Waits as long as a run of the session, which began at `begun`, is slower than on the CPU.
fn wait(provider: &str, session: *const OrtSession, begun: Instant) {
    let Some(slow) = setting(&format!("{provider}.slow")) else { return };
    let (part, ms) = slow.split_once(':').unwrap();
    let path = state(|s| s.sessions.get(&(session as usize)).map(|(path, _)| path.clone())).unwrap_or_default();
    if path.contains(part) {
        let least = Duration::from_millis(ms.parse().unwrap());
        std::thread::sleep(least.max(2 * begun.elapsed()));
    }
}

/// Whether a run of the session gives negated results.
fn is_negated(provider: &str, session: *const OrtSession) -> bool {
    let Some(part) = setting(&format!("{provider}.negated")) else { return false };
    state(|s| s.sessions.get(&(session as usize)).is_some_and(|(path, _)| path.contains(&part)))
}

/// Whether TensorRT's engine was not built for an input of this shape.
fn outside_of_profile(session: *const OrtSession, name: &str, shape: &[i64]) -> bool {
    state(|s| {
        let Some((_, providers)) = s.sessions.get(&(session as usize)) else { return false };
        let Some(("tensorrt", given)) = providers.first() else { return false };
        let bound = |key: &str| {
            let list = given.get(key)?;
            let sizes = list.split(',').find_map(|entry| entry.strip_prefix(name)?.strip_prefix(':'))?;
            Some(sizes.split('x').map(|n| n.parse().unwrap()).collect::<Vec<i64>>())
        };
        let (Some(min), Some(max)) = (bound("trt_profile_min_shapes"), bound("trt_profile_max_shapes")) else {
            return false;
        };
        shape.iter().zip(min.iter().zip(&max)).any(|(n, (least, most))| !(least..=most).contains(&n))
    })
}

pub unsafe fn shape(value: *const OrtValue) -> Vec<i64> {
    let (mut info, mut rank) = (ptr::null_mut(), 0);
    let api = real();
    unsafe {
        assert!((api.GetTensorTypeAndShape)(value, &mut info).0.is_null());
        assert!((api.GetDimensionsCount)(info, &mut rank).0.is_null());
        let mut shape = vec![0; rank];
        assert!((api.GetDimensions)(info, shape.as_mut_ptr(), rank).0.is_null());
        (api.ReleaseTensorTypeAndShapeInfo)(info);
        shape
    }
}

/// Negates a value, to imitate faulty half precision.
pub unsafe fn break_value(value: *mut OrtValue) {
    let mut data = ptr::null_mut();
    unsafe {
        let elements = shape(value).iter().product::<i64>() as usize;
        assert!((real().GetTensorMutableData)(value, &mut data).0.is_null());
        std::slice::from_raw_parts_mut(data.cast::<f32>(), elements).iter_mut().for_each(|v| *v = -*v);
    }
}

pub unsafe extern "system" fn run(
    session: *mut OrtSession,
    options: *const OrtRunOptions,
    input_names: *const *const c_char,
    inputs: *const *const OrtValue,
    n: usize,
    output_names: *const *const c_char,
    n_out: usize,
    outputs: *mut *mut OrtValue,
) -> OrtStatusPtr {
    let (provider, half) = runs_on(session);
    let mut line = format!("run {provider}");
    let empty = setting("nothing");
    for i in 0..n {
        let (name, value) = unsafe { (text(*input_names.add(i)), *inputs.add(i)) };
        if empty.as_ref() == Some(&name) {
            return OK;
        }
        let place = state(|s| if s.values.contains_key(&(value as usize)) { "gpu" } else { "host" });
        let shape = unsafe { shape(value) };
        line.push_str(&format!(" {name}@{place}{shape:?}").replace(", ", "x"));
        if outside_of_profile(session, &name, &shape) {
            // As the real one, which then takes minutes.
            log(&format!("engine rebuilt for {name}{shape:?}"));
        }
        let most = setting("most").and_then(|n| n.parse::<i64>().ok()).unwrap_or(i64::MAX);
        let full = setting("full").as_ref() == Some(&name) || shape.len() == 3 && shape[0] > most;
        if provider != "cpu" && full {
            log(&line);
            return fail("CUDA failure 2: out of memory");
        }
    }
    for i in 0..n_out {
        line.push_str(&format!(" ->{}", unsafe { text(*output_names.add(i)) }));
    }
    log(&line);
    if let Some(why) = setting(&format!("{provider}.run")) {
        return fail(&why);
    }
    let begun = Instant::now();
    let status = unsafe { (real().Run)(session, options, input_names, inputs, n, output_names, n_out, outputs) };
    wait(provider, session, begun);
    let broken = half && setting("fp16").is_some() || is_negated(provider, session);
    if status.0.is_null() && broken {
        (0..n_out).for_each(|i| unsafe { break_value(*outputs.add(i)) });
    }
    status
}

pub unsafe extern "system" fn run_with_binding(
    session: *mut OrtSession,
    options: *const OrtRunOptions,
    binding: *const OrtIoBinding,
) -> OrtStatusPtr {
    let (provider, _) = runs_on(session);
    log(&format!("run-binding {provider}"));
    if let Some(why) = setting(&format!("{provider}.run")) {
        return fail(&why);
    }
    let begun = Instant::now();
    let status = unsafe { (real().RunWithBinding)(session, options, binding) };
    wait(provider, session, begun);
    status
}
