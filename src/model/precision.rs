//! Numeric precision of a graph.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::unknown_name::UnknownName;

/// Numeric type in which a graph stores and computes weights and activations, from the lowest to the highest. No graph is stored
/// in bf16: OpenVINO computes an fp32 graph in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    Int8,
    #[serde(skip_deserializing)]
    Bf16,
    Fp16,
    Fp32,
}

impl Precision {
    /// Returns whether results are compared with fp32 before the precision is trusted. int8 variants were measured by the
    /// exporter.
    pub fn is_half(self) -> bool {
        matches!(self, Precision::Fp16 | Precision::Bf16)
    }

    /// Names that options and parameters accept, in the order of help texts.
    pub const CHOICES: [&'static str; 4] = ["auto", "fp32", "fp16", "int8"];

    /// Parses one of [`Self::CHOICES`]; `auto` is none.
    ///
    /// # Errors
    /// [`UnknownName`] for any other name.
    pub fn choice(name: &str) -> Result<Option<Precision>, UnknownName> {
        match name {
            "auto" => Ok(None),
            "fp32" => Ok(Some(Precision::Fp32)),
            "fp16" => Ok(Some(Precision::Fp16)),
            "int8" => Ok(Some(Precision::Int8)),
            _ => Err(UnknownName { kind: "precision", found: name.to_owned(), expected: "auto, fp32, fp16 or int8" }),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::Int8 => "int8",
            Precision::Bf16 => "bf16",
            Precision::Fp16 => "fp16",
            Precision::Fp32 => "fp32",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_names_go_both_ways() {
        for name in &Precision::CHOICES[1..] {
            assert_eq!(Precision::choice(name).unwrap().unwrap().to_string(), *name);
        }
        assert_eq!(Precision::choice("auto").unwrap(), None);
        assert!(Precision::choice("bf16").unwrap_err().to_string().contains("expected auto, fp32, fp16 or int8"));
        assert!(serde_json::from_str::<Precision>("\"bf16\"").is_err(), "no variant of a bundle is stored in bf16");
        assert_eq!(serde_json::to_string(&Precision::Bf16).unwrap(), "\"bf16\"");
    }
}
