//! A model tried on each execution provider.

use std::fmt::Display;

use promptseg::model::{GpuOptions, Precision, Provider, ProviderReport, SessionOptions};
use serde_json::{Value, json};

use crate::terminal;

/// Outcome of opening the model on one provider.
pub struct Trial {
    pub provider: Provider,
    /// The sessions, or the reason why the model does not run.
    pub outcome: Result<Sessions, String>,
}

/// Sessions of a model on one provider.
pub struct Sessions {
    /// Name and precision of each part of the model.
    pub parts: Vec<(&'static str, Option<Precision>)>,
    /// Precisions that the provider refused, and other remarks.
    pub notes: Vec<String>,
}

impl Trial {
    pub fn print(&self) {
        let text = match &self.outcome {
            Ok(Sessions { parts, notes }) => {
                let notes = notes.iter().map(|line| format!("; {line}")).collect::<String>();
                let parts = parts.iter().map(|(part, precision)| format!("{part} {}", precision_name(*precision)));
                format!("yes: {}{notes}", parts.collect::<Vec<_>>().join(", "))
            }
            Err(reason) => format!("no: {reason}"),
        };
        terminal::print(format!("{:<12}{:<10}{text}", "runs on", self.provider.to_string()));
    }

    pub fn as_json(&self) -> Value {
        match &self.outcome {
            Ok(Sessions { parts, notes }) => {
                let mut value = json!({ "provider": self.provider, "runs": true, "notes": notes });
                for (part, precision) in parts {
                    value[part.replace(' ', "_")] = json!(precision);
                }
                value
            }
            Err(reason) => json!({ "provider": self.provider, "runs": false, "reason": reason }),
        }
    }
}

/// Returns options with which a session runs on one provider, and keeps its engines where the node does.
pub fn options_of(provider: Provider, precision: Option<Precision>) -> SessionOptions {
    SessionOptions {
        providers: vec![provider],
        precision,
        gpu: GpuOptions { engine_cache: GpuOptions::engine_cache_of(""), ..GpuOptions::default() },
        ..SessionOptions::default()
    }
}

/// Returns the precision of each part of a model, with the reasons for it.
pub fn sessions(reports: &[(&'static str, &ProviderReport)]) -> Sessions {
    let refused = reports.iter().flat_map(|(_, r)| r.refused.iter().map(|e| format!("not {e}")));
    let remarks = reports.iter().flat_map(|(_, r)| r.notes.clone());
    let mut notes: Vec<String> = refused.chain(remarks).collect();
    notes.sort();
    notes.dedup();
    let parts = reports.iter().map(|(part, report)| (*part, report.precision)).collect();
    Sessions { parts, notes }
}

/// Opens a model on every provider of the installed ONNX Runtime. `keep` turns an open model into the description of its sessions
/// and what is needed of it later, which is returned for the first provider on which the model opens.
pub fn try_providers<Opened, Kept, Error: Display>(
    open: impl Fn(Provider) -> Result<Opened, Error>,
    keep: impl Fn(Opened) -> (Sessions, Kept),
) -> (Result<Kept, Error>, Vec<Trial>) {
    let mut kept = None;
    let mut trials = Vec::new();
    for provider in Provider::ALL {
        let outcome = match provider.available() {
            Err(reason) => Err(reason),
            Ok(()) => match open(provider).map(&keep) {
                Ok((sessions, model)) => {
                    if !matches!(kept, Some(Ok(_))) {
                        kept = Some(Ok(model));
                    }
                    Ok(sessions)
                }
                Err(e) => {
                    let reason = e.to_string();
                    kept.get_or_insert(Err(e));
                    Err(reason)
                }
            },
        };
        trials.push(Trial { provider, outcome });
    }
    // Without ONNX Runtime no provider was tried; opening the model returns that error.
    (kept.unwrap_or_else(|| open(Provider::Cpu).map(|model| keep(model).1)), trials)
}

/// Describes the precision of a session. Only bundles declare a precision.
fn precision_name(precision: Option<Precision>) -> String {
    precision.map_or_else(|| "in the graph's precision".to_owned(), |p| p.to_string())
}
