//! Opening a model: from a path to a [`Model`] whose sessions passed their trial runs.
//!
//! * `files`: the files that a path stands for; `assemble`: their sessions; `trial`: what trial runs compare and time.
//! * `probe`: trial runs of graphs of other exporters.
//! * For models of any kind: [`trials`] opens a model with trial runs on other providers than the CPU; `fastest` chooses the
//!   provider of each graph; [`tried`] is what both ask of a model.

mod assemble;
mod fastest;
mod files;
mod probe;
mod trial;
pub mod trials;
pub mod tried;

use std::path::Path;

use files::ModelFiles;
use trials::Opening;

use super::bundle::{Bundle, DECODER, DESCRIPTION, ENCODER};
use super::error::Error;
use super::loaded::Model;
use super::runtime::SessionOptions;
use super::runtime::graph_file::GraphRole;

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
        let int8_on_cpu = GraphRole::ALL.into_iter().filter(|graph| files.is_int8_on_cpu(*graph, options.precision));
        Opening {
            options,
            has_variants: files.has_variants(),
            int8_on_cpu: int8_on_cpu.map(GraphRole::name).collect(),
            hash: &|| files.hash(),
            open: &|requests| assemble::open(&files, requests),
            progress,
        }
        .run()
        .map(|opened| opened.model)
    }
}
