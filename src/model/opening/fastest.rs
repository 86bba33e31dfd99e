//! The fastest provider of each graph. The model is opened on each provider that the machine has, and the graphs run in turns,
//! so that other work on the machine slows all providers down alike. The timings are kept beside the engines.

use std::time::{Duration, Instant};

use image::RgbImage;

use super::files::ModelFiles;
use super::trial;
use crate::model::decoded::DecodeOptions;
use crate::model::error::Error;
use crate::model::loaded::Model;
use crate::model::provider::Provider;
use crate::model::runtime::choice_file::{ChoiceFile, GraphTimings};
use crate::model::runtime::graph_file::GraphRole;
use crate::model::runtime::per_graph::PerGraph;
use crate::model::runtime::{ProviderRefusal, SessionOptions};

/// Most rounds that are counted, after one that is not.
const ROUNDS: usize = 5;
/// Time after which no further round starts, if one was counted.
const LIMIT: Duration = Duration::from_secs(20);
/// Another provider replaces the CPU if it needs at most this fraction of the CPU's time. If the CPU runs the graph in 8 bits, any
/// gain is enough, because the other provider is also more exact.
const GAIN: f64 = 0.95;

/// Providers of the graphs of a model.
#[derive(Debug, PartialEq)]
pub struct Choice {
    /// Providers to try for each graph, in order.
    pub providers: PerGraph<Vec<Provider>>,
    /// Timings of each graph by provider; empty without a choice by speed.
    pub timings: PerGraph<Vec<(Provider, f64)>>,
    /// Providers that could not run a graph when they were timed. They are not tried.
    pub refused: PerGraph<Vec<ProviderRefusal>>,
    /// Remarks for the report of the model.
    pub notes: Vec<String>,
}

impl Choice {
    /// Tries the providers of a list in its order.
    pub fn listed(providers: &[Provider]) -> Self {
        Choice {
            providers: PerGraph::new(|_| providers.to_vec()),
            timings: PerGraph::default(),
            refused: PerGraph::default(),
            notes: Vec::new(),
        }
    }

    /// Tries the fastest provider of each graph first. Providers that cannot run a graph stand before it, so that the report
    /// has the reasons.
    /// `int8` are the graphs that the CPU runs in 8 bits.
    fn fastest(listed: &[Provider], measured: GraphTimings, int8: &PerGraph<bool>, notes: Vec<String>) -> Self {
        let GraphTimings { timings, failed } = measured;
        let refusal = |(provider, reason): &(Provider, String)| ProviderRefusal {
            provider: *provider,
            precision: None,
            reason: reason.clone(),
        };
        let order = |graph: GraphRole| {
            let Some(first) = fastest(timings.get(graph), *int8.get(graph)) else { return listed.to_vec() };
            let timed = |p: &Provider| timings.get(graph).iter().any(|(provider, _)| provider == p);
            let (timed, others): (Vec<Provider>, Vec<Provider>) = listed.iter().copied().partition(|p| timed(p));
            let after = timed.into_iter().filter(|p| *p != first);
            others.into_iter().chain([first]).chain(after).collect()
        };
        Choice {
            providers: PerGraph::new(order),
            refused: PerGraph::new(|graph| failed.get(graph).iter().map(refusal).collect()),
            timings,
            notes,
        }
    }
}

/// Returns the provider to run a graph on: the fastest. Another provider replaces the CPU only if it is clearly faster, or faster at
/// all if the CPU runs the graph in 8 bits.
fn fastest(timings: &[(Provider, f64)], int8: bool) -> Option<Provider> {
    let weighted = |(provider, ms): &(Provider, f64)| {
        let weight = if *provider == Provider::Cpu && !int8 { GAIN } else { 1.0 };
        (*provider, weight * ms)
    };
    timings.iter().map(weighted).min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(provider, _)| provider)
}

/// Chooses the providers of each graph. `open` opens the model on a list of providers.
///
/// # Errors
/// [`Error::Read`] if the files of the model cannot be read.
pub fn choose(
    files: &ModelFiles,
    options: &SessionOptions,
    open: impl Fn(&[Provider]) -> Result<Model, Error>,
    progress: &dyn Fn(&str),
) -> Result<Choice, Error> {
    let listed = &options.providers;
    let mut candidates: Vec<Provider> = Vec::new();
    for provider in listed.iter().filter(|_| options.fastest) {
        if !candidates.contains(provider) && provider.available().is_ok() {
            candidates.push(*provider);
        }
    }
    if candidates.len() < 2 {
        return Ok(Choice::listed(listed));
    }
    let int8 = PerGraph::new(|graph| files.is_int8_on_cpu(graph, options.precision));
    let mut notes = Vec::new();
    let mut file = None;
    if let Some(cache) = &options.gpu.engine_cache {
        match ChoiceFile::new(cache, &files.hash()?, options, &candidates) {
            Ok(named) => file = Some(named),
            Err(why) => notes.push(format!("the timings of the providers are not kept on disk: {why}")),
        }
    }
    match file.as_ref().map_or(Ok(None), ChoiceFile::read) {
        Ok(Some(measured)) => return Ok(Choice::fastest(listed, measured, &int8, notes)),
        Ok(None) => {}
        Err(why) => notes.push(format!("the providers are timed again: {why}")),
    }
    notes.iter().for_each(|note| progress(note));
    let names = candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    progress(&format!("timing the model on {names}, once for this machine"));
    let measured = measure(&candidates, open);
    if measured.timings.values().iter().all(|timings| timings.len() < 2) {
        return Ok(Choice { notes, ..Choice::listed(listed) });
    }
    // A provider without memory may have memory at the next start.
    let out_of_memory = |(_, reason): &(Provider, String)| reason.contains("out of memory");
    let keep = !measured.failed.values().into_iter().flatten().any(out_of_memory);
    if let Some(file) = file.filter(|_| keep)
        && let Err(why) = file.write(&measured)
    {
        notes.push(format!("the timings of the providers are not kept on disk: {why}"));
    }
    Ok(Choice::fastest(listed, measured, &int8, notes))
}

/// A model that was opened on a provider, with its timings in milliseconds.
struct Candidate {
    provider: Provider,
    model: Model,
    times: PerGraph<Vec<f64>>,
}

/// Opens the model on each provider and times its graphs in turns.
fn measure(providers: &[Provider], open: impl Fn(&[Provider]) -> Result<Model, Error>) -> GraphTimings {
    let mut measured = GraphTimings::default();
    let mut candidates = Vec::new();
    for &provider in providers {
        // The CPU runs the graphs that the provider refuses; the others are timed.
        let cpu = providers.contains(&Provider::Cpu) && provider != Provider::Cpu;
        let list = if cpu { vec![provider, Provider::Cpu] } else { vec![provider] };
        match open(&list) {
            Ok(model) => candidates.push(Candidate { provider, model, times: PerGraph::default() }),
            Err(e) => fail(&mut measured, provider, &e.to_string()),
        }
    }
    let (start, picture) = (Instant::now(), trial::picture());
    for round in 0..=ROUNDS {
        if round > 1 && start.elapsed() > LIMIT {
            break;
        }
        candidates.retain_mut(|candidate| match candidate.run(&picture, round > 0) {
            Ok(()) => true,
            Err(e) => {
                fail(&mut measured, candidate.provider, &e.to_string());
                false
            }
        });
        candidates.reverse();
    }
    for provider in providers {
        for candidate in candidates.iter_mut().filter(|candidate| candidate.provider == *provider) {
            candidate.summarise(&mut measured);
        }
    }
    measured
}

/// Writes down that no graph runs on a provider.
fn fail(measured: &mut GraphTimings, provider: Provider, reason: &str) {
    for graph in GraphRole::ALL {
        measured.failed.get_mut(graph).push((provider, reason.to_owned()));
    }
}

impl Candidate {
    /// Runs each graph once. A run that is not counted fills caches and allocates memory.
    fn run(&mut self, picture: &RgbImage, counted: bool) -> Result<(), Error> {
        let mut add = |graph: GraphRole, ms: f64| {
            if counted {
                self.times.get_mut(graph).push(ms);
            }
        };
        let model = &mut self.model;
        let embedding = model.encoder.encode(picture)?;
        add(GraphRole::ImageEncoder, embedding.timings.run_ms);
        if let Some(prompt) = trial::prompts(model).into_iter().next() {
            let decodes = model.decoder.decode(&embedding, &[prompt], &DecodeOptions::default())?;
            add(GraphRole::MaskDecoder, decodes.timings.run_ms);
        }
        if model.info.memory.is_some() {
            let (_, [attention, encoder]) = model.decoder.memory()?.trial_outputs(&embedding)?;
            add(GraphRole::MemoryAttention, attention);
            add(GraphRole::MemoryEncoder, encoder);
        }
        Ok(())
    }

    /// Adds the medians of the graphs that run on the provider, and the reasons of the graphs that do not.
    fn summarise(&mut self, measured: &mut GraphTimings) {
        for (graph, report) in self.model.reports_by_graph() {
            let times = self.times.get_mut(graph);
            if report.used == self.provider {
                times.sort_by(f64::total_cmp);
                if let Some(median) = times.get(times.len() / 2) {
                    measured.timings.get_mut(graph).push((self.provider, *median));
                }
                continue;
            }
            let refused = report.refused.iter().filter(|refusal| refusal.provider == self.provider);
            let reasons = refused.map(|refusal| refusal.reason.as_str()).collect::<Vec<_>>().join("; ");
            measured.failed.get_mut(graph).push((self.provider, reasons));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Provider::{Cpu, Cuda, OpenVino, Tensorrt};

    #[test]
    fn another_provider_replaces_the_cpu_if_it_is_clearly_faster() {
        assert_eq!(fastest(&[(OpenVino, 94.0), (Cpu, 100.0)], false), Some(OpenVino));
        assert_eq!(fastest(&[(OpenVino, 96.0), (Cpu, 100.0)], false), Some(Cpu));
        assert_eq!(
            fastest(&[(OpenVino, 96.0), (Cpu, 100.0)], true),
            Some(OpenVino),
            "int8 loses on speed and accuracy"
        );
        assert_eq!(fastest(&[(OpenVino, 101.0), (Cpu, 100.0)], true), Some(Cpu));
        assert_eq!(fastest(&[(Tensorrt, 10.0), (Cuda, 9.9), (Cpu, 100.0)], false), Some(Cuda));
        assert_eq!(fastest(&[], false), None);
    }

    #[test]
    fn the_fastest_provider_of_each_graph_is_tried_first() {
        let mut measured = GraphTimings::default();
        measured.timings.encoder = vec![(OpenVino, 50.0), (Cpu, 100.0)];
        measured.timings.decoder = vec![(Cpu, 4.0)];
        measured.failed.encoder = vec![(Cuda, "no driver".to_owned())];
        measured.failed.decoder = vec![(Cuda, "no driver".to_owned()), (OpenVino, "no kernel".to_owned())];
        let int8 = PerGraph::default();
        let choice = Choice::fastest(&Provider::ALL, measured.clone(), &int8, vec![]);
        assert_eq!(choice.providers.encoder, [Tensorrt, Cuda, OpenVino, Cpu]);
        assert_eq!(choice.providers.decoder, [Tensorrt, Cuda, OpenVino, Cpu]);
        assert_eq!(choice.refused.decoder.len(), 2);
        assert_eq!(choice.refused.encoder[0].to_string(), "cuda: no driver");
        assert_eq!(choice.providers.memory_encoder, Provider::ALL, "the model has no memory");
        measured.timings.encoder = vec![(OpenVino, 150.0), (Cpu, 100.0)];
        assert_eq!(
            Choice::fastest(&Provider::ALL, measured, &int8, vec![]).providers.encoder,
            [Tensorrt, Cuda, Cpu, OpenVino]
        );
    }
}
