//! Errors of ONNX Runtime, with what helps against them.

use crate::model::error::Error;
use crate::model::provider::Provider;

/// Returns the error for a run of a session that failed: [`Error::OutOfMemory`] or [`Error::Session`].
pub fn run_failed(file: &str, provider: Provider, e: &ort::Error) -> Error {
    let (file, reason) = (file.to_owned(), e.to_string());
    if out_of_memory(&reason) { Error::OutOfMemory { file, provider, reason } } else { Error::Session { file, reason } }
}

/// Returns the error for a file that ONNX Runtime refuses on every provider: [`Error::NotOnnx`] or [`Error::Session`].
pub fn unreadable(file: String, reason: String) -> Error {
    if reason.contains("Protobuf parsing failed") {
        let reason = "it does not parse; it is truncated, damaged, or of another kind".to_owned();
        return Error::NotOnnx { file, reason };
    }
    Error::Session { file, reason }
}

/// Returns whether ONNX Runtime, CUDA or TensorRT ran out of memory.
fn out_of_memory(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["out of memory", "failed to allocate memory", "bad_alloc", "bad allocation", "cudaerrormemoryallocation"]
        .iter()
        .any(|words| reason.contains(words))
}

/// Adds to a provider's message what people can do about it.
pub fn with_advice(reason: String) -> String {
    let library = ["libcudnn", "libcublas", "libcudart", "libnvinfer", "libnvonnxparser"]
        .iter()
        .find(|library| reason.contains(*library) && reason.contains("cannot open"));
    if let Some(library) = library {
        return format!(
            "{reason} (install {library} in the version that this ONNX Runtime was built for, or add its folder to LD_LIBRARY_PATH)"
        );
    }
    if out_of_memory(&reason) {
        return format!(
            "{reason} (out of memory: precision fp16, a smaller tensorrt.workspace_mb or session.max_objects, or a smaller model)"
        );
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_provider_comes_with_what_helps() {
        let missing = "libcudnn.so.9: cannot open shared object file: No such file or directory";
        assert!(with_advice(missing.to_owned()).contains("install libcudnn"));
        let full = "CUDA failure 2: out of memory ; GPU=0";
        assert!(out_of_memory(full) && with_advice(full.to_owned()).contains("precision fp16"));
        assert_eq!(with_advice("no kernel for Foo".to_owned()), "no kernel for Foo");
    }
}
