//! Files are looked at before anyone reads them: a regular file, not empty, no larger than its kind can be.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::Error;

/// `bundle.json`.
pub(super) const MAX_DESCRIPTION: u64 = 1 << 20;
/// Weights that are read into memory; SAM's prompt encoder has 25 kB of them.
pub(super) const MAX_IN_MEMORY: u64 = 256 << 20;
/// Protobuf's own limit. Weights beyond it lie in a file beside the graph.
pub(super) const MAX_GRAPH: u64 = i32::MAX as u64;
/// Weights beside a graph. ViT-H has 2.6 GB in fp32.
pub(super) const MAX_WEIGHTS: u64 = 16 << 30;

/// The most that a file of this name may hold.
pub(super) fn limit(name: &str) -> u64 {
    if name.ends_with(".onnx") {
        MAX_GRAPH
    } else if name.ends_with(".safetensors") {
        MAX_IN_MEMORY
    } else {
        MAX_WEIGHTS
    }
}

/// Bytes of a regular file.
pub(super) fn size(path: &Path) -> Result<u64, Error> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    let found = if metadata.is_dir() { "a folder" } else { "a device or pipe" };
    Err(Error::NotAFile { path: path.to_owned(), found })
}

/// Bytes of a regular file of 1 to `most` bytes.
pub(super) fn checked_size(path: &Path, most: u64) -> Result<u64, Error> {
    let found = size(path)?;
    let file = || path.display().to_string();
    match found {
        0 => Err(Error::EmptyFile { file: file() }),
        _ if found > most => Err(Error::TooLarge { file: file(), found, most }),
        _ => Ok(found),
    }
}

/// The content of a file of at most `most` bytes.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    checked_size(path, most)?;
    std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// Refuses what cannot be an ONNX graph, and says what people often have in its place.
pub(super) fn check_graph(path: &Path) -> Result<(), Error> {
    checked_size(path, MAX_GRAPH)?;
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut start = Vec::new();
    File::open(path).map_err(failed)?.take(16).read_to_end(&mut start).map_err(failed)?;
    match foreign(&start) {
        Some(reason) => Err(Error::NotOnnx { file: path.display().to_string(), reason: reason.to_owned() }),
        None => Ok(()),
    }
}

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
