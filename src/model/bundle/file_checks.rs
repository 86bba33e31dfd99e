//! Checks of files before anything reads them: a regular file, not empty, no larger than its kind can be.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::model::error::Error;

/// Most bytes of `bundle.json`.
pub const MAX_DESCRIPTION: u64 = 1 << 20;
/// Most bytes of weights that are read into memory. SAM's prompt encoder has 25 kB.
pub const MAX_IN_MEMORY: u64 = 256 << 20;
/// Most bytes of `tokenizer.json`. CLIP's has 4 MB.
pub const MAX_TOKENIZER: u64 = 64 << 20;
/// Most bytes of a graph: the limit of protobuf. Larger weights lie in a file beside the graph.
pub const MAX_GRAPH: u64 = i32::MAX as u64;
/// Most bytes of a file of weights beside a graph. ViT-H has 2.6 GB in fp32.
pub const MAX_WEIGHTS: u64 = 16 << 30;

/// Returns the most bytes that a file of this name may have.
pub fn limit(name: &str) -> u64 {
    if name.ends_with(".onnx") {
        MAX_GRAPH
    } else if name.ends_with(".safetensors") {
        MAX_IN_MEMORY
    } else if name.ends_with(".json") {
        MAX_TOKENIZER
    } else {
        MAX_WEIGHTS
    }
}

/// Returns the number of bytes of a regular file.
///
/// # Errors
/// [`Error::Read`] if there is no such file, [`Error::NotAFile`] for a folder, device or pipe.
pub fn size(path: &Path) -> Result<u64, Error> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    let found = if metadata.is_dir() { "a folder" } else { "a device or pipe" };
    Err(Error::NotAFile { path: path.to_owned(), found })
}

/// Returns the number of bytes of a file that a description lists.
///
/// # Errors
/// [`Error::MissingFile`] if there is no such file, and the other errors of [`size`].
pub fn listed_size(path: &Path) -> Result<u64, Error> {
    size(path).map_err(|e| match e {
        Error::Read { source, path } if source.kind() == std::io::ErrorKind::NotFound => {
            Error::MissingFile { file: path.display().to_string() }
        }
        other => other,
    })
}

/// Returns the number of bytes of a regular file that has 1 to `most` bytes.
///
/// # Errors
/// The errors of [`size`], [`Error::EmptyFile`] and [`Error::TooLarge`].
pub fn checked_size(path: &Path, most: u64) -> Result<u64, Error> {
    let found = size(path)?;
    let file = || path.display().to_string();
    match found {
        0 => Err(Error::EmptyFile { file: file() }),
        _ if found > most => Err(Error::TooLarge { file: file(), found, most }),
        _ => Ok(found),
    }
}

/// Returns the content of a file of 1 to `most` bytes.
///
/// # Errors
/// The errors of [`checked_size`].
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    checked_size(path, most)?;
    std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// Checks size and first bytes of an ONNX graph.
///
/// # Errors
/// The errors of [`checked_size`], and [`Error::NotOnnx`] for the kinds of files that people often take for a graph.
pub fn check_graph(path: &Path) -> Result<(), Error> {
    checked_size(path, MAX_GRAPH)?;
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut start = Vec::new();
    File::open(path).map_err(failed)?.take(16).read_to_end(&mut start).map_err(failed)?;
    match foreign(&start) {
        Some(reason) => Err(Error::NotOnnx { file: path.display().to_string(), reason: reason.to_owned() }),
        None => Ok(()),
    }
}

/// Names the kind of a file that starts with `start`, with what to do; none if the file may be a graph.
fn foreign(start: &[u8]) -> Option<&'static str> {
    match start {
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', b'h', ..] => {
            Some("it is a Git LFS pointer; `git lfs pull` gets the file itself")
        }
        [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => {
            Some("it looks like a PyTorch checkpoint; `promptseg-export` makes a bundle of it")
        }
        [_, _, _, _, 0, 0, 0, 0, b'{', ..] => {
            Some("it is a safetensors file; `promptseg-export` makes a bundle of a checkpoint")
        }
        [b'<', ..] => Some("it is a web page, so the download went wrong"),
        _ => None,
    }
}
