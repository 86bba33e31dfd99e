//! What TensorRT needs besides ONNX Runtime.

use super::Provider;
use crate::native::gpu;

/// What TensorRT needs on this machine.
pub struct TensorRt;

impl TensorRt {
    /// What of it is not here, in words with what to do; empty where nothing is.
    pub fn missing(device_id: i32) -> Vec<String> {
        let mut missing = Vec::new();
        if let Err(reason) = Provider::Tensorrt.available() {
            missing.push(format!(
                "ONNX Runtime with TensorRT: {reason}; ORT_DYLIB_PATH is to name the libonnxruntime.so of \
                 onnxruntime-gpu or of the Jetson's image"
            ));
        }
        if gpu::tensorrt_version().is_none() {
            missing.push(format!("TensorRT: {} is not on the loader's path", gpu::TENSORRT[0]));
        }
        if gpu::name(device_id).is_none() {
            missing.push(format!("GPU {device_id}: {} is not there, or knows of no such GPU", gpu::CUDA[0]));
        }
        missing
    }
}
