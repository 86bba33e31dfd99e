//! Report of an opened session: the execution provider that runs it, and the providers that were refused before.

use std::fmt;

use crate::model::precision::Precision;
use crate::model::provider::Provider;

/// Provider and precision of a session, and what was refused before them.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderReport {
    pub used: Provider,
    /// None for graphs without a bundle.
    pub precision: Option<Precision>,
    /// In the order in which the providers were tried.
    pub refused: Vec<ProviderRefusal>,
    /// Other events of opening the session, as sentences for people, for instance engines that were built again.
    pub notes: Vec<String>,
    /// Whether the engines of TensorRT or OpenVINO are on disk for the next start.
    pub engines_kept: bool,
    /// Time of one run on each provider in milliseconds, if the provider was chosen by its speed.
    pub timings: Vec<(Provider, f64)>,
}

/// A provider, or one precision on a provider, that cannot run a session, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRefusal {
    pub provider: Provider,
    /// None if the provider is refused for all precisions.
    pub precision: Option<Precision>,
    pub reason: String,
}

impl ProviderReport {
    /// Returns provider and precision in words, for instance `cpu, int8`, and the timings of a choice by speed, for instance
    /// `openvino, bf16 (openvino 142 ms, cpu 331 ms)`.
    pub fn runs(&self) -> String {
        let timing = |(provider, ms): &(Provider, f64)| format!("{provider} {}", milliseconds(*ms));
        let timings = self.timings.iter().map(timing).collect::<Vec<_>>().join(", ");
        let runs = name(self.used, self.precision);
        if timings.is_empty() { runs } else { format!("{runs} ({timings})") }
    }
}

impl fmt::Display for ProviderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.runs())?;
        self.refused.iter().try_for_each(|refused| write!(f, "; refused: {refused}"))?;
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

impl fmt::Display for ProviderRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", name(self.provider, self.precision), self.reason)
    }
}

/// Returns a time with three significant digits, for instance `331 ms` or `7.04 ms`.
fn milliseconds(ms: f64) -> String {
    let decimals = match ms {
        ms if ms >= 100.0 => 0,
        ms if ms >= 10.0 => 1,
        _ => 2,
    };
    format!("{ms:.decimals$} ms")
}

fn name(provider: Provider, precision: Option<Precision>) -> String {
    precision.map_or_else(|| provider.to_string(), |p| format!("{provider}, {p}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_the_timings_of_a_choice() {
        let timings = vec![(Provider::OpenVino, 142.4), (Provider::Cpu, 7.041)];
        let (used, precision) = (Provider::OpenVino, Some(Precision::Bf16));
        let report = ProviderReport { used, precision, refused: vec![], notes: vec![], engines_kept: true, timings };
        assert_eq!(report.runs(), "openvino, bf16 (openvino 142 ms, cpu 7.04 ms)");
        assert_eq!(ProviderReport { timings: vec![], ..report }.runs(), "openvino, bf16");
    }
}
