//! Functions of ONNX Runtime that ort does not offer.

use std::ffi::CStr;
use std::fmt::Debug;
use std::path::Path;
use std::ptr;

use libloading::{Library, Symbol};
use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::value::{PrimitiveTensorElementType, Tensor};

/// Returns the version of the library at `path`, for instance `1.31.1`; none if the file is not an ONNX Runtime
/// library.
pub fn version_of(path: &Path) -> Option<String> {
    // SAFETY: OrtGetApiBase is the entry point of every ONNX Runtime library. Its table and the version, a static
    // string, live as long as `library`.
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

/// Registers a CPU arena that sessions may share (`session.use_env_allocators`). It grows by the requested size. ONNX
/// Runtime's default, an arena for each session, doubles its size, and MobileSAM takes twice the memory in it.
///
/// # Errors
/// The error of ONNX Runtime, for instance if an arena is registered already.
pub fn share_arena(environment: &Environment) -> ort::Result<()> {
    let memory = arena_memory()?;
    let (keys, values) = ([c"arena_extend_strategy".as_ptr()], [1_usize]);
    let api = ort::api();
    let mut config = ptr::null_mut();
    // SAFETY: the pointers outlive the calls. ONNX Runtime copies the configuration, which is released once.
    unsafe {
        ort::Error::result_from_status((api.CreateArenaCfgV2)(keys.as_ptr(), values.as_ptr(), 1, &mut config))?;
        let status = (api.CreateAndRegisterAllocator)(environment.ptr().cast_mut(), memory.ptr(), config);
        (api.ReleaseArenaCfg)(config);
        ort::Error::result_from_status(status)
    }
}

/// Unregisters the shared arena. Sessions that use the arena keep it.
///
/// # Errors
/// The error of ONNX Runtime, if no arena is registered.
pub fn drop_arena(environment: &Environment) -> ort::Result<()> {
    let memory = arena_memory()?;
    // SAFETY: both pointers outlive the call, which releases the environment's reference to the arena alone. The status
    // is new and is released by `result_from_status`.
    unsafe {
        let status = (ort::api().UnregisterAllocator)(environment.ptr().cast_mut(), memory.ptr());
        ort::Error::result_from_status(status)
    }
}

/// A tensor in page-locked memory, which the CPU writes and the GPU reads by direct memory access.
pub struct PageLocked<T: PrimitiveTensorElementType + Debug>(Tensor<T>);

impl<T: PrimitiveTensorElementType + Debug> PageLocked<T> {
    /// Allocates a tensor for a session that runs on the GPU `device_id`.
    ///
    /// # Errors
    /// The error of ONNX Runtime, if the session does not run on a GPU or memory is exhausted.
    pub fn new(session: &Session, device_id: i32, shape: &[usize]) -> ort::Result<Self> {
        let pinned = AllocationDevice::CUDA_PINNED;
        let memory = MemoryInfo::new(pinned, device_id, AllocatorType::Device, MemoryType::CPUOutput)?;
        Ok(PageLocked(Tensor::new(&Allocator::new(session, memory)?, shape.to_vec())?))
    }

    /// Returns the tensor, as an input for the session.
    pub fn tensor(&self) -> &Tensor<T> {
        &self.0
    }

    /// Returns the values of the tensor.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let elements = self.0.shape().num_elements();
        // SAFETY: `new` allocated page-locked memory of `elements` numbers of the type T, set to 0, which is borrowed as long as
        // the slice. ort refuses a slice of it with ONNX Runtime 1.23 or newer, because it takes the memory for memory of the GPU.
        unsafe { std::slice::from_raw_parts_mut(self.0.data_ptr_mut().cast::<T>(), elements) }
    }
}
