//! How sessions are to run: execution providers, threads, precision.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Error, Precision};

/// An ONNX Runtime execution provider that promptseg knows how to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Tensorrt,
    Cuda,
    Cpu,
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

/// How the sessions of one model are made.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionOptions {
    /// Asked for in this order; the first that can be had runs the whole session. An empty list means the CPU.
    /// A list without [`Provider::Cpu`] is an error where none of it can be had.
    pub providers: Vec<Provider>,
    /// Threads within one operator; 0 leaves the choice to ONNX Runtime.
    pub threads: usize,
    /// Let idle threads spin on after a run, for the next one: wasteful on a battery. Within a run they always do.
    pub spinning: bool,
    /// GPU number for TensorRT and CUDA.
    pub device_id: i32,
    /// Which of a bundle's variants runs; none takes the lowest precision that the bundle lists for the provider that
    /// opens, and fp32 where that fails.
    pub precision: Option<Precision>,
    /// TensorRT makes an fp32 graph half precision by itself. An fp16 variant needs no such permission.
    pub fp16: bool,
    /// Folder for TensorRT engines and timings, which take minutes to build; none builds them at each start.
    pub engine_cache: Option<PathBuf>,
    /// Most objects in one run of the decoder; larger batches are cut.
    pub max_objects: usize,
    /// Most sparse prompt tokens of an object that TensorRT's shape profile is built for.
    pub max_tokens: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            providers: vec![Provider::Tensorrt, Provider::Cuda, Provider::Cpu],
            threads: 0,
            spinning: false,
            device_id: 0,
            precision: None,
            fp16: false,
            engine_cache: None,
            max_objects: 64,
            max_tokens: 16,
        }
    }
}

impl SessionOptions {
    /// The CPU with `threads` threads: what tests and benchmarks ask for.
    pub fn cpu(threads: usize) -> Self {
        SessionOptions { providers: vec![Provider::Cpu], threads, ..SessionOptions::default() }
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
        self.refused.iter().try_for_each(|refused| write!(f, "; refused: {refused}"))
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
        for p in [Provider::Tensorrt, Provider::Cuda, Provider::Cpu] {
            assert_eq!(p.to_string().parse::<Provider>().unwrap(), p);
        }
        assert!("rocm".parse::<Provider>().unwrap_err().to_string().contains("expected tensorrt, cuda or cpu"));
    }
}
