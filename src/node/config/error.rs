//! Errors of parameters.

use std::fmt;

/// Reason that a value is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterError {
    Unknown { name: String, nearest: &'static str },
    Removed { name: &'static str, reason: &'static str },
    Type { name: String, found: &'static str, expected: &'static str, hint: String },
    Value { name: String, found: String, expected: String },
    ReadOnly { name: String },
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParameterError::Unknown { name, nearest } => {
                write!(f, "there is no parameter '{name}'; did you mean '{nearest}'?")
            }
            ParameterError::Removed { name, reason } => {
                write!(f, "the parameter '{name}' does not exist any more: {reason}")
            }
            ParameterError::Type { name, found, expected, hint } => {
                write!(f, "'{name}' is {}, found {}{hint}", with_article(expected), with_article(found))
            }
            ParameterError::Value { name, found, expected } => write!(f, "'{name}' is {found}, expected {expected}"),
            ParameterError::ReadOnly { name } => {
                write!(
                    f,
                    "'{name}' is read-only after the start: set it in the parameter file and start the node again"
                )
            }
        }
    }
}

impl std::error::Error for ParameterError {}

fn with_article(noun: &str) -> String {
    format!("{} {noun}", if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" })
}
