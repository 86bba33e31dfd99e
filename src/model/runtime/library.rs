//! Loading of libonnxruntime, once for each process. A missing library is an error, not a panic.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use ort::environment::Environment;

use crate::model::error::Error;
use crate::native::onnxruntime;

/// The environment of ONNX Runtime, which allows one for each process.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// Returns the environment of ONNX Runtime, which all sessions of the process share. The first call loads the library from
/// `ORT_DYLIB_PATH`, or without that variable from the folder of the executable or the loader's search path.
///
/// # Errors
/// [`Error::Runtime`] if the library is missing, is not ONNX Runtime or is older than 1.20. A later call tries again.
pub fn environment() -> Result<Environment, Error> {
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(environment) = slot.as_ref() {
        return Ok(environment.clone());
    }
    let environment = load(&library_path()?)?;
    *slot = Some(environment.clone());
    Ok(environment)
}

/// Returns version and build of the loaded library, for logs and `promptseg inspect`.
///
/// # Errors
/// The errors of [`environment`].
pub fn build_info() -> Result<&'static str, Error> {
    environment()?;
    Ok(ort::info())
}

/// Returns branch and commit of the loaded library, which differ between versions.
///
/// # Errors
/// The errors of [`environment`].
pub fn version() -> Result<String, Error> {
    let revision = |part: &&str| part.starts_with("git-branch=") || part.starts_with("git-commit-id=");
    let parts = build_info()?.split([' ', ',']).filter(revision);
    Ok(parts.filter_map(|part| part.split_once('=')).map(|(_, value)| value).collect::<Vec<_>>().join(" "))
}

/// Returns the folder of the library, in which the libraries of its providers are; none if the loader searches for the library.
pub fn folder() -> Option<PathBuf> {
    library_path().ok()?.parent().filter(|folder| folder.is_absolute()).map(Path::to_owned)
}

/// Returns whether the library can limit how long threads spin. Older libraries let them spin for a whole run, or never.
pub fn limits_spinning() -> bool {
    static LIMITS_SPINNING: OnceLock<bool> = OnceLock::new();
    *LIMITS_SPINNING.get_or_init(|| {
        let release = library_path().ok().and_then(|path| release(&path));
        release.is_some_and(|release| release >= SPIN_DURATION_SINCE)
    })
}

/// First release that was seen to have `session.intra_op.spin_duration_us`.
const SPIN_DURATION_SINCE: (u32, u32) = (1, 27);

/// Returns major and minor version of the library at `path`, for instance `(1, 31)` for 1.31.1. The description of the build,
/// which [`version`] returns, does not always contain them.
fn release(path: &Path) -> Option<(u32, u32)> {
    let beside = std::env::current_exe().ok()?.with_file_name(path);
    // ort prefers a library beside the executable for a name without a folder.
    let version = onnxruntime::version_of(if beside.exists() { &beside } else { path })?;
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// Replaces the arena that sessions share, so that its memory returns to the system: the arena outlives the sessions and keeps
/// all memory that they took. Open sessions keep the old arena; new sessions share the new one.
///
/// # Errors
/// [`Error::Runtime`] if ONNX Runtime makes no new arena.
pub fn renew_arena() -> Result<(), Error> {
    let slot = ENVIRONMENT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some(environment) = slot.as_ref() else { return Ok(()) };
    onnxruntime::drop_arena(environment)
        .and_then(|()| onnxruntime::share_arena(environment))
        .map_err(|e| Error::Runtime { reason: format!("its shared arena could not be renewed: {e}") })
}

fn library_path() -> Result<PathBuf, Error> {
    match std::env::var_os("ORT_DYLIB_PATH") {
        Some(path) if !path.is_empty() => {
            let path = PathBuf::from(path);
            let refused = |why: String| Error::Runtime { reason: format!("ORT_DYLIB_PATH={}{why}", path.display()) };
            if !path.is_file() {
                return Err(refused(" is not a file".to_owned()));
            }
            // The loader searches for a name without a folder everywhere except in the working folder.
            std::path::absolute(&path).map_err(|e| refused(format!(": {e}")))
        }
        _ => Ok(PathBuf::from(format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))),
    }
}

fn load(path: &Path) -> Result<Environment, Error> {
    let builder = match ort::init_from(path) {
        Ok(builder) => builder,
        // Distributions install the name without a version with the development package only.
        Err(first) if path.is_relative() => ort::init_from(path.with_extension("so.1"))
            .map_err(|_| Error::Runtime { reason: format!("ORT_DYLIB_PATH is not set and {first}") })?,
        Err(e) => return Err(Error::Runtime { reason: e.to_string() }),
    };
    let failed = |e: ort::Error| Error::Runtime { reason: format!("it was loaded but made no environment: {e}") };
    let environment = builder.with_name("promptseg").with_telemetry(false).build().map_err(failed)?;
    onnxruntime::share_arena(&environment).map_err(failed)?;
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_the_library_is_read() {
        environment().unwrap();
        let (major, minor) = release(&library_path().unwrap()).unwrap();
        assert!(major == 1 && minor >= 20, "{major}.{minor}");
        assert_eq!(limits_spinning(), (major, minor) >= SPIN_DURATION_SINCE);
        assert_eq!(release(Path::new("/nowhere/libonnxruntime.so")), None);
    }
}
