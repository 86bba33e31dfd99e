//! Execution providers: which there are, which one runs, and what was tried before it.

use std::fmt;
use std::str::FromStr;

use ort::ep::{self, ExecutionProvider};
use serde::{Deserialize, Serialize};

use super::{Error, Precision, runtime};

/// An ONNX Runtime execution provider that promptseg knows how to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Tensorrt,
    Cuda,
    Cpu,
}

impl Provider {
    /// All of them, in the order in which they are asked for unless something else is said.
    pub const ALL: [Provider; 3] = [Provider::Tensorrt, Provider::Cuda, Provider::Cpu];

    /// Whether embeddings lie in the memory of a GPU.
    pub fn on_gpu(self) -> bool {
        self != Provider::Cpu
    }

    /// Whether ONNX Runtime was built with it, or why it cannot be asked.
    pub fn available(self) -> Result<(), String> {
        runtime::environment().map_err(|e| e.to_string())?;
        let available = match self {
            Provider::Tensorrt => ep::TensorRT::is_available(),
            Provider::Cuda => ep::CUDA::is_available(),
            Provider::Cpu => Ok(true),
        };
        match available {
            Ok(true) => Ok(()),
            Ok(false) => Err("this build of ONNX Runtime does not have it".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Provider::Tensorrt => "tensorrt",
            Provider::Cuda => "cuda",
            Provider::Cpu => "cpu",
        })
    }
}

impl FromStr for Provider {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name.to_ascii_lowercase().as_str() {
            "tensorrt" | "trt" => Ok(Provider::Tensorrt),
            "cuda" => Ok(Provider::Cuda),
            "cpu" => Ok(Provider::Cpu),
            _ => Err(Error::UnknownProvider { found: name.to_owned() }),
        }
    }
}

/// Which provider runs a session, in which precision, and what was tried before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderReport {
    pub used: Provider,
    /// Unknown for graphs that come without a description.
    pub precision: Option<Precision>,
    /// In the order tried.
    pub refused: Vec<Refused>,
    /// What else was seen while it opened, in sentences for people: engines that were built again, for instance.
    pub notes: Vec<String>,
    /// Whether TensorRT's engines are on disk for the next start.
    pub engines_kept: bool,
}

/// A provider, or a variant on it, that could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub provider: Provider,
    /// None when it was refused for all precisions alike.
    pub precision: Option<Precision>,
    pub reason: String,
}

impl ProviderReport {
    /// `cpu, int8`.
    pub fn runs(&self) -> String {
        named(self.used, self.precision)
    }
}

impl fmt::Display for ProviderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.runs())?;
        self.refused.iter().try_for_each(|refused| write!(f, "; refused: {refused}"))?;
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", named(self.provider, self.precision), self.reason)
    }
}

fn named(provider: Provider, precision: Option<Precision>) -> String {
    precision.map_or_else(|| provider.to_string(), |p| format!("{provider}, {p}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_names_go_both_ways() {
        for p in Provider::ALL {
            assert_eq!(p.to_string().parse::<Provider>().unwrap(), p);
        }
        assert!("rocm".parse::<Provider>().unwrap_err().to_string().contains("expected tensorrt, cuda or cpu"));
    }
}
