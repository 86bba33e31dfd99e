//! What ONNX Runtime has and ort keeps for itself.

use std::ffi::CStr;
use std::path::Path;
use std::ptr;

use libloading::{Library, Symbol};
use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::value::Tensor;

/// The version of a library, `1.31.1`; none where there is no ONNX Runtime.
pub fn version_of(path: &Path) -> Option<String> {
    // SAFETY: the entry point of every ONNX Runtime, which lives as long as `library`, and its version is static text.
    unsafe {
        let library = Library::new(path).ok()?;
        let base: Symbol<'_, unsafe extern "system" fn() -> *const ort::sys::OrtApiBase> =
            library.get(b"OrtGetApiBase").ok()?;
        Some(CStr::from_ptr(((*base()).GetVersionString)()).to_string_lossy().into_owned())
    }
}

fn arena_memory() -> ort::Result<MemoryInfo<'static>> {
    MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Arena, MemoryType::Default)
}

/// The processors' arena that sessions may share (`session.use_env_allocators`). It grows by what is asked for: ONNX
/// Runtime's own, one for each session, doubles, and MobileSAM takes twice the memory in it.
///
/// # Errors
/// ONNX Runtime makes no arena, or has one.
pub fn share_arena(environment: &Environment) -> ort::Result<()> {
    let memory = arena_memory()?;
    let (keys, values) = ([c"arena_extend_strategy".as_ptr()], [1_usize]);
    let api = ort::api();
    let mut config = ptr::null_mut();
    // SAFETY: the pointers outlive the calls, the configuration is copied and released once.
    unsafe {
        ort::Error::result_from_status((api.CreateArenaCfgV2)(keys.as_ptr(), values.as_ptr(), 1, &mut config))?;
        let status = (api.CreateAndRegisterAllocator)(environment.ptr().cast_mut(), memory.ptr(), config);
        (api.ReleaseArenaCfg)(config);
        ort::Error::result_from_status(status)
    }
}

/// Ends the sharing. Sessions that have the arena keep it.
///
/// # Errors
/// There is none.
pub fn drop_arena(environment: &Environment) -> ort::Result<()> {
    let memory = arena_memory()?;
    // SAFETY: both pointers outlive the call, which drops the environment's share of the arena alone; the status is fresh.
    unsafe {
        let status = (ort::api().UnregisterAllocator)(environment.ptr().cast_mut(), memory.ptr());
        ort::Error::result_from_status(status)
    }
}

/// A tensor in page-locked memory, which the processor writes and the GPU copies by itself.
pub struct PageLocked(Tensor<f32>);

impl PageLocked {
    /// # Errors
    /// The session is not on a GPU, or there is no memory.
    pub fn new(session: &Session, device_id: i32, shape: &[usize]) -> ort::Result<Self> {
        let pinned = AllocationDevice::CUDA_PINNED;
        let memory = MemoryInfo::new(pinned, device_id, AllocatorType::Device, MemoryType::CPUOutput)?;
        Ok(PageLocked(Tensor::new(&Allocator::new(session, memory)?, shape.to_vec())?))
    }

    pub fn tensor(&self) -> &Tensor<f32> {
        &self.0
    }

    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        let elements = self.0.shape().num_elements();
        // SAFETY: page-locked memory of that many f32, by `new`, and borrowed as long as the slice. ort itself takes it
        // for the GPU's from ONNX Runtime 1.23 on, and refuses a slice.
        unsafe { std::slice::from_raw_parts_mut(self.0.data_ptr_mut().cast::<f32>(), elements) }
    }
}
