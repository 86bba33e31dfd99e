//! Facts about the running models: name, hash, execution providers.

use crate::model::{Model, ProviderRefusal, ProviderReport};

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

/// Facts about the sessions of a text model, which do not change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextSessions {
    /// Parts of the model with the providers that run them.
    pub runs: String,
    /// Providers and precisions that were preferred but refused: one sentence each, with the parts of the model and the reason.
    pub refused: Vec<String>,
    /// Other remarks on the sessions.
    pub notes: Vec<String>,
}

impl TextSessions {
    pub fn from_reports(reports: &[(&str, &ProviderReport)]) -> Self {
        // A missing provider is missing for all parts of the model.
        let mut refused: Vec<(Vec<&str>, &ProviderRefusal)> = Vec::new();
        for (part, report) in reports {
            for refusal in &report.refused {
                match refused.iter_mut().find(|(_, other)| *other == refusal) {
                    Some((parts, _)) => parts.push(part),
                    None => refused.push((vec![part], refusal)),
                }
            }
        }
        let sentence =
            |(parts, refusal): (Vec<&str>, &ProviderRefusal)| format!("{}: not on {refusal}", parts.join(", "));
        let runs = reports.iter().map(|(part, report)| format!("{part} on {}", report.runs()));
        TextSessions {
            runs: runs.collect::<Vec<_>>().join(", "),
            refused: refused.into_iter().map(sentence).collect(),
            notes: reports.iter().flat_map(|(_, report)| report.notes.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Precision, Provider};

    #[test]
    fn a_refusal_names_the_parts_of_the_text_model() {
        let report = |used, refused: &[(Provider, Option<Precision>, &str)]| {
            let refusal = |(provider, precision, reason): &(Provider, Option<Precision>, &str)| ProviderRefusal {
                provider: *provider,
                precision: *precision,
                reason: (*reason).to_owned(),
            };
            let refused = refused.iter().map(refusal).collect();
            ProviderReport { used, precision: None, refused, notes: vec![], engines_kept: false, timings: vec![] }
        };
        let (missing, inexact) = ((Provider::Cuda, None, "no driver"), Some(Precision::Bf16));
        let tower = report(Provider::OpenVino, &[missing, (Provider::OpenVino, inexact, "self-check against fp32: x")]);
        let head = report(Provider::Cpu, &[missing]);
        let sessions = TextSessions::from_reports(&[("image tower", &tower), ("class head", &head)]);
        assert_eq!(sessions.runs, "image tower on openvino, class head on cpu");
        let refused = [
            "image tower, class head: not on cuda: no driver",
            "image tower: not on openvino, bf16: self-check against fp32: x",
        ];
        assert_eq!(sessions.refused, refused);
    }
}
