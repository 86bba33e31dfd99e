//! Version of OpenVINO, from its library beside ONNX Runtime's.

use std::ffi::{CStr, c_char};
use std::path::Path;

use libloading::{Library, Symbol};

/// `ov::Version` of openvino/core/version.hpp.
#[repr(C)]
struct Version {
    build_number: *const c_char,
    description: *const c_char,
}

/// Returns the build of the OpenVINO whose library `libopenvino.so.*` is in `folder`; none if there is no such library.
pub fn version_in(folder: &Path) -> Option<String> {
    let is_core = |name: &str| {
        let release = name.strip_prefix("libopenvino.so");
        release.is_some_and(|release| release.is_empty() || release.starts_with('.'))
    };
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut files = files.filter(|file| file.file_name().and_then(|name| name.to_str()).is_some_and(is_core));
    let file = files.next()?;
    // SAFETY: the library is loaded by ONNX Runtime's provider too, and `extern "C" const ov::Version
    // get_openvino_version() noexcept` returns two pointers to static strings.
    unsafe {
        let library = Library::new(file).ok()?;
        let version: Symbol<'_, unsafe extern "C" fn() -> Version> = library.get(b"get_openvino_version").ok()?;
        let build = version().build_number;
        (!build.is_null()).then(|| CStr::from_ptr(build).to_string_lossy().into_owned())
    }
}
