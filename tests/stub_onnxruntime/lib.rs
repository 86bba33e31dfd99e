//! A stub of libonnxruntime.so that offers TensorRT, CUDA and OpenVINO on any machine. It logs the calls and runs
//! everything on the CPU of the real library. It is built as an example, because examples may be shared libraries;
//! tests/providers.rs sets ORT_DYLIB_PATH to it. The stub also replaces libnvinfer.so.10 and libcuda.so.1.
//!
//! `STUB_REAL` names the real library and `STUB_LOG` the log file. Graphs in memory are written to the folder `STUB_GRAPHS`. `STUB` lists the behaviour, separated by `;`:
//!
//! - `without=cuda`: the provider is not compiled in. `with=openvino`: OpenVINO is compiled in.
//! - `tensorrt.append=WHY`, `tensorrt.load=WHY`, `tensorrt.run=WHY`: fails with this message; also for `cuda` and `cpu`.
//! - `openvino.slow=PART:MS`: runs of files whose path contains PART take so many milliseconds longer, and at least three times as
//!   long; also for the others.
//! - `tensorrt.negated=PART`: runs of files whose path contains PART give negated results; also for the others.
//! - `most=N`: a run with more than N objects is out of memory.
//! - `full=INPUT`: a run with this input is out of memory.
//! - `fp16=broken`: half precision, also bf16, negates the results.
//! - `nothing=INPUT`: a run with this input succeeds without values, at which the crate `ort` panics.
//!
//! `STUB=@FILE` reads the behaviour from a file at each call, so that it can change while a program runs.

mod driver;
mod gpu_memory;
mod library;
mod options;
mod providers;
mod runs;
mod sessions;
mod settings;
mod state;

use std::sync::OnceLock;

use ort_sys::{OrtApi, OrtApiBase, OrtCUDAProviderOptionsV2, OrtTensorRTProviderOptionsV2};

#[unsafe(no_mangle)]
pub extern "system" fn OrtGetApiBase() -> *const OrtApiBase {
    static BASE: OnceLock<usize> = OnceLock::new();
    let base = || OrtApiBase { GetApi: get_api, GetVersionString: library::base().GetVersionString };
    *BASE.get_or_init(|| Box::into_raw(Box::new(base())) as usize) as *const OrtApiBase
}

unsafe extern "system" fn get_api(version: u32) -> *const OrtApi {
    let Some(real) = library::open(version) else { return std::ptr::null() };
    let ours = OrtApi {
        GetAvailableProviders: providers::available,
        ReleaseAvailableProviders: providers::release_available,
        CreateTensorRTProviderOptions: providers::create_options::<OrtTensorRTProviderOptionsV2>,
        UpdateTensorRTProviderOptions: providers::update_options::<OrtTensorRTProviderOptionsV2>,
        ReleaseTensorRTProviderOptions: providers::release_options::<OrtTensorRTProviderOptionsV2>,
        SessionOptionsAppendExecutionProvider_TensorRT_V2: providers::append_tensorrt,
        CreateCUDAProviderOptions: providers::create_options::<OrtCUDAProviderOptionsV2>,
        UpdateCUDAProviderOptions: providers::update_options::<OrtCUDAProviderOptionsV2>,
        ReleaseCUDAProviderOptions: providers::release_options::<OrtCUDAProviderOptionsV2>,
        SessionOptionsAppendExecutionProvider_CUDA_V2: providers::append_cuda,
        SessionOptionsAppendExecutionProvider: providers::append_by_name,
        ReleaseSessionOptions: providers::release_session_options,
        CreateSession: sessions::create_session,
        CreateSessionFromArray: sessions::create_session_from_array,
        Run: runs::run,
        RunWithBinding: runs::run_with_binding,
        CreateIoBinding: gpu_memory::create_binding,
        BindInput: gpu_memory::bind_input,
        BindOutputToDevice: gpu_memory::bind_to_device,
        GetBoundOutputValues: gpu_memory::bound_values,
        CreateAllocator: gpu_memory::create_allocator,
        CreateTensorAsOrtValue: gpu_memory::create_tensor,
        GetTensorMemoryInfo: gpu_memory::memory_info,
        ReleaseValue: gpu_memory::release_value,
        AddRunConfigEntry: options::add_run_config,
        AddSessionConfigEntry: options::add_session_config,
        SetIntraOpNumThreads: options::set_threads,
        DisableMemPattern: options::disable_pattern,
        DisableCpuMemArena: options::disable_arena,
        ..real.clone()
    };
    Box::into_raw(Box::new(ours))
}
