//! Execution providers and GPUs that this machine and its ONNX Runtime have.

use ort::ep::{self, ExecutionProvider as _};

use super::library;
use crate::model::provider::Provider;
use crate::native::gpu;

impl Provider {
    /// Checks that the loaded ONNX Runtime was built with the provider.
    ///
    /// # Errors
    /// The reason in words, if it was not or if ONNX Runtime cannot be loaded.
    pub fn available(self) -> Result<(), String> {
        library::environment().map_err(|e| e.to_string())?;
        let available = match self {
            Provider::Tensorrt => ep::TensorRT::is_available(),
            Provider::Cuda => ep::CUDA::is_available(),
            Provider::OpenVino => ep::OpenVINO::is_available(),
            Provider::Cpu => Ok(true),
        };
        match available {
            Ok(true) => Ok(()),
            Ok(false) => Err("this build of ONNX Runtime does not have it".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }
}

/// Returns name, compute capability and driver of a GPU, for instance `Orin, 8.7, CUDA 12.6`; none if there is no GPU.
pub fn gpu_name(device_id: i32) -> Option<String> {
    gpu::name(device_id)
}

/// Returns the bytes of a GPU's memory that all processes use; none if there is no GPU.
pub fn gpu_memory_in_use(device_id: i32) -> Option<u64> {
    gpu::memory_in_use(device_id)
}

/// Returns the version of the installed TensorRT; none if it is not installed.
pub fn tensorrt_version() -> Option<String> {
    gpu::tensorrt_version()
}

/// TensorRT on this machine.
pub struct TensorRt;

impl TensorRt {
    /// Lists what TensorRT needs and this machine lacks, each with what to do about it. The list is empty if TensorRT
    /// can run.
    pub fn missing(device_id: i32) -> Vec<String> {
        let mut missing = Vec::new();
        if let Err(reason) = Provider::Tensorrt.available() {
            missing.push(format!(
                "ONNX Runtime with TensorRT: {reason}; set ORT_DYLIB_PATH to the libonnxruntime.so of onnxruntime-gpu or \
                 of the Jetson's image"
            ));
        }
        if gpu::tensorrt_version().is_none() {
            missing.push(format!("TensorRT: {} is not on the loader's path", gpu::TENSORRT[0]));
        }
        if gpu::name(device_id).is_none() {
            missing.push(format!("GPU {device_id}: {} is not there, or has no such GPU", gpu::CUDA[0]));
        }
        missing
    }
}
