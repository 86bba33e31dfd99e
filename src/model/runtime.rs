//! Finding and loading libonnxruntime: once per process, with an error instead of a panic when it is not there.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ort::environment::Environment;

use super::Error;

/// ONNX Runtime allows one environment per process; sessions keep it alive, and so does this.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// The process-wide ONNX Runtime environment, loaded on first use from `ORT_DYLIB_PATH`, or else from the folder of the
/// executable or the loader's search path.
///
/// # Errors
/// [`Error::Runtime`] when the library is not there, is not ONNX Runtime or is older than 1.20. A later call tries again.
pub fn environment() -> Result<Environment, Error> {
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(environment) = slot.as_ref() {
        return Ok(environment.clone());
    }
    let environment = load(&library_path()?)?;
    *slot = Some(environment.clone());
    Ok(environment)
}

/// Version and build of the loaded library, for logs and `promptseg inspect`.
pub fn build_info() -> Result<&'static str, Error> {
    environment()?;
    Ok(ort::info())
}

fn library_path() -> Result<PathBuf, Error> {
    match std::env::var_os("ORT_DYLIB_PATH") {
        Some(path) if !path.is_empty() => {
            let path = PathBuf::from(path);
            if path.is_file() {
                Ok(path)
            } else {
                Err(Error::Runtime { reason: format!("ORT_DYLIB_PATH={} is not a file", path.display()) })
            }
        }
        _ => Ok(PathBuf::from(format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))),
    }
}

fn load(path: &Path) -> Result<Environment, Error> {
    let builder = match ort::init_from(path) {
        Ok(builder) => builder,
        // Distributions install the bare name only with the development package.
        Err(first) if path.is_relative() => ort::init_from(path.with_extension("so.1"))
            .map_err(|_| Error::Runtime { reason: format!("ORT_DYLIB_PATH is not set and {first}") })?,
        Err(e) => return Err(Error::Runtime { reason: e.to_string() }),
    };
    builder
        .with_name("promptseg")
        .with_telemetry(false)
        .build()
        .map_err(|e| Error::Runtime { reason: format!("it was loaded but made no environment: {e}") })
}
