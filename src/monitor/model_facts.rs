//! Facts about the running model: name, hash, execution providers.

use crate::model::{Model, ProviderReport};

/// Facts about the running model, which do not change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFacts {
    pub name: String,
    /// Hash of the model's files, as the bundle lists it; empty for graphs without a bundle.
    pub hash: String,
    /// Provider and precision of the encoder.
    pub encoder: String,
    /// Provider and precision of the decoder.
    pub decoder: String,
    /// Provider and precision of the two memory graphs, with their names; empty if no memory is open.
    pub memory: String,
    /// Providers and precisions that were preferred but refused: one sentence each, with the reason.
    pub refused: Vec<String>,
    /// Other remarks on the sessions, such as engines that could not be cached.
    pub notes: Vec<String>,
}

impl ModelFacts {
    pub fn from_model(model: &Model) -> Self {
        let reports = model.reports();
        let refused = |(part, report): &(&str, &ProviderReport)| -> Vec<String> {
            report.refused.iter().map(|reason| format!("{part}: not on {reason}")).collect()
        };
        let runs = |part: &str, report: &ProviderReport| format!("{part} on {}", report.runs());
        let memory = reports.iter().filter(|(part, _)| part.starts_with("memory"));
        ModelFacts {
            name: model.info.name.clone(),
            hash: model.info.hash.clone(),
            encoder: model.encoder.providers().runs(),
            decoder: model.decoder.providers().runs(),
            memory: memory.map(|(part, report)| runs(part, report)).collect::<Vec<_>>().join(", "),
            refused: reports.iter().flat_map(refused).collect(),
            notes: reports.iter().flat_map(|(_, report)| report.notes.clone()).collect(),
        }
    }
}
