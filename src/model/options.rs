//! How sessions are to run: execution providers, threads, precision.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::Error;

/// An ONNX Runtime execution provider that promptseg knows how to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// Let idle threads spin for the next run: a little faster under constant load, wasteful on a battery.
    pub spinning: bool,
    /// GPU number for TensorRT and CUDA.
    pub device_id: i32,
    /// Half precision where the provider chooses it itself (TensorRT).
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

/// Which provider runs a session, and why those asked for before it do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderReport {
    pub used: Provider,
    /// In the order asked, each with the reason.
    pub refused: Vec<(Provider, String)>,
}

impl fmt::Display for ProviderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.used)?;
        for (provider, reason) in &self.refused {
            write!(f, "; {provider} refused: {reason}")?;
        }
        Ok(())
    }
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
