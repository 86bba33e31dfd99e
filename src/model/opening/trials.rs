//! Opens models of any kind: on the fastest provider of each graph, and with trial runs on other providers than the CPU. Results
//! in half precision are compared with fp32.

use super::fastest;
use super::tried::{RunFailure, Tried};
use crate::model::precision::Precision;
use crate::model::provider::Provider;
use crate::model::runtime::engine_cache::{self, EngineRecord};
use crate::model::runtime::requests::{Choice, Refusals, Requests};
use crate::model::runtime::{GpuOptions, OpenGraph, ProviderRefusal, SessionOptions};

/// How a model is opened.
pub struct Opening<'a, M: Tried> {
    pub options: &'a SessionOptions,
    /// Whether the model may have files in several precisions.
    pub has_variants: bool,
    /// Names of the graphs that the CPU runs in 8 bits, which are less exact than what other providers compute in.
    pub int8_on_cpu: Vec<&'static str>,
    /// Returns the hash of all graphs and weights.
    pub hash: &'a dyn Fn() -> Result<String, M::Error>,
    /// Opens the sessions of the model.
    pub open: &'a dyn Fn(&Requests<'_>) -> Result<M, M::Error>,
    /// Receives a sentence before each step that takes minutes.
    pub progress: &'a dyn Fn(&str),
}

/// Failure of a trial run.
enum TrialFailure<E> {
    /// A session fails on its provider.
    Run(RunFailure<E>),
    /// The results of half precision and fp32 differ too much, or fp32 could not run for the comparison (`compared` is false).
    Inexact { reason: String, compared: bool },
}

impl<M: Tried> Opening<'_, M> {
    /// Opens the model on the providers of its options, or on the fastest of them.
    ///
    /// # Errors
    /// The errors of files, graphs, execution providers and the runtime.
    pub fn run(&self) -> Result<M, M::Error> {
        let listed = |providers: &[Provider]| self.open_choice(&Choice::listed(providers));
        let choice = fastest::choose(self.options, self.hash, &self.int8_on_cpu, listed, self.progress)?;
        let mut model = self.open_choice(&choice)?;
        let mut notes = choice.notes;
        for graph in model.groups().into_iter().flatten() {
            graph.report.timings = choice.timings.list(graph.name).to_vec();
            // The remarks about the model are in the report of its first graph.
            graph.report.notes.append(&mut notes);
        }
        Ok(model)
    }

    fn open_choice(&self, choice: &Choice) -> Result<M, M::Error> {
        let options = self.options;
        // An empty list of providers means the CPU, which needs no trial run in fp32.
        let lists = || choice.providers.values().chain([&choice.listed]);
        let tried = || lists().flatten().any(|provider| provider.is_tried());
        if options.gpu.self_check && (options.may_compute_in_bf16_on_cpu() || tried()) {
            self.open_with_trials(choice)
        } else {
            (self.open)(&Requests::new(options, choice, &Refusals::default(), self.progress))
        }
    }

    /// Opens the model and tries its sessions. After each failed trial run, the model is opened again without the provider or the
    /// precision that failed.
    fn open_with_trials(&self, choice: &Choice) -> Result<M, M::Error> {
        let mut refusals = Refusals::default();
        'open: loop {
            let mut model = (self.open)(&Requests::new(self.options, choice, &refusals, self.progress))?;
            let groups = model.groups().into_iter().map(Group::new).collect::<Vec<_>>();
            for (index, group) in groups.iter().enumerate().filter(|(_, group)| group.is_untried()) {
                if let Err(failure) = self.try_group(&mut model, index, group) {
                    group.refuse(&failure, &mut refusals, self.progress);
                    continue 'open;
                }
                group.accept();
            }
            return Ok(model);
        }
    }

    /// Tries the graphs of a group. If they compute in half precision, compares them with fp32.
    fn try_group(&self, model: &mut M, index: usize, group: &Group) -> Result<(), TrialFailure<M::Error>> {
        let found = model.run_group(index).map_err(TrialFailure::Run)?;
        model.run_largest(index).map_err(TrialFailure::Run)?;
        if !group.0.iter().any(UsedGraph::is_half) {
            return Ok(());
        }
        // If the GPU has no memory for both models, the CPU runs fp32.
        let expected = self.reference(&[Provider::Cuda, Provider::Cpu], index);
        let expected = expected.or_else(|_| self.reference(&[Provider::Cpu], index));
        let inexact = |reason, compared| Err(TrialFailure::Inexact { reason, compared });
        match expected.map(|expected| M::difference(&found, &expected)) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => inexact(format!("self-check against fp32: {why}"), true),
            Err(e) => inexact(format!("fp32 to compare it with fails: {e}"), false),
        }
    }

    /// Returns the results of a group in fp32.
    fn reference(&self, providers: &[Provider], index: usize) -> Result<M::Outputs, M::Error> {
        let options = self.options;
        let fp32 = SessionOptions {
            precision: self.has_variants.then_some(Precision::Fp32),
            cpu_bf16: false,
            gpu: GpuOptions { fp16: false, cuda_graphs: false, engine_cache: None, ..options.gpu.clone() },
            ..options.clone()
        };
        let choice = Choice::listed(providers);
        let mut model = (self.open)(&Requests::new(&fp32, &choice, &Refusals::default(), self.progress))?;
        model.run_group(index).map_err(|failure| failure.error)
    }
}

/// A graph of a group, with the provider and the precision that run it.
struct UsedGraph {
    name: &'static str,
    provider: Provider,
    precision: Option<Precision>,
    engines: Option<EngineRecord>,
}

impl UsedGraph {
    fn new(graph: &OpenGraph<'_>) -> Self {
        let OpenGraph { name, report, engines } = graph;
        UsedGraph { name, provider: report.used, precision: report.precision, engines: engines.cloned() }
    }

    fn is_half(&self) -> bool {
        self.precision.is_some_and(Precision::is_half)
    }

    /// Returns whether the session needs a trial run: on another provider than the CPU, and on the CPU in bf16.
    fn needs_trial(&self) -> bool {
        self.provider.is_tried() || self.precision == Some(Precision::Bf16)
    }
}

/// Graphs that are tried together.
struct Group(Vec<UsedGraph>);

impl Group {
    fn new(graphs: Vec<OpenGraph<'_>>) -> Self {
        Group(graphs.iter().map(UsedGraph::new).collect())
    }

    fn engines(&self) -> impl Iterator<Item = &EngineRecord> {
        self.0.iter().filter_map(|graph| graph.engines.as_ref())
    }

    /// Returns whether a trial run is due: unless all sessions run on the CPU in the precision of their graphs, or on engines that
    /// an earlier start tried.
    fn is_untried(&self) -> bool {
        let tried = self.0.iter().filter(|graph| graph.needs_trial()).count();
        tried > 0 && (self.engines().count() < tried || self.engines().any(|record| !record.checked))
    }

    /// Marks engines as tried. If the mark cannot be written, the next start tries them again.
    fn accept(&self) {
        for record in self.engines().filter(|record| !record.checked) {
            if let Err(e) = engine_cache::accept(&record.folder) {
                tracing::debug!("{e}");
            }
        }
    }

    /// Adds the provider or the precision that failed to `refusals`, which the next attempt skips.
    fn refuse<E: std::fmt::Display>(
        &self,
        failure: &TrialFailure<E>,
        refusals: &mut Refusals,
        progress: &dyn Fn(&str),
    ) {
        match failure {
            TrialFailure::Run(RunFailure { graph: failed, error }) => {
                let reason = format!("it opens and then fails: {error}");
                // Without the graph, the providers that need no trial are not at fault.
                let at_fault = |graph: &&UsedGraph| failed.map_or(graph.needs_trial(), |failed| failed == graph.name);
                for graph in self.0.iter().filter(at_fault) {
                    let provider = graph.provider;
                    progress(&format!("not on {provider}: {reason}"));
                    // The CPU runs the graph in fp32.
                    let precision = graph.precision.filter(|_| !provider.is_tried() && graph.needs_trial());
                    let refusal = ProviderRefusal { provider, precision, reason: reason.clone() };
                    refusals.get_mut(graph.name).push(refusal);
                }
            }
            TrialFailure::Inexact { reason, compared } => {
                // If fp32 could not run for the comparison, it may run at the next start, so nothing is written down.
                for record in self.engines().filter(|record| record.half && *compared) {
                    if let Err(e) = engine_cache::refuse(&record.folder, reason) {
                        tracing::warn!("{e}");
                    }
                }
                for graph in self.0.iter().filter(|graph| graph.is_half()) {
                    let refusal = ProviderRefusal {
                        provider: graph.provider,
                        precision: graph.precision,
                        reason: reason.clone(),
                    };
                    progress(&format!("not on {refusal}"));
                    refusals.get_mut(graph.name).push(refusal);
                }
            }
        }
    }
}
