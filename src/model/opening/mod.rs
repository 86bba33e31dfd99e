//! Opening a model: from a path to a [`Model`] whose sessions passed their trial runs.
//!
//! * `files`: the files that a path stands for; `assemble`: their sessions; `fastest`: the provider of each graph.
//! * `probe`: trial runs of graphs of other exporters; `trial`: trial runs on other providers than the CPU.

mod assemble;
mod fastest;
mod files;
mod probe;
mod trial;

use std::path::Path;

use assemble::{OpenedModel, Refusals};
use fastest::Choice;
use files::ModelFiles;
use trial::TrialFailure;

use super::bundle::{Bundle, DECODER, DESCRIPTION, ENCODER};
use super::error::Error;
use super::loaded::Model;
use super::precision::Precision;
use super::provider::Provider;
use super::runtime::engine_cache::{self, EngineRecord};
use super::runtime::graph_file::GraphRole;
use super::runtime::{GpuOptions, ProviderRefusal, SessionOptions};

/// Files of `models/tiny`, the model that runs without a download.
const TINY: &[(&str, &[u8])] = &[
    (DESCRIPTION, include_bytes!("../../../models/tiny/bundle.json")),
    (ENCODER, include_bytes!("../../../models/tiny/image_encoder.onnx")),
    (DECODER, include_bytes!("../../../models/tiny/mask_decoder.onnx")),
];

impl Model {
    /// Opens a model.
    ///
    /// `path` is a bundle's folder, a folder with two ONNX files of a known layout, or the ONNX file of an image encoder whose
    /// mask decoder is `decoder`.
    ///
    /// # Errors
    /// The errors of files, graphs, execution providers and the runtime in [`Error`].
    pub fn open(path: &Path, decoder: Option<&Path>, options: &SessionOptions) -> Result<Model, Error> {
        Self::open_with_progress(Some(path), decoder, options, &|step| tracing::info!("{step}"))
    }

    /// Opens the model that is part of the executable: small, fast, trained on drawn scenes (`models/tiny`).
    ///
    /// # Errors
    /// The errors of execution providers and the runtime in [`Error`].
    pub fn tiny(options: &SessionOptions) -> Result<Model, Error> {
        Self::open_with_progress(None, None, options, &|step| tracing::info!("{step}"))
    }

    /// Opens a model as [`Self::open`] does, or [`Self::tiny`] without a path. `progress` receives a sentence before each step
    /// that takes minutes.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_progress(
        path: Option<&Path>,
        decoder: Option<&Path>,
        options: &SessionOptions,
        progress: &dyn Fn(&str),
    ) -> Result<Model, Error> {
        let files = match path {
            Some(path) => ModelFiles::find(path, decoder)?,
            None => ModelFiles::Bundle(Box::new(Bundle::embedded(TINY)?)),
        };
        let open = |choice: &Choice| {
            // An empty list of providers means the CPU, which needs no trial run in fp32.
            let tried = || choice.providers.values().into_iter().flatten().any(|p| p.is_tried());
            if options.gpu.self_check && (options.may_compute_in_bf16_on_cpu() || tried()) {
                open_with_trials(&files, options, choice, progress)
            } else {
                Ok(assemble::open(&files, options, choice, &Refusals::default(), progress)?.model)
            }
        };
        let listed = |providers: &[Provider]| open(&Choice::listed(providers));
        let choice = fastest::choose(&files, options, listed, progress)?;
        let mut model = open(&choice)?;
        for (graph, report) in model.reports_mut() {
            report.timings.clone_from(choice.timings.get(graph));
        }
        model.add_notes(choice.notes);
        Ok(model)
    }
}

/// Opens a model and tries its sessions. After each failed trial run, the model is opened again without the provider or the
/// precision that failed.
fn open_with_trials(
    files: &ModelFiles,
    options: &SessionOptions,
    choice: &Choice,
    progress: &dyn Fn(&str),
) -> Result<Model, Error> {
    let fp32 = SessionOptions {
        precision: files.has_variants().then_some(Precision::Fp32),
        cpu_bf16: false,
        gpu: GpuOptions { fp16: false, cuda_graphs: false, engine_cache: None, ..options.gpu.clone() },
        ..options.clone()
    };
    let reference = |providers: &[Provider]| {
        Ok(assemble::open(files, &fp32, &Choice::listed(providers), &Refusals::default(), progress)?.model)
    };
    let mut refusals = Refusals::default();
    loop {
        let OpenedModel { mut model, engines, memory_engines } =
            assemble::open(files, options, choice, &refusals, progress)?;
        let used = UsedProviders::new(&model, &[GraphRole::ImageEncoder, GraphRole::MaskDecoder]);
        if used.are_untried(&engines) {
            if let Err(failure) = trial::run(&mut model, reference) {
                used.refuse(failure, &engines, &mut refusals, progress);
                continue;
            }
            accept(&engines);
            model.decoder.end_trial();
        }
        // If a session of the memory fails, it moves to another provider; encoder and decoder stay.
        let used = UsedProviders::new(&model, &[GraphRole::MemoryAttention, GraphRole::MemoryEncoder]);
        if used.are_untried(&memory_engines) {
            if let Err(failure) = trial::run_memory(&mut model, reference) {
                used.refuse(failure, &memory_engines, &mut refusals, progress);
                continue;
            }
            accept(&memory_engines);
        }
        return Ok(model);
    }
}

/// Marks engines as tried. If the mark cannot be written, the next start tries them again.
fn accept(engines: &[EngineRecord]) {
    for record in engines.iter().filter(|record| !record.checked) {
        if let Err(e) = engine_cache::accept(&record.folder) {
            tracing::debug!("{e}");
        }
    }
}

/// Returns whether a session needs a trial run: on another provider than the CPU, and on the CPU in bf16.
fn is_tried(provider: Provider, precision: Option<Precision>) -> bool {
    provider.is_tried() || precision == Some(Precision::Bf16)
}

/// Providers and precisions that run a group of a model's sessions.
struct UsedProviders(Vec<(GraphRole, Provider, Option<Precision>)>);

impl UsedProviders {
    fn new(model: &Model, graphs: &[GraphRole]) -> Self {
        let group = model.reports_by_graph().filter(|(graph, _)| graphs.contains(graph));
        UsedProviders(group.map(|(graph, report)| (graph, report.used, report.precision)).collect())
    }

    /// Returns whether a trial run is due: unless all sessions run on the CPU in the precision of their graphs, or on engines that
    /// an earlier start tried.
    fn are_untried(&self, engines: &[EngineRecord]) -> bool {
        let tried = self.0.iter().filter(|(_, provider, precision)| is_tried(*provider, *precision)).count();
        tried > 0 && (engines.len() < tried || engines.iter().any(|record| !record.checked))
    }

    /// Adds the provider or the precision that failed to `refusals`, which the next attempt skips.
    fn refuse(
        &self,
        failure: TrialFailure,
        engines: &[EngineRecord],
        refusals: &mut Refusals,
        progress: &dyn Fn(&str),
    ) {
        match failure {
            TrialFailure::Run { graph: failed, error } => {
                let reason = format!("it opens and then fails: {error}");
                for (graph, provider, precision) in &self.0 {
                    // Without the graph, the providers that need no trial are not at fault.
                    if failed.map_or(is_tried(*provider, *precision), |failed| failed == *graph) {
                        progress(&format!("not on {provider}: {reason}"));
                        // The CPU runs the graph in fp32.
                        let precision = precision.filter(|_| !provider.is_tried() && is_tried(*provider, *precision));
                        let refusal = ProviderRefusal { provider: *provider, precision, reason: reason.clone() };
                        refusals.get_mut(*graph).push(refusal);
                    }
                }
            }
            TrialFailure::Inexact { reason, compared } => {
                // If fp32 could not run for the comparison, it may run at the next start, so nothing is written down.
                for record in engines.iter().filter(|record| record.half && compared) {
                    if let Err(e) = engine_cache::refuse(&record.folder, &reason) {
                        tracing::warn!("{e}");
                    }
                }
                let half = self.0.iter().filter(|(_, _, precision)| precision.is_some_and(Precision::is_half));
                for &(graph, provider, precision) in half {
                    let refusal = ProviderRefusal { provider, precision, reason: reason.clone() };
                    progress(&format!("not on {refusal}"));
                    refusals.get_mut(graph).push(refusal);
                }
            }
        }
    }
}
