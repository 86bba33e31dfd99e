//! One model in several precisions: which of its files runs on which provider.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Error, Provider};

/// What a graph's weights and activations are stored and computed in, the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    Int8,
    Fp16,
    Fp32,
}

impl Precision {
    /// What people can ask for, in the order of help texts.
    pub const CHOICES: [&'static str; 4] = ["auto", "fp32", "fp16", "int8"];

    /// One of [`Self::CHOICES`]; `auto` is none.
    pub fn choice(name: &str) -> Result<Option<Precision>, Error> {
        match name {
            "auto" => Ok(None),
            "fp32" => Ok(Some(Precision::Fp32)),
            "fp16" => Ok(Some(Precision::Fp16)),
            "int8" => Ok(Some(Precision::Int8)),
            _ => Err(Error::UnknownPrecision { found: name.to_owned() }),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::Int8 => "int8",
            Precision::Fp16 => "fp16",
            Precision::Fp32 => "fp32",
        })
    }
}

/// The graphs of a bundle in one precision, and where they are the better choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    pub precision: Precision,
    /// File names within the bundle. Variants may share a file.
    pub encoder: String,
    pub decoder: String,
    /// In bundles with memory, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_attention: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_encoder: Option<String>,
    pub providers: Vec<Provider>,
    /// As the exporter measured it against PyTorch: `low_res` (difference over range), `iou`, `mask_iou`.
    #[serde(default)]
    pub parity: BTreeMap<String, f64>,
}

impl Variant {
    /// The names of its files.
    pub fn graphs(&self) -> impl Iterator<Item = &str> {
        let memory = [&self.memory_attention, &self.memory_encoder];
        [&self.encoder, &self.decoder].into_iter().chain(memory.into_iter().flatten()).map(String::as_str)
    }
}

/// The variants to try on a provider, best first: the one that was asked for, or the lowest precision that is listed
/// for the provider, then fp32.
pub(super) fn for_provider(variants: &[Variant], asked: Option<Precision>, provider: Provider) -> Vec<&Variant> {
    if asked.is_some() {
        return variants.iter().filter(|v| Some(v.precision) == asked).collect();
    }
    let listed = variants.iter().filter(|v| v.providers.contains(&provider)).min_by_key(|v| v.precision);
    let plain = variants.iter().find(|v| v.precision == Precision::Fp32);
    let mut order: Vec<_> = listed.into_iter().chain(plain).collect();
    order.dedup();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(precision: Precision, providers: &[Provider]) -> Variant {
        let (encoder, decoder) = (format!("e.{precision}"), format!("d.{precision}"));
        let (memory_attention, memory_encoder) = (None, None);
        let (providers, parity) = (providers.to_vec(), BTreeMap::new());
        Variant { precision, encoder, decoder, memory_attention, memory_encoder, providers, parity }
    }

    #[test]
    fn each_provider_gets_the_lowest_precision_listed_for_it_and_fp32_behind_it() {
        use Precision::{Fp16, Fp32, Int8};
        use Provider::{Cpu, Cuda, Tensorrt};
        let all = [variant(Fp32, &[Tensorrt, Cuda, Cpu]), variant(Fp16, &[Tensorrt, Cuda]), variant(Int8, &[Cpu])];
        let order = |variants: &[Variant], asked, provider| -> Vec<Precision> {
            for_provider(variants, asked, provider).iter().map(|v| v.precision).collect()
        };
        assert_eq!(order(&all, None, Cpu), [Int8, Fp32]);
        assert_eq!(order(&all, None, Cuda), [Fp16, Fp32]);
        assert_eq!(order(&all[..1], None, Tensorrt), [Fp32]);
        assert_eq!(order(&[variant(Fp32, &[])], None, Cpu), [Fp32], "fp32 runs everywhere");
        assert_eq!(order(&all, Some(Fp16), Cpu), [Fp16], "what is asked for is what runs");
        assert!(order(&all[..1], Some(Fp16), Cpu).is_empty());
    }

    #[test]
    fn precision_names_go_both_ways() {
        for name in &Precision::CHOICES[1..] {
            assert_eq!(Precision::choice(name).unwrap().unwrap().to_string(), *name);
        }
        assert_eq!(Precision::choice("auto").unwrap(), None);
        assert!(Precision::choice("bf16").unwrap_err().to_string().contains("expected auto, fp32, fp16 or int8"));
    }
}
