//! Name, driver and memory of the GPU, and the version of TensorRT, from their libraries, which are loaded at run time if they
//! are installed.

use std::ffi::{CStr, c_char, c_int, c_void};

use libloading::{Library, Symbol};

/// Names of the libraries of TensorRT 10, 11 and 8, and of a development install.
pub const TENSORRT: [&str; 4] = ["libnvinfer.so.10", "libnvinfer.so.11", "libnvinfer.so.8", "libnvinfer.so"];
/// Names of the library of the CUDA driver.
pub const CUDA: [&str; 2] = ["libcuda.so.1", "libcuda.so"];
const COMPUTE_CAPABILITY_MAJOR: c_int = 75;
const COMPUTE_CAPABILITY_MINOR: c_int = 76;

/// Returns the version of the installed TensorRT, for instance `10.3.0`; none if it is not installed.
pub fn tensorrt_version() -> Option<String> {
    let library = load(&TENSORRT)?;
    // SAFETY: `extern "C" int32_t getInferLibVersion()` of NvInferRuntime.h.
    let version = unsafe {
        let version: Symbol<'_, unsafe extern "C" fn() -> i32> = library.get(b"getInferLibVersion").ok()?;
        version()
    };
    // Version 8.6.1 is 8601, version 10.3.0 is 100300.
    let (major, minor) = if version >= 10_000 { (10_000, 100) } else { (1000, 100) };
    Some(format!("{}.{}.{}", version / major, version % major / minor, version % minor))
}

/// Returns name, compute capability and driver of a GPU, for instance `Orin, 8.7, CUDA 12.6`; none if there is no GPU.
pub fn name(device_id: i32) -> Option<String> {
    let library = load(&CUDA)?;
    // SAFETY: the signatures are those of cuda.h, and the pointers outlive the calls.
    unsafe {
        let init: Symbol<'_, unsafe extern "C" fn(u32) -> c_int> = library.get(b"cuInit").ok()?;
        let get: Symbol<'_, unsafe extern "C" fn(*mut c_int, c_int) -> c_int> = library.get(b"cuDeviceGet").ok()?;
        let get_name: Symbol<'_, unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int> =
            library.get(b"cuDeviceGetName").ok()?;
        let attribute: Symbol<'_, unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int> =
            library.get(b"cuDeviceGetAttribute").ok()?;
        let driver: Symbol<'_, unsafe extern "C" fn(*mut c_int) -> c_int> = library.get(b"cuDriverGetVersion").ok()?;
        let (mut device, mut major, mut minor, mut version) = (0, 0, 0, 0);
        let mut name = [0 as c_char; 256];
        let statuses = [
            init(0),
            get(&mut device, device_id),
            get_name(name.as_mut_ptr(), name.len() as c_int - 1, device),
            attribute(&mut major, COMPUTE_CAPABILITY_MAJOR, device),
            attribute(&mut minor, COMPUTE_CAPABILITY_MINOR, device),
            driver(&mut version),
        ];
        if statuses.iter().any(|status| *status != 0) {
            return None;
        }
        let name = CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned();
        Some(format!("{name}, {major}.{minor}, CUDA {}.{}", version / 1000, version % 1000 / 10))
    }
}

/// Returns the bytes of a GPU's memory that are in use, by all processes; none if there is no GPU.
///
/// The call makes CUDA's primary context of the GPU, which ONNX Runtime uses too, and keeps it: it is part of the memory in use
/// from the first call on.
pub fn memory_in_use(device_id: i32) -> Option<u64> {
    type Context = *mut c_void;
    let library = load(&CUDA)?;
    // SAFETY: the signatures are those of cuda.h, and the pointers outlive the calls. The context is never released.
    unsafe {
        let init: Symbol<'_, unsafe extern "C" fn(u32) -> c_int> = library.get(b"cuInit").ok()?;
        let get: Symbol<'_, unsafe extern "C" fn(*mut c_int, c_int) -> c_int> = library.get(b"cuDeviceGet").ok()?;
        let retain: Symbol<'_, unsafe extern "C" fn(*mut Context, c_int) -> c_int> =
            library.get(b"cuDevicePrimaryCtxRetain").ok()?;
        let push: Symbol<'_, unsafe extern "C" fn(Context) -> c_int> = library.get(b"cuCtxPushCurrent_v2").ok()?;
        let pop: Symbol<'_, unsafe extern "C" fn(*mut Context) -> c_int> = library.get(b"cuCtxPopCurrent_v2").ok()?;
        let info: Symbol<'_, unsafe extern "C" fn(*mut usize, *mut usize) -> c_int> =
            library.get(b"cuMemGetInfo_v2").ok()?;
        let (mut device, mut context) = (0, std::ptr::null_mut());
        let (mut free, mut total) = (0, 0);
        // Each call needs the result of the one before it.
        if init(0) != 0 || get(&mut device, device_id) != 0 || retain(&mut context, device) != 0 || push(context) != 0 {
            return None;
        }
        let status = info(&mut free, &mut total);
        pop(&mut context);
        (status == 0).then(|| (total as u64).saturating_sub(free as u64))
    }
}

/// Loads the first library that is installed.
fn load(names: &[&str]) -> Option<Library> {
    // SAFETY: the initialisers of these vendor libraries are sound; ONNX Runtime's providers load them too.
    names.iter().find_map(|name| unsafe { Library::new(*name) }.ok())
}
