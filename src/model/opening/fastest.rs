//! The fastest provider of each graph. The model is opened on each provider that the machine has, and the graphs run in turns,
//! so that other work on the machine slows all providers down alike. The timings are kept beside the engines.

use std::time::{Duration, Instant};

use super::tried::Tried;
use crate::model::provider::Provider;
use crate::model::runtime::choice_file::{ChoiceFile, GraphTimings};
use crate::model::runtime::per_graph::PerGraph;
use crate::model::runtime::requests::Choice;
use crate::model::runtime::{OpenGraph, ProviderRefusal, SessionOptions};

/// Most rounds that are counted, after one that is not.
const ROUNDS: usize = 5;
/// Time after which no further round starts, if one was counted.
const LIMIT: Duration = Duration::from_secs(20);
/// Another provider replaces the CPU if it needs at most this fraction of the CPU's time. If the CPU runs the graph in 8 bits, any
/// gain is enough, because the other provider is also more exact.
const GAIN: f64 = 0.95;

/// Tries the fastest provider of each graph first. Providers that cannot run a graph stand before it, so that the report has the
/// reasons. `int8` are the graphs that the CPU runs in 8 bits.
fn choice(listed: &[Provider], measured: GraphTimings, int8: &[&str], notes: Vec<String>) -> Choice {
    let GraphTimings { timings, failed } = measured;
    let refusal = |(provider, reason): &(Provider, String)| ProviderRefusal {
        provider: *provider,
        precision: None,
        reason: reason.clone(),
    };
    let mut choice = Choice { notes, ..Choice::listed(listed) };
    for graph in timings.graphs() {
        let Some(first) = fastest(timings.list(graph), int8.contains(&graph)) else { continue };
        let is_timed = |p: &Provider| timings.list(graph).iter().any(|(provider, _)| provider == p);
        let (timed, others): (Vec<Provider>, Vec<Provider>) = listed.iter().copied().partition(|p| is_timed(p));
        let after = timed.into_iter().filter(|p| *p != first);
        *choice.providers.get_mut(graph) = others.into_iter().chain([first]).chain(after).collect();
    }
    for graph in failed.graphs() {
        *choice.refused.get_mut(graph) = failed.list(graph).iter().map(refusal).collect();
    }
    choice.timings = timings;
    choice
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

/// Chooses the providers of each graph. `open` opens the model on a list of providers, `hash` returns the hash of its files, and
/// `int8` are the graphs that the CPU runs in 8 bits.
///
/// # Errors
/// Errors of `hash`.
pub fn choose<M: Tried>(
    options: &SessionOptions,
    hash: &dyn Fn() -> Result<String, M::Error>,
    int8: &[&str],
    open: impl Fn(&[Provider]) -> Result<M, M::Error>,
    progress: &dyn Fn(&str),
) -> Result<Choice, M::Error> {
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
    let mut notes = Vec::new();
    let mut file = None;
    if let Some(cache) = &options.gpu.engine_cache {
        match ChoiceFile::new(cache, &hash()?, options, &candidates) {
            Ok(named) => file = Some(named),
            Err(why) => notes.push(format!("the timings of the providers are not kept on disk: {why}")),
        }
    }
    match file.as_ref().map_or(Ok(None), ChoiceFile::read) {
        Ok(Some(measured)) => return Ok(choice(listed, measured, int8, notes)),
        Ok(None) => {}
        Err(why) => notes.push(format!("the providers are timed again: {why}")),
    }
    notes.iter().for_each(|note| progress(note));
    let names = candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    progress(&format!("timing the model on {names}, once for this machine"));
    let measured = measure(&candidates, open);
    if measured.timings.values().all(|timings| timings.len() < 2) {
        return Ok(Choice { notes, ..Choice::listed(listed) });
    }
    // A provider without memory may have memory at the next start.
    let out_of_memory = |(_, reason): &(Provider, String)| reason.contains("out of memory");
    let keep = !measured.failed.values().flatten().any(out_of_memory);
    if let Some(file) = file.filter(|_| keep)
        && let Err(why) = file.write(&measured)
    {
        notes.push(format!("the timings of the providers are not kept on disk: {why}"));
    }
    Ok(choice(listed, measured, int8, notes))
}

/// A model that was opened on a provider, with the timings of its graphs in milliseconds.
struct Candidate<M> {
    provider: Provider,
    model: M,
    times: PerGraph<Vec<f64>>,
}

/// Opens the model on each provider and times its graphs in turns.
fn measure<M: Tried>(providers: &[Provider], open: impl Fn(&[Provider]) -> Result<M, M::Error>) -> GraphTimings {
    let mut measured = GraphTimings::default();
    let (mut candidates, mut failed) = (Vec::new(), Vec::new());
    for &provider in providers {
        // The CPU runs the graphs that the provider refuses; the others are timed.
        let cpu = providers.contains(&Provider::Cpu) && provider != Provider::Cpu;
        let list = if cpu { vec![provider, Provider::Cpu] } else { vec![provider] };
        match open(&list) {
            Ok(model) => candidates.push(Candidate { provider, model, times: PerGraph::default() }),
            Err(e) => failed.push((provider, e.to_string())),
        }
    }
    // A provider that fails runs none of the graphs.
    let names = |model: &mut M| model.groups().into_iter().flatten().map(|graph| graph.name).collect::<Vec<_>>();
    let graphs = candidates.first_mut().map_or_else(Vec::new, |candidate| names(&mut candidate.model));
    let start = Instant::now();
    for round in 0..=ROUNDS {
        if round > 1 && start.elapsed() > LIMIT {
            break;
        }
        candidates.retain_mut(|candidate| match candidate.run(round > 0) {
            Ok(()) => true,
            Err(e) => {
                failed.push((candidate.provider, e.to_string()));
                false
            }
        });
        candidates.reverse();
    }
    for graph in graphs {
        measured.failed.get_mut(graph).clone_from(&failed);
    }
    for provider in providers {
        for candidate in candidates.iter_mut().filter(|candidate| candidate.provider == *provider) {
            candidate.summarise(&mut measured);
        }
    }
    measured
}

impl<M: Tried> Candidate<M> {
    /// Runs each graph once. A run that is not counted fills caches and allocates memory.
    fn run(&mut self, counted: bool) -> Result<(), M::Error> {
        for (graph, ms) in self.model.time()? {
            if counted {
                self.times.get_mut(graph).push(ms);
            }
        }
        Ok(())
    }

    /// Adds the medians of the graphs that run on the provider, and the reasons of the graphs that do not.
    fn summarise(&mut self, measured: &mut GraphTimings) {
        for OpenGraph { name, report, .. } in self.model.groups().into_iter().flatten() {
            let times = self.times.get_mut(name);
            if report.used == self.provider {
                times.sort_by(f64::total_cmp);
                if let Some(median) = times.get(times.len() / 2) {
                    measured.timings.get_mut(name).push((self.provider, *median));
                }
                continue;
            }
            let refused = report.refused.iter().filter(|refusal| refusal.provider == self.provider);
            let reasons = refused.map(|refusal| refusal.reason.as_str()).collect::<Vec<_>>().join("; ");
            measured.failed.get_mut(name).push((self.provider, reasons));
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
        *measured.timings.get_mut("encoder") = vec![(OpenVino, 50.0), (Cpu, 100.0)];
        *measured.timings.get_mut("decoder") = vec![(Cpu, 4.0)];
        *measured.failed.get_mut("encoder") = vec![(Cuda, "no driver".to_owned())];
        *measured.failed.get_mut("decoder") = vec![(Cuda, "no driver".to_owned()), (OpenVino, "no kernel".to_owned())];
        let chosen = choice(&Provider::ALL, measured.clone(), &[], vec![]);
        assert_eq!(chosen.of("encoder"), [Tensorrt, Cuda, OpenVino, Cpu]);
        assert_eq!(chosen.of("decoder"), [Tensorrt, Cuda, OpenVino, Cpu]);
        assert_eq!(chosen.refused.list("decoder").len(), 2);
        assert_eq!(chosen.refused.list("encoder")[0].to_string(), "cuda: no driver");
        assert_eq!(chosen.of("memory_encoder"), Provider::ALL, "the model has no memory");
        *measured.timings.get_mut("encoder") = vec![(OpenVino, 96.0), (Cpu, 100.0)];
        assert_eq!(
            choice(&Provider::ALL, measured.clone(), &[], vec![]).of("encoder"),
            [Tensorrt, Cuda, Cpu, OpenVino]
        );
        assert_eq!(
            choice(&Provider::ALL, measured, &["encoder"], vec![]).of("encoder"),
            [Tensorrt, Cuda, OpenVino, Cpu]
        );
    }
}
