//! Error of reading a name that people write: an execution provider, a precision, an arena.

use thiserror::Error as ThisError;

/// A name that is not among the names of its kind.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("unknown {kind} `{found}`, expected {expected}")]
pub struct UnknownName {
    /// Kind of thing that was to be named, for instance `execution provider`.
    pub kind: &'static str,
    pub found: String,
    /// Names of the kind, as a list in words.
    pub expected: &'static str,
}
