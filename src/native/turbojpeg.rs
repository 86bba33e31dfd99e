//! libjpeg-turbo, the JPEG library of Pillow, OpenCV, browsers and most camera drivers. It is built from the source in
//! `turbojpeg-sys` and linked statically, so that a robot needs no package for it.

use std::ffi::{CStr, c_int};
use std::ptr;

use turbojpeg_sys as raw;

/// Most scans of a progressive file. Each scan is decoded over the whole image, so that a small file could take hours.
/// Encoders write about ten scans.
const MAX_SCANS: c_int = 100;
/// Most memory of the library besides the image, in MB. A progressive file needs all coefficients in memory: 8 bytes
/// for a pixel of four colours.
const MAX_MEMORY: c_int = 1024;

/// Memory layout of the pixels of a decoded file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layout {
    Rgb,
    /// Inks as stored in the file, in Adobe's convention: 255 is no ink.
    Cmyk,
}

impl Layout {
    /// Returns the number of bytes of a pixel.
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

/// An instance of the library, for one file.
struct Handle(raw::tjhandle);

impl Handle {
    fn new(kind: raw::TJINIT) -> Result<Self, String> {
        // SAFETY: the call takes a number. A null pointer means that memory is exhausted.
        let handle = unsafe { raw::tj3Init(kind as c_int) };
        if handle.is_null() { Err("libjpeg-turbo cannot allocate memory".to_owned()) } else { Ok(Handle(handle)) }
    }

    fn set(&mut self, parameter: raw::TJPARAM, value: c_int) -> Result<(), String> {
        // SAFETY: the handle is valid. The library returns an error for unknown parameters and values.
        match unsafe { raw::tj3Set(self.0, parameter as c_int, value) } {
            0 => Ok(()),
            _ => Err(self.error()),
        }
    }

    fn get(&self, parameter: raw::TJPARAM) -> c_int {
        // SAFETY: the handle is valid.
        unsafe { raw::tj3Get(self.0, parameter as c_int) }
    }

    /// Returns the message of the last call that failed.
    fn error(&self) -> String {
        // SAFETY: the handle is valid. Its message is a string that lives until the next call.
        unsafe { CStr::from_ptr(raw::tj3GetErrorStr(self.0)) }.to_string_lossy().into_owned()
    }

    /// Returns whether the last failure was a warning about damage that the library conceals.
    fn only_warned(&self) -> bool {
        // SAFETY: the handle is valid.
        unsafe { raw::tj3GetErrorCode(self.0) == raw::TJERR_TJERR_WARNING as c_int }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: tj3Init made the handle, which is not used after this call.
        unsafe { raw::tj3Destroy(self.0) }
    }
}

/// A JPEG file with a decoded header.
pub struct Decoder<'a> {
    handle: Handle,
    file: &'a [u8],
    width: u32,
    height: u32,
    layout: Layout,
}

impl<'a> Decoder<'a> {
    /// Decodes the header of a file.
    ///
    /// # Errors
    /// The library's message, if the file cannot be read.
    pub fn open(file: &'a [u8]) -> Result<Self, String> {
        let mut handle = Handle::new(raw::TJINIT_TJINIT_DECOMPRESS)?;
        handle.set(raw::TJPARAM_TJPARAM_SCANLIMIT, MAX_SCANS)?;
        handle.set(raw::TJPARAM_TJPARAM_MAXMEMORY, MAX_MEMORY)?;
        handle.set(raw::TJPARAM_TJPARAM_SAVEMARKERS, 0)?;
        // SAFETY: the pointer and the length belong to a slice that outlives the call.
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

    /// Returns width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Returns the layout of the pixels that [`Decoder::decode`] returns.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Decodes the pixels, row by row. The library fills the missing pixels of a damaged file.
    ///
    /// # Errors
    /// The library's message, if not all rows can be decoded.
    pub fn decode(mut self) -> Result<Vec<u8>, String> {
        let row = self.width as usize * self.layout.channels();
        let mut pixels = vec![0; row * self.height as usize];
        if self.decode_into(&mut pixels)? {
            return Ok(pixels);
        }
        // After a warning, the library returns the same status for an error and for a whole image. Rows are written in
        // order, so that the last row shows which case it is, unless the row is black as the memory was before.
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

    /// Decodes into `pixels`. Returns false if the library warned of damage.
    fn decode_into(&mut self, pixels: &mut [u8]) -> Result<bool, String> {
        assert_eq!(pixels.len(), self.width as usize * self.height as usize * self.layout.channels());
        // SAFETY: the size comes from the header of this file, and `pixels` has that size (a pitch of 0 means rows
        // without padding). The library's longjmp after an error crosses its own frames alone.
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
/// The library's message, if a side exceeds 65500 pixels or memory is exhausted.
pub fn encode(pixels: &[u8], width: u32, height: u32, quality: u8) -> Result<Vec<u8>, String> {
    assert_eq!(pixels.len(), width as usize * height as usize * 3);
    let side =
        |side: u32| c_int::try_from(side).map_err(|_| format!("a side of {side} pixels, expected at most 65500"));
    let (width, height) = (side(width)?, side(height)?);
    let mut handle = Handle::new(raw::TJINIT_TJINIT_COMPRESS)?;
    handle.set(raw::TJPARAM_TJPARAM_QUALITY, c_int::from(quality))?;
    handle.set(raw::TJPARAM_TJPARAM_SUBSAMP, raw::TJSAMP_TJSAMP_444)?;
    let (mut file, mut length) = (ptr::null_mut(), 0);
    // SAFETY: `pixels` has the size that is passed. The library allocates the file, which is copied and freed here.
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
