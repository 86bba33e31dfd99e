//! Reasons why a bag is refused.

use std::path::PathBuf;

use thiserror::Error;

/// Reason why a bag cannot be opened, or none of its files can be read.
#[derive(Debug, Error)]
pub enum BagError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: found {found}, expected a folder with .mcap or .db3 files, or one such file", path.display())]
    NotABag { path: PathBuf, found: String },
    #[error("{}: compressed as a whole file; unpack it first: zstd -d {}", path.display(), path.display())]
    CompressedFile { path: PathBuf },
    #[error("no file of the bag can be read: {}", reasons.join("; "))]
    Unreadable { reasons: Vec<String> },
    #[error("{0}")]
    Topic(String),
}

/// Fault of a message in CDR.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CdrError {
    #[error("the message begins with {found}, expected the CDR header 00 00 (big endian) or 00 01 (little endian)")]
    Representation { found: String },
    #[error("the message ends in `{field}`: {needed} bytes needed at byte {at}, {left} left")]
    Short { field: &'static str, at: usize, needed: u64, left: usize },
    #[error("{what} messages are not decoded here, expected {expected}")]
    Type { what: String, expected: &'static str },
}
