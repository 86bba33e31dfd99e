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
    OpenVino,
    Cpu,
}

impl Provider {
    /// All providers, in the order in which they are tried without timings.
    pub const ALL: [Provider; 4] = [Provider::Tensorrt, Provider::Cuda, Provider::OpenVino, Provider::Cpu];

    /// Name that stands for the fastest of the other providers in a list.
    pub const AUTO: &'static str = "auto";

    /// Names that options and parameters accept, in the order of help texts.
    pub const CHOICES: [&'static str; 5] = [Self::AUTO, "tensorrt", "cuda", "openvino", "cpu"];

    /// Parses a list of names from [`Self::CHOICES`]. Returns the providers, and whether the fastest of them is to run each
    /// graph: that is the case if the list contains `auto`. `auto` alone stands for all providers.
    ///
    /// # Errors
    /// [`UnknownName`] for the first name that is not a provider.
    pub fn list(names: &[impl AsRef<str>]) -> Result<(Vec<Provider>, bool), UnknownName> {
        let is_auto = |name: &&str| name.eq_ignore_ascii_case(Self::AUTO);
        let names = || names.iter().map(|name| -> &str { name.as_ref() });
        let fastest = names().any(|name| is_auto(&name));
        let listed =
            names().filter(|name| !is_auto(name)).map(str::parse::<Provider>).collect::<Result<Vec<_>, _>>()?;
        Ok((if fastest && listed.is_empty() { Self::ALL.to_vec() } else { listed }, fastest))
    }

    /// Returns whether tensors of the provider lie in the memory of a GPU. OpenVINO copies the tensors of its devices itself.
    pub fn on_gpu(self) -> bool {
        matches!(self, Provider::Tensorrt | Provider::Cuda)
    }

    /// Returns whether a model is tried on the provider before it is used.
    pub fn is_tried(self) -> bool {
        self != Provider::Cpu
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Provider::Tensorrt => "tensorrt",
            Provider::Cuda => "cuda",
            Provider::OpenVino => "openvino",
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
            "openvino" => Ok(Provider::OpenVino),
            "cpu" => Ok(Provider::Cpu),
            _ => Err(UnknownName {
                kind: "execution provider",
                found: name.to_owned(),
                expected: "auto, tensorrt, cuda, openvino or cpu",
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
            assert!(Provider::CHOICES.contains(&p.to_string().as_str()));
        }
        let message = "rocm".parse::<Provider>().unwrap_err().to_string();
        assert!(message.contains("expected auto, tensorrt, cuda, openvino or cpu"), "{message}");
    }

    #[test]
    fn auto_is_the_fastest_of_the_listed_providers() {
        use Provider::{Cpu, Cuda, OpenVino};
        assert_eq!(Provider::list(&["auto"]).unwrap(), (Provider::ALL.to_vec(), true));
        assert_eq!(Provider::list(&["openvino", "Auto", "cpu"]).unwrap(), (vec![OpenVino, Cpu], true));
        assert_eq!(Provider::list(&["cuda", "cpu"]).unwrap(), (vec![Cuda, Cpu], false));
        assert_eq!(Provider::list(&[] as &[&str]).unwrap(), (vec![], false));
        assert!(Provider::list(&["auto", "rocm"]).is_err());
    }
}
