//! Report of an opened session: the execution provider that runs it, and the providers that were refused before.

use std::fmt;

use crate::model::precision::Precision;
use crate::model::provider::Provider;

/// Provider and precision of a session, and what was refused before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderReport {
    pub used: Provider,
    /// None for graphs without a bundle.
    pub precision: Option<Precision>,
    /// In the order in which the providers were tried.
    pub refused: Vec<ProviderRefusal>,
    /// Other events of opening the session, as sentences for people, for instance engines that were built again.
    pub notes: Vec<String>,
    /// Whether TensorRT's engines are on disk for the next start.
    pub engines_kept: bool,
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
    /// Returns provider and precision in words, for instance `cpu, int8`.
    pub fn runs(&self) -> String {
        name(self.used, self.precision)
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

fn name(provider: Provider, precision: Option<Precision>) -> String {
    precision.map_or_else(|| provider.to_string(), |p| format!("{provider}, {p}"))
}
