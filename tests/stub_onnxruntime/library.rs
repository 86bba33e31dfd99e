//! The real library, which computes everything.

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::OnceLock;

use libloading::{Library, Symbol};
use ort_sys::{OrtApi, OrtApiBase, OrtErrorCode, OrtStatusPtr};

struct Real {
    base: &'static OrtApiBase,
    _library: Library,
}

static REAL: OnceLock<Real> = OnceLock::new();
static API: OnceLock<&'static OrtApi> = OnceLock::new();
pub const OK: OrtStatusPtr = OrtStatusPtr(ptr::null_mut());

/// Returns the entry of the library `STUB_REAL`.
pub fn base() -> &'static OrtApiBase {
    let load = || unsafe {
        let library = Library::new(std::env::var_os("STUB_REAL").expect("STUB_REAL")).unwrap();
        let base: Symbol<'_, unsafe extern "system" fn() -> *const OrtApiBase> = library.get(b"OrtGetApiBase").unwrap();
        Real { base: &*base(), _library: library }
    };
    REAL.get_or_init(load).base
}

/// Returns the functions of a version of the interface, and keeps them for [`real`].
pub fn open(version: u32) -> Option<&'static OrtApi> {
    let api: &'static OrtApi = unsafe { (base().GetApi)(version).as_ref()? };
    API.get_or_init(|| api);
    Some(api)
}

/// Returns the functions of the real library.
pub fn real() -> &'static OrtApi {
    API.get().unwrap()
}

pub fn fail(why: &str) -> OrtStatusPtr {
    let why = CString::new(why).unwrap();
    unsafe { (real().CreateStatus)(OrtErrorCode::ORT_FAIL, why.as_ptr()) }
}

pub unsafe fn text(pointer: *const c_char) -> String {
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
