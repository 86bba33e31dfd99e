//! Errors of publishing.

use crate::pixels::PixelError;

/// Reason that a result is not published.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("publishing on {topic}: {source}")]
    Publish { topic: &'static str, source: r2r::Error },
    #[error("overlay: {0}")]
    Overlay(#[from] PixelError),
}
