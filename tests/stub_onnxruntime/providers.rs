//! The providers that are compiled in, and their options.

use std::ffi::{c_char, c_int};

use ort_sys::{OrtCUDAProviderOptionsV2, OrtSessionOptions, OrtStatusPtr, OrtTensorRTProviderOptionsV2};

use crate::library::{OK, fail, real, text};
use crate::settings::{log, setting};
use crate::state::{Options, state};

pub unsafe extern "system" fn available(out: *mut *mut *mut c_char, n: *mut c_int) -> OrtStatusPtr {
    let without = setting("without").unwrap_or_default();
    let all = [
        ("tensorrt", c"TensorrtExecutionProvider"),
        ("cuda", c"CUDAExecutionProvider"),
        ("openvino", c"OpenVINOExecutionProvider"),
        ("", c"CPUExecutionProvider"),
    ];
    let has = |name: &str| match name {
        "openvino" => setting("with").is_some(),
        name => name.is_empty() || !without.contains(name),
    };
    let names = all.iter().filter(|(name, _)| has(name));
    let names: Vec<*mut c_char> = names.map(|(_, name)| name.as_ptr().cast_mut()).collect();
    unsafe {
        *n = names.len() as c_int;
        *out = Box::leak(names.into_boxed_slice()).as_mut_ptr();
    }
    OK
}

pub unsafe extern "system" fn release_available(_: *mut *mut c_char, _: c_int) -> OrtStatusPtr {
    OK
}

pub unsafe extern "system" fn create_options<T>(out: *mut *mut T) -> OrtStatusPtr {
    unsafe { *out = Box::into_raw(Box::<Options>::default()).cast() };
    OK
}

pub unsafe extern "system" fn update_options<T>(
    to: *mut T,
    keys: *const *const c_char,
    values: *const *const c_char,
    n: usize,
) -> OrtStatusPtr {
    for i in 0..n {
        unsafe { (*to.cast::<Options>()).insert(text(*keys.add(i)), text(*values.add(i))) };
    }
    OK
}

pub unsafe extern "system" fn release_options<T>(options: *mut T) {
    drop(unsafe { Box::from_raw(options.cast::<Options>()) });
}

fn append(name: &'static str, options: *mut OrtSessionOptions, given: &Options) -> OrtStatusPtr {
    let list = given.iter().map(|(k, v)| format!(" {k}={v}")).collect::<String>();
    log(&format!("append {name}{list}"));
    if let Some(why) = setting(&format!("{name}.append")) {
        return fail(&why);
    }
    state(|s| s.options.entry(options as usize).or_default().push((name, given.clone())));
    OK
}

pub unsafe extern "system" fn append_tensorrt(
    options: *mut OrtSessionOptions,
    given: *const OrtTensorRTProviderOptionsV2,
) -> OrtStatusPtr {
    append("tensorrt", options, unsafe { &*given.cast::<Options>() })
}

pub unsafe extern "system" fn append_cuda(
    options: *mut OrtSessionOptions,
    given: *const OrtCUDAProviderOptionsV2,
) -> OrtStatusPtr {
    append("cuda", options, unsafe { &*given.cast::<Options>() })
}

pub unsafe extern "system" fn append_by_name(
    options: *mut OrtSessionOptions,
    name: *const c_char,
    keys: *const *const c_char,
    values: *const *const c_char,
    n: usize,
) -> OrtStatusPtr {
    assert_eq!(unsafe { text(name) }, "OpenVINO");
    let given = (0..n).map(|i| unsafe { (text(*keys.add(i)), text(*values.add(i))) });
    append("openvino", options, &given.collect())
}

pub unsafe extern "system" fn release_session_options(options: *mut OrtSessionOptions) {
    state(|s| s.options.remove(&(options as usize)));
    unsafe { (real().ReleaseSessionOptions)(options) };
}
