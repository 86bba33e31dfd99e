//! A stub of libonnxruntime.so that offers TensorRT, CUDA and OpenVINO on any machine. It logs the calls and runs
//! everything on the CPU of the real library. It is built as an example, because examples may be shared libraries;
//! tests/providers.rs sets ORT_DYLIB_PATH to it. The stub also replaces libnvinfer.so.10 and libcuda.so.1.
//!
//! `STUB_REAL` names the real library and `STUB_LOG` the log file. Graphs in memory are written to the folder `STUB_GRAPHS`. `STUB` lists the behaviour, separated by `;`:
//!
//! - `without=cuda`: the provider is not compiled in. `with=openvino`: OpenVINO is compiled in.
//! - `tensorrt.append=WHY`, `tensorrt.load=WHY`, `tensorrt.run=WHY`: fails with this message; also for `cuda` and `cpu`.
//! - `openvino.slow=PART:MS`: runs of files whose path contains PART take so many milliseconds longer; also for the others.
//! - `tensorrt.negated=PART`: runs of files whose path contains PART give negated results; also for the others.
//! - `most=N`: a run with more than N objects is out of memory.
//! - `full=INPUT`: a run with this input is out of memory.
//! - `fp16=broken`: half precision, also bf16, negates the results.
//! - `nothing=INPUT`: a run with this input succeeds without values, at which the crate `ort` panics.
//!
//! `STUB=@FILE` reads the behaviour from a file at each call, so that it can change while a program runs.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::Write as _;
use std::ptr;
use std::sync::{Mutex, OnceLock};

use libloading::{Library, Symbol};
use ort_sys::{
    OrtAllocator, OrtAllocatorType, OrtApi, OrtApiBase, OrtCUDAProviderOptionsV2, OrtEnv, OrtErrorCode, OrtIoBinding,
    OrtMemType, OrtMemoryInfo, OrtRunOptions, OrtSession, OrtSessionOptions, OrtStatusPtr,
    OrtTensorRTProviderOptionsV2, OrtValue,
};

type Options = BTreeMap<String, String>;
type Providers = Vec<(&'static str, Options)>;

/// State of the real library's objects, by address.
#[derive(Default)]
struct State {
    options: HashMap<usize, Providers>,
    sessions: HashMap<usize, (String, Providers)>,
    bindings: HashMap<usize, usize>,
    /// Memory infos of allocators whose memory is reported as GPU memory.
    allocators: HashMap<usize, usize>,
    bound_to_gpu: HashMap<usize, usize>,
    values: HashMap<usize, usize>,
}

struct Real {
    base: &'static OrtApiBase,
    _library: Library,
}

static REAL: OnceLock<Real> = OnceLock::new();
static API: OnceLock<&'static OrtApi> = OnceLock::new();
static STATE: Mutex<Option<State>> = Mutex::new(None);
const OK: OrtStatusPtr = OrtStatusPtr(ptr::null_mut());

unsafe impl Send for State {}

fn real() -> &'static OrtApi {
    API.get().unwrap()
}

fn state<T>(access: impl FnOnce(&mut State) -> T) -> T {
    access(STATE.lock().unwrap().get_or_insert_default())
}

fn log(line: &str) {
    if let Some(path) = std::env::var_os("STUB_LOG") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

/// The value of a behaviour in `STUB`.
fn setting(key: &str) -> Option<String> {
    let mut all = std::env::var("STUB").unwrap_or_default();
    if let Some(file) = all.strip_prefix('@') {
        all = std::fs::read_to_string(file).unwrap();
    }
    all.split(';').find_map(|part| part.split_once('=').filter(|(k, _)| *k == key).map(|(_, v)| v.to_owned()))
}

fn fail(why: &str) -> OrtStatusPtr {
    let why = CString::new(why).unwrap();
    unsafe { (real().CreateStatus)(OrtErrorCode::ORT_FAIL, why.as_ptr()) }
}

unsafe fn text(pointer: *const c_char) -> String {
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

#[unsafe(no_mangle)]
pub extern "system" fn OrtGetApiBase() -> *const OrtApiBase {
    static BASE: OnceLock<usize> = OnceLock::new();
    let real = REAL.get_or_init(|| unsafe {
        let library = Library::new(std::env::var_os("STUB_REAL").expect("STUB_REAL")).unwrap();
        let base: Symbol<'_, unsafe extern "system" fn() -> *const OrtApiBase> = library.get(b"OrtGetApiBase").unwrap();
        Real { base: &*base(), _library: library }
    });
    let base = || OrtApiBase { GetApi: get_api, GetVersionString: real.base.GetVersionString };
    *BASE.get_or_init(|| Box::into_raw(Box::new(base())) as usize) as *const OrtApiBase
}

unsafe extern "system" fn get_api(version: u32) -> *const OrtApi {
    let given = unsafe { (REAL.get().unwrap().base.GetApi)(version) };
    if given.is_null() {
        return given;
    }
    let real: &'static OrtApi = unsafe { &*given };
    API.get_or_init(|| real);
    let ours = OrtApi {
        GetAvailableProviders: available,
        ReleaseAvailableProviders: release_available,
        CreateTensorRTProviderOptions: create_options::<OrtTensorRTProviderOptionsV2>,
        UpdateTensorRTProviderOptions: update_options::<OrtTensorRTProviderOptionsV2>,
        ReleaseTensorRTProviderOptions: release_options::<OrtTensorRTProviderOptionsV2>,
        SessionOptionsAppendExecutionProvider_TensorRT_V2: append_tensorrt,
        CreateCUDAProviderOptions: create_options::<OrtCUDAProviderOptionsV2>,
        UpdateCUDAProviderOptions: update_options::<OrtCUDAProviderOptionsV2>,
        ReleaseCUDAProviderOptions: release_options::<OrtCUDAProviderOptionsV2>,
        SessionOptionsAppendExecutionProvider_CUDA_V2: append_cuda,
        SessionOptionsAppendExecutionProvider: append_by_name,
        ReleaseSessionOptions: release_session_options,
        CreateSession: create_session,
        CreateSessionFromArray: create_session_from_array,
        Run: run,
        RunWithBinding: run_with_binding,
        CreateIoBinding: create_binding,
        BindInput: bind_input,
        BindOutputToDevice: bind_to_device,
        GetBoundOutputValues: bound_values,
        CreateAllocator: create_allocator,
        CreateTensorAsOrtValue: create_tensor,
        GetTensorMemoryInfo: memory_info,
        ReleaseValue: release_value,
        AddRunConfigEntry: add_run_config,
        AddSessionConfigEntry: add_session_config,
        SetIntraOpNumThreads: set_threads,
        DisableMemPattern: disable_pattern,
        DisableCpuMemArena: disable_arena,
        ..real.clone()
    };
    Box::into_raw(Box::new(ours))
}

// Providers and their options.

unsafe extern "system" fn available(out: *mut *mut *mut c_char, n: *mut c_int) -> OrtStatusPtr {
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

unsafe extern "system" fn release_available(_: *mut *mut c_char, _: c_int) -> OrtStatusPtr {
    OK
}

unsafe extern "system" fn create_options<T>(out: *mut *mut T) -> OrtStatusPtr {
    unsafe { *out = Box::into_raw(Box::<Options>::default()).cast() };
    OK
}

unsafe extern "system" fn update_options<T>(
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

unsafe extern "system" fn release_options<T>(options: *mut T) {
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

unsafe extern "system" fn append_tensorrt(
    options: *mut OrtSessionOptions,
    given: *const OrtTensorRTProviderOptionsV2,
) -> OrtStatusPtr {
    append("tensorrt", options, unsafe { &*given.cast::<Options>() })
}

unsafe extern "system" fn append_cuda(
    options: *mut OrtSessionOptions,
    given: *const OrtCUDAProviderOptionsV2,
) -> OrtStatusPtr {
    append("cuda", options, unsafe { &*given.cast::<Options>() })
}

unsafe extern "system" fn append_by_name(
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

unsafe extern "system" fn release_session_options(options: *mut OrtSessionOptions) {
    state(|s| s.options.remove(&(options as usize)));
    unsafe { (real().ReleaseSessionOptions)(options) };
}

// Sessions.

unsafe extern "system" fn create_session(
    env: *const OrtEnv,
    path: *const c_char,
    options: *const OrtSessionOptions,
    out: *mut *mut OrtSession,
) -> OrtStatusPtr {
    unsafe { opened(text(path), options, out, || (real().CreateSession)(env, path, options, out)) }
}

unsafe extern "system" fn create_session_from_array(
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

// Runs.

/// Returns the name of the session's provider, and whether it computes in half precision.
fn runs_on(session: *const OrtSession) -> (&'static str, bool) {
    state(|s| {
        let Some((path, providers)) = s.sessions.get(&(session as usize)) else { return ("cpu", false) };
        let Some((name, given)) = providers.first() else { return ("cpu", false) };
        let half = given.get("trt_fp16_enable").is_some_and(|v| v == "true")
            || given.get("load_config").is_some_and(|v| v.contains("bf16"))
            || path.contains("fp16");
        (*name, half)
    })
}

/// Waits as long as a run of the session is slower than on the CPU.
fn wait(provider: &str, session: *const OrtSession) {
    let Some(slow) = setting(&format!("{provider}.slow")) else { return };
    let (part, ms) = slow.split_once(':').unwrap();
    let path = state(|s| s.sessions.get(&(session as usize)).map(|(path, _)| path.clone())).unwrap_or_default();
    if path.contains(part) {
        std::thread::sleep(std::time::Duration::from_millis(ms.parse().unwrap()));
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

unsafe fn shape(value: *const OrtValue) -> Vec<i64> {
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
unsafe fn break_value(value: *mut OrtValue) {
    let mut data = ptr::null_mut();
    unsafe {
        let elements = shape(value).iter().product::<i64>() as usize;
        assert!((real().GetTensorMutableData)(value, &mut data).0.is_null());
        std::slice::from_raw_parts_mut(data.cast::<f32>(), elements).iter_mut().for_each(|v| *v = -*v);
    }
}

unsafe extern "system" fn run(
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
    wait(provider, session);
    let status = unsafe { (real().Run)(session, options, input_names, inputs, n, output_names, n_out, outputs) };
    let broken = half && setting("fp16").is_some() || is_negated(provider, session);
    if status.0.is_null() && broken {
        (0..n_out).for_each(|i| unsafe { break_value(*outputs.add(i)) });
    }
    status
}

unsafe extern "system" fn run_with_binding(
    session: *mut OrtSession,
    options: *const OrtRunOptions,
    binding: *const OrtIoBinding,
) -> OrtStatusPtr {
    let (provider, _) = runs_on(session);
    log(&format!("run-binding {provider}"));
    wait(provider, session);
    match setting(&format!("{provider}.run")) {
        Some(why) => fail(&why),
        None => unsafe { (real().RunWithBinding)(session, options, binding) },
    }
}

// Memory that is reported as GPU memory.

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

unsafe extern "system" fn create_binding(session: *mut OrtSession, out: *mut *mut OrtIoBinding) -> OrtStatusPtr {
    let status = unsafe { (real().CreateIoBinding)(session, out) };
    state(|s| {
        s.bindings.insert(unsafe { *out } as usize, session as usize);
        s.bound_to_gpu.remove(&(unsafe { *out } as usize));
    });
    status
}

unsafe extern "system" fn bind_input(
    binding: *mut OrtIoBinding,
    name: *const c_char,
    value: *const OrtValue,
) -> OrtStatusPtr {
    log(&format!("bind-input {}{:?}", unsafe { text(name) }, unsafe { shape(value) }));
    unsafe { (real().BindInput)(binding, name, value) }
}

unsafe extern "system" fn bind_to_device(
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

unsafe extern "system" fn bound_values(
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

unsafe extern "system" fn create_allocator(
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

unsafe extern "system" fn create_tensor(
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

unsafe extern "system" fn memory_info(value: *const OrtValue, out: *mut *const OrtMemoryInfo) -> OrtStatusPtr {
    match state(|s| s.values.get(&(value as usize)).copied()) {
        Some(place) => unsafe {
            *out = place as *const OrtMemoryInfo;
            OK
        },
        None => unsafe { (real().GetTensorMemoryInfo)(value, out) },
    }
}

unsafe extern "system" fn release_value(value: *mut OrtValue) {
    state(|s| s.values.remove(&(value as usize)));
    unsafe { (real().ReleaseValue)(value) };
}

// Session and run options.

unsafe extern "system" fn add_run_config(
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

unsafe extern "system" fn add_session_config(
    options: *mut OrtSessionOptions,
    key: *const c_char,
    value: *const c_char,
) -> OrtStatusPtr {
    log(&format!("option {}={}", unsafe { text(key) }, unsafe { text(value) }));
    unsafe { (real().AddSessionConfigEntry)(options, key, value) }
}

unsafe extern "system" fn set_threads(options: *mut OrtSessionOptions, n: c_int) -> OrtStatusPtr {
    log(&format!("option threads={n}"));
    unsafe { (real().SetIntraOpNumThreads)(options, n) }
}

unsafe extern "system" fn disable_pattern(options: *mut OrtSessionOptions) -> OrtStatusPtr {
    log("option memory-pattern=0");
    unsafe { (real().DisableMemPattern)(options) }
}

unsafe extern "system" fn disable_arena(options: *mut OrtSessionOptions) -> OrtStatusPtr {
    log("option arena=0");
    unsafe { (real().DisableCpuMemArena)(options) }
}

// libnvinfer.so.10 and libcuda.so.1

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
