//! Errors of transforms: each names what was found and what to do.

use std::fmt;

use thiserror::Error;

/// A stamp in nanoseconds, displayed in seconds with all digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanoseconds(pub i64);

impl fmt::Display for Nanoseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, n) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:09}", n / 1_000_000_000, n % 1_000_000_000)
    }
}

/// Reason why [`insert`](super::Transforms::insert) refused a transform, or why a lookup failed.
///
/// [`UnknownFrame`](TransformError::UnknownFrame), [`Disconnected`](TransformError::Disconnected),
/// [`NothingYet`](TransformError::NothingYet) and [`Future`](TransformError::Future) may be resolved by later messages
/// on `/tf`; see [`may_pass`](TransformError::may_pass).
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TransformError {
    #[error("transform \"{child}\" in \"{parent}\" has an empty frame; its publisher must name both")]
    EmptyName { parent: String, child: String },
    #[error("transform of frame \"{frame}\" in itself; its publisher must name another parent")]
    SelfTransform { frame: String },
    #[error("transform \"{child}\" in \"{parent}\" holds a value that is not finite; look at what publishes it")]
    NotFinite { parent: String, child: String },
    #[error(
        "transform \"{child}\" in \"{parent}\" has a rotation of length {norm:.4}; its publisher must normalise it"
    )]
    NotUnit { parent: String, child: String, norm: f64 },
    #[error(
        "transform \"{child}\" in \"{parent}\" at {stamp} s is too old: {latest} s is known already; if the clock was \
         set back, restart the nodes that publish TF"
    )]
    TooOld { parent: String, child: String, stamp: Nanoseconds, latest: Nanoseconds },
    #[error("frame \"{frame}\" is one too many: {limit} are kept; look for a publisher that invents frame names")]
    TooManyFrames { frame: String, limit: usize },

    #[error("no transform was received yet, so frame \"{frame}\" is unknown; is anything publishing on /tf?")]
    NothingYet { frame: String },
    #[error("frame \"{frame}\" is unknown; known: {known}")]
    UnknownFrame { frame: String, known: String },
    #[error(
        "no way from \"{source_frame}\" to \"{target_frame}\": one hangs on \"{source_root}\", the other on \
         \"{target_root}\"; publish a transform between these two trees"
    )]
    Disconnected { target_frame: String, source_frame: String, target_root: String, source_root: String },
    #[error(
        "\"{child}\" in \"{parent}\" is known from {oldest} to {latest} s, and {requested} s was asked for, which is in \
         the future; wait for it, or look at the clocks"
    )]
    Future { parent: String, child: String, requested: Nanoseconds, oldest: Nanoseconds, latest: Nanoseconds },
    #[error(
        "\"{child}\" in \"{parent}\" is known from {oldest} to {latest} s, and {requested} s was asked for, which is in \
         the past; ask sooner, or look at the clocks"
    )]
    Past { parent: String, child: String, requested: Nanoseconds, oldest: Nanoseconds, latest: Nanoseconds },
    #[error("the frames above \"{frame}\" form a loop; two publishers contradict each other")]
    Loop { frame: String },
}

impl TransformError {
    /// Returns whether later transforms may resolve the error.
    pub fn may_pass(&self) -> bool {
        use TransformError::{Disconnected, Future, NothingYet, UnknownFrame};
        matches!(self, NothingYet { .. } | UnknownFrame { .. } | Disconnected { .. } | Future { .. })
    }
}
