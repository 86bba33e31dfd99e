//! Finding and loading libonnxruntime: once per process, with an error instead of a panic when it is not there.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use ort::environment::Environment;

use super::Error;
use crate::native::onnxruntime;

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

/// Branch and commit of the loaded library, which change with its version.
pub(super) fn version() -> Result<String, Error> {
    let known = |part: &&str| part.starts_with("git-branch=") || part.starts_with("git-commit-id=");
    let parts = build_info()?.split([' ', ',']).filter(known);
    Ok(parts.filter_map(|part| part.split_once('=')).map(|(_, value)| value).collect::<Vec<_>>().join(" "))
}

/// Whether the library can bound how long threads spin: older ones spin as long as a run takes, or not at all.
pub(super) fn spins_briefly() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let release = library_path().ok().and_then(|path| release(&path));
        release.is_some_and(|release| release >= BRIEF_SPINNING)
    })
}

/// The first release that is known to have `session.intra_op.spin_duration_us`.
const BRIEF_SPINNING: (u32, u32) = (1, 27);

/// `(1, 31)` of a library 1.31.1. Its build's description, which [`version`] has, does not always say that.
fn release(path: &Path) -> Option<(u32, u32)> {
    let beside = std::env::current_exe().ok()?.with_file_name(path);
    // As ort finds it: of a bare name, the one beside the executable.
    let version = onnxruntime::version_of(if beside.exists() { &beside } else { path })?;
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// Gives back what the arena that sessions share holds: it outlives them, and keeps all that they ever took. Those that
/// are still there keep theirs; the next ones share a new one.
///
/// # Errors
/// ONNX Runtime makes no arena.
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
            // The loader looks for a bare name everywhere but in the working folder.
            std::path::absolute(&path).map_err(|e| refused(format!(": {e}")))
        }
        _ => Ok(PathBuf::from(format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))),
    }
}

fn load(path: &Path) -> Result<Environment, Error> {
    let builder = match ort::init_from(path) {
        Ok(builder) => builder,
        // Not given, but the usual name: distributions install it only with the development package.
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
    fn the_library_says_which_release_it_is() {
        environment().unwrap();
        let (major, minor) = release(&library_path().unwrap()).unwrap();
        assert!(major == 1 && minor >= 20, "{major}.{minor}");
        assert_eq!(spins_briefly(), (major, minor) >= BRIEF_SPINNING);
        assert_eq!(release(Path::new("/nowhere/libonnxruntime.so")), None);
    }
}
