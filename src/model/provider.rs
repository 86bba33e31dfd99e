//! Names of execution providers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::unknown_name::UnknownName;

/// An execution provider of ONNX Runtime that promptseg supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Tensorrt,
    Cuda,
    Cpu,
}

impl Provider {
    /// All providers, in the order in which they are tried by default.
    pub const ALL: [Provider; 3] = [Provider::Tensorrt, Provider::Cuda, Provider::Cpu];

    /// Returns whether tensors of the provider lie in the memory of a GPU.
    pub fn on_gpu(self) -> bool {
        self != Provider::Cpu
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
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name.to_ascii_lowercase().as_str() {
            "tensorrt" | "trt" => Ok(Provider::Tensorrt),
            "cuda" => Ok(Provider::Cuda),
            "cpu" => Ok(Provider::Cpu),
            _ => Err(UnknownName {
                kind: "execution provider",
                found: name.to_owned(),
                expected: "tensorrt, cuda or cpu",
            }),
        }
    }
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
