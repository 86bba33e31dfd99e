//! libjpeg-turbo, the JPEG library of Pillow, OpenCV, browsers and most camera drivers. It is built from the source that
//! `turbojpeg-sys` carries and linked statically, so a robot needs no package for it.

use std::ffi::{CStr, c_int};
use std::ptr;

use turbojpeg_sys as raw;

/// Most scans of a progressive file. Each scan goes over the whole picture, so that a small file could ask for hours;
/// encoders write about ten.
const MAX_SCANS: c_int = 100;
/// Most memory of the library beside the picture, in MB: a progressive file keeps all coefficients, 8 bytes for a pixel of
/// four colours.
const MAX_MEMORY: c_int = 1024;

/// How the pixels of a decoded file lie in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layout {
    Rgb,
    /// As the file holds them: Adobe's convention, 255 is no ink.
    Cmyk,
}

impl Layout {
    pub fn channels(self) -> usize {
        match self {
            Layout::Rgb => 3,
            Layout::Cmyk => 4,
        }
    }

    fn code(self) -> c_int {
        match self {
            Layout::Rgb => raw::TJPF_TJPF_RGB,
            Layout::Cmyk => raw::TJPF_TJPF_CMYK,
        }
    }
}

struct Handle(raw::tjhandle);

impl Handle {
    fn new(kind: raw::TJINIT) -> Result<Self, String> {
        // SAFETY: turbojpeg.h; a null pointer means that there is no memory.
        let handle = unsafe { raw::tj3Init(kind as c_int) };
        if handle.is_null() { Err("libjpeg-turbo cannot start: no memory".to_owned()) } else { Ok(Handle(handle)) }
    }

    fn set(&mut self, parameter: raw::TJPARAM, value: c_int) -> Result<(), String> {
        // SAFETY: the handle is alive; unknown parameters and values come back as errors.
        match unsafe { raw::tj3Set(self.0, parameter as c_int, value) } {
            0 => Ok(()),
            _ => Err(self.error()),
        }
    }

    fn get(&self, parameter: raw::TJPARAM) -> c_int {
        // SAFETY: the handle is alive.
        unsafe { raw::tj3Get(self.0, parameter as c_int) }
    }

    /// Message of the last call that failed.
    fn error(&self) -> String {
        // SAFETY: the handle is alive, and its message a string that stays until the next call.
        unsafe { CStr::from_ptr(raw::tj3GetErrorStr(self.0)) }.to_string_lossy().into_owned()
    }

    /// Whether the last call that failed met nothing worse than damage that the library goes around.
    fn only_warned(&self) -> bool {
        // SAFETY: the handle is alive.
        unsafe { raw::tj3GetErrorCode(self.0) == raw::TJERR_TJERR_WARNING as c_int }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by tj3Init, and not used after this.
        unsafe { raw::tj3Destroy(self.0) }
    }
}

/// A JPEG file whose header was read.
pub struct Decoder<'a> {
    handle: Handle,
    file: &'a [u8],
    width: u32,
    height: u32,
    layout: Layout,
}

impl<'a> Decoder<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// The library's message about a file that it cannot read.
    pub fn open(file: &'a [u8]) -> Result<Self, String> {
        let mut handle = Handle::new(raw::TJINIT_TJINIT_DECOMPRESS)?;
        handle.set(raw::TJPARAM_TJPARAM_SCANLIMIT, MAX_SCANS)?;
        handle.set(raw::TJPARAM_TJPARAM_MAXMEMORY, MAX_MEMORY)?;
        handle.set(raw::TJPARAM_TJPARAM_SAVEMARKERS, 0)?;
        // SAFETY: the pointer and the length are of one slice, which outlives the call.
        let status = unsafe { raw::tj3DecompressHeader(handle.0, file.as_ptr(), file.len() as raw::size_t) };
        if status != 0 && !handle.only_warned() {
            return Err(handle.error());
        }
        let side = |parameter| u32::try_from(handle.get(parameter)).ok().filter(|side| *side > 0);
        let (width, height) = (side(raw::TJPARAM_TJPARAM_JPEGWIDTH), side(raw::TJPARAM_TJPARAM_JPEGHEIGHT));
        let (Some(width), Some(height)) = (width, height) else {
            return Err("tables without a picture".to_owned());
        };
        let layout = match handle.get(raw::TJPARAM_TJPARAM_COLORSPACE) as raw::TJCS {
            raw::TJCS_TJCS_CMYK | raw::TJCS_TJCS_YCCK => Layout::Cmyk,
            raw::TJCS_TJCS_RGB | raw::TJCS_TJCS_YCbCr | raw::TJCS_TJCS_GRAY => Layout::Rgb,
            other => return Err(format!("colours of an unknown kind ({other})")),
        };
        Ok(Decoder { handle, file, width, height, layout })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Decodes the pixels, row by row. What a damaged file lacks is filled as every program on libjpeg fills it.
    ///
    /// # Errors
    /// The library's message, when not all rows could be decoded.
    pub fn decode(mut self) -> Result<Vec<u8>, String> {
        let row = self.width as usize * self.layout.channels();
        let mut pixels = vec![0; row * self.height as usize];
        if self.decode_into(&mut pixels)? {
            return Ok(pixels);
        }
        // After a warning the library reports an error and a whole picture alike. Rows are written in order: the last row
        // tells which it was, unless it is as black as the memory was before.
        let last = pixels.len() - row;
        if pixels[last..].iter().all(|v| *v == 0) {
            pixels[last..].fill(255);
            self.decode_into(&mut pixels)?;
            if pixels[last..].iter().all(|v| *v == 255) {
                return Err(self.handle.error());
            }
        }
        Ok(pixels)
    }

    /// Whether there was nothing to warn of.
    fn decode_into(&mut self, pixels: &mut [u8]) -> Result<bool, String> {
        assert_eq!(pixels.len(), self.width as usize * self.height as usize * self.layout.channels());
        // SAFETY: the file is the one whose header gave the size, and the memory has that size (a pitch of 0 is a row
        // without padding). The library leaves its errors by longjmp over frames of its own only.
        let status = unsafe {
            let (file, length) = (self.file.as_ptr(), self.file.len() as raw::size_t);
            raw::tj3Decompress8(self.handle.0, file, length, pixels.as_mut_ptr(), 0, self.layout.code())
        };
        match status {
            0 => Ok(true),
            _ if self.handle.only_warned() => Ok(false),
            _ => Err(self.handle.error()),
        }
    }
}

/// Encodes rows of RGB as baseline JPEG without chroma subsampling; `quality` is 1 to 100.
///
/// # Errors
/// The library's message: a side above 65500 pixels, no memory.
pub fn encode(pixels: &[u8], width: u32, height: u32, quality: u8) -> Result<Vec<u8>, String> {
    assert_eq!(pixels.len(), width as usize * height as usize * 3);
    let side = |side: u32| c_int::try_from(side).map_err(|_| format!("a side of {side} pixels"));
    let (width, height) = (side(width)?, side(height)?);
    let mut handle = Handle::new(raw::TJINIT_TJINIT_COMPRESS)?;
    handle.set(raw::TJPARAM_TJPARAM_QUALITY, c_int::from(quality))?;
    handle.set(raw::TJPARAM_TJPARAM_SUBSAMP, raw::TJSAMP_TJSAMP_444)?;
    let (mut file, mut length) = (ptr::null_mut(), 0);
    // SAFETY: the memory has the size that is named. The library allocates the file, which is copied and freed.
    unsafe {
        let format = raw::TJPF_TJPF_RGB;
        let status = raw::tj3Compress8(handle.0, pixels.as_ptr(), width, 0, height, format, &mut file, &mut length);
        let copy = if status == 0 {
            Ok(std::slice::from_raw_parts(file, length as usize).to_vec())
        } else {
            Err(handle.error())
        };
        raw::tj3Free(file.cast());
        copy
    }
}
