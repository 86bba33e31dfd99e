//! Failures of commands, and the text of an error with its causes.

use std::error::Error;

/// Reason why a command ends without success.
pub enum Failure {
    /// The arguments are contradictory or incomplete. The tool prints the reason with the usage and exits with code 2.
    Usage(String),
    /// The work failed. The tool prints the error and exits with code 1.
    Failed(Box<dyn Error>),
    /// The work failed and the error is printed already. The tool exits with code 1.
    Reported,
}

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Failed(error.into())
    }
}

/// Returns the text of an error, followed by the texts of its causes that the error does not contain already.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
