//! Opening a model: from a path to a [`Model`] whose sessions passed their trial runs.
//!
//! * `files`: the files that a path stands for; `assemble`: their sessions.
//! * `probe`: trial runs of graphs of other exporters; `trial`: trial runs on a GPU.

mod assemble;
mod files;
mod probe;
mod trial;

use std::path::Path;

use assemble::{OpenedModel, Refusals};
use files::ModelFiles;
use trial::TrialFailure;

use super::bundle::{Bundle, DECODER, DESCRIPTION, ENCODER};
use super::error::Error;
use super::loaded::Model;
use super::precision::Precision;
use super::provider::Provider;
use super::runtime::engine_cache::{self, EngineRecord};
use super::runtime::{GpuOptions, ProviderRefusal, ProviderReport, SessionOptions};

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
        // An empty list of providers means the CPU, which needs no trial run.
        if options.gpu.self_check && options.providers.iter().any(|p| p.on_gpu()) {
            open_with_trials(&files, options, progress)
        } else {
            Ok(assemble::open(&files, options, &Refusals::default(), progress)?.model)
        }
    }
}

/// Opens a model and tries its sessions. After each failed trial run, the model is opened again without the provider or the
/// precision that failed.
fn open_with_trials(files: &ModelFiles, options: &SessionOptions, progress: &dyn Fn(&str)) -> Result<Model, Error> {
    let fp32 = SessionOptions {
        precision: files.has_variants().then_some(Precision::Fp32),
        gpu: GpuOptions { fp16: false, cuda_graphs: false, engine_cache: None, ..options.gpu.clone() },
        ..options.clone()
    };
    let reference = |providers: &[Provider]| {
        let fp32 = SessionOptions { providers: providers.to_vec(), ..fp32.clone() };
        Ok(assemble::open(files, &fp32, &Refusals::default(), progress)?.model)
    };
    let mut refusals = Refusals::default();
    loop {
        let OpenedModel { mut model, engines, memory_engines } = assemble::open(files, options, &refusals, progress)?;
        let used = UsedProviders::new([model.encoder.providers(), model.decoder.providers()]);
        if let Some(provider) = used.untried(&engines) {
            if let Err(failure) = trial::run(&mut model, reference) {
                used.refuse(failure, provider, &engines, &mut refusals.model, progress);
                continue;
            }
            accept(&engines);
            model.decoder.end_trial();
        }
        // If a session of the memory fails, it moves to another provider; encoder and decoder stay.
        let used = UsedProviders::new(model.decoder.memory_providers().into_iter().flatten());
        if let Some(provider) = used.untried(&memory_engines) {
            if let Err(failure) = trial::run_memory(&mut model, reference) {
                used.refuse(failure, provider, &memory_engines, &mut refusals.memory, progress);
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

/// Providers and precisions that run a group of a model's sessions.
struct UsedProviders(Vec<(Provider, Option<Precision>)>);

impl UsedProviders {
    fn new<'a>(reports: impl IntoIterator<Item = &'a ProviderReport>) -> Self {
        UsedProviders(reports.into_iter().map(|report| (report.used, report.precision)).collect())
    }

    /// Returns the GPU provider that needs a trial run; none if no session runs on a GPU, or if all run on engines that an
    /// earlier start tried.
    fn untried(&self, engines: &[EngineRecord]) -> Option<Provider> {
        let tried = self.0.iter().all(|(p, _)| *p == Provider::Tensorrt)
            && engines.iter().all(|record| record.checked)
            && engines.len() == self.0.len();
        self.0.iter().map(|(provider, _)| *provider).find(|provider| provider.on_gpu() && !tried)
    }

    /// Adds the provider or the precision that failed to `refusals`, which the next attempt skips.
    fn refuse(
        &self,
        failure: TrialFailure,
        provider: Provider,
        engines: &[EngineRecord],
        refusals: &mut Vec<ProviderRefusal>,
        progress: &dyn Fn(&str),
    ) {
        match failure {
            TrialFailure::Run(e) => {
                let reason = format!("it opens and then fails: {e}");
                progress(&format!("not on {provider}: {reason}"));
                refusals.push(ProviderRefusal { provider, precision: None, reason });
            }
            TrialFailure::Inexact { reason, compared } => {
                progress(&format!("not on {provider} in fp16: {reason}"));
                // If fp32 could not run for the comparison, it may run at the next start, so nothing is written down.
                for record in engines.iter().filter(|record| record.half && compared) {
                    if let Err(e) = engine_cache::refuse(&record.folder, &reason) {
                        tracing::warn!("{e}");
                    }
                }
                for &(provider, precision) in self.0.iter().filter(|(_, p)| *p == Some(Precision::Fp16)) {
                    let refusal = ProviderRefusal { provider, precision, reason: reason.clone() };
                    if !refusals.contains(&refusal) {
                        refusals.push(refusal);
                    }
                }
            }
        }
    }
}
