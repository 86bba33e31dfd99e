//! Variants of a bundle: the graphs of one model in several precisions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::precision::Precision;
use crate::model::provider::Provider;

/// The graphs of a bundle in one precision, and the providers on which this precision is the best choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    pub precision: Precision,
    /// File names within the bundle. Variants may share a file.
    pub encoder: String,
    pub decoder: String,
    /// Encoder for GPUs, with the same results, that takes levels in 8 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u8_encoder: Option<String>,
    /// Present in bundles with memory, absent in all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_attention: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_encoder: Option<String>,
    /// Providers on which this precision is preferred to fp32.
    pub providers: Vec<Provider>,
    /// Differences from PyTorch that the exporter measured: `low_res` (divided by the range), `iou`, `mask_iou`.
    #[serde(default)]
    pub parity: BTreeMap<String, f64>,
    /// Differences from fp32 on the pictures that the scales of an int8 variant were calibrated on: `pictures` (their number),
    /// `low_res`, `mask_iou`, `lowest_mask_iou`, and the ratio of the times, `time`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calibration: BTreeMap<String, f64>,
}

impl Variant {
    /// Returns the names of the graphs.
    pub fn graphs(&self) -> impl Iterator<Item = &str> {
        let optional = [&self.u8_encoder, &self.memory_attention, &self.memory_encoder];
        [&self.encoder, &self.decoder].into_iter().chain(optional.into_iter().flatten()).map(String::as_str)
    }
}

/// Returns the variants to try on a provider, the best first: the requested precision, or without one the lowest
/// precision that lists the provider, then fp32.
pub fn for_provider(variants: &[Variant], requested: Option<Precision>, provider: Provider) -> Vec<&Variant> {
    if requested.is_some() {
        return variants.iter().filter(|v| Some(v.precision) == requested).collect();
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
        let (u8_encoder, memory_attention, memory_encoder) = (None, None, None);
        let (providers, parity, calibration) = (providers.to_vec(), BTreeMap::new(), BTreeMap::new());
        Variant {
            precision,
            encoder,
            decoder,
            u8_encoder,
            memory_attention,
            memory_encoder,
            providers,
            parity,
            calibration,
        }
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
}
