//! Errors that end the node.

use thiserror::Error;

use super::config::ParameterError;

/// Reason that the node did not start, or ended.
#[derive(Debug, Error)]
pub enum NodeError {
    #[error("ROS 2: {0}")]
    Ros(#[from] r2r::Error),
    #[error("command line: {0}")]
    CommandLine(String),
    #[error("ROS 2 did not start: {0}")]
    Context(String),
    #[error("parameters: {0}")]
    Parameters(#[from] ParameterError),
    #[error("{0}")]
    Logging(String),
    #[error("{0}")]
    Console(String),
    #[error("metrics_address: {0}")]
    Metrics(String),
    #[error(transparent)]
    Model(#[from] crate::model::Error),
    #[error("text.model: {0}")]
    Text(String),
    #[error("starting threads: {0}")]
    Threads(#[from] std::io::Error),
    #[error("the node did not start: '{0}' did not succeed")]
    Start(&'static str),
    #[error("the thread that spins the node panicked (see above); the node ends, to be started again")]
    Spin,
}
