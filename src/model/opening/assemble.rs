//! From files to an open model: layouts, sessions, description.

use std::path::{Path, PathBuf};

use super::files::ModelFiles;
use super::probe::probe;
use crate::model::bundle::{Bundle, DESCRIPTION, MAX_IMAGE_SIZE, PROMPT_ENCODER};
use crate::model::decoder::MaskDecoder;
use crate::model::encoder::ImageEncoder;
use crate::model::error::Error;
use crate::model::info::ModelInfo;
use crate::model::layout::{
    DecoderLayout, PictureForm, PromptInput, Signature, TensorSpec, check_pair, recognise_decoder, recognise_encoder,
};
use crate::model::loaded::Model;
use crate::model::memory::MemorySessions;
use crate::model::precision::Precision;
use crate::model::prompt_encoder::PromptEncoder;
use crate::model::provider::Provider;
use crate::model::runtime::SessionOptions;
use crate::model::runtime::engine_cache::EngineRecord;
use crate::model::runtime::graph_file::{GraphRole, GraphVariants, bytes_with_weights};
use crate::model::runtime::profile;
use crate::model::runtime::requests::Requests;
use crate::model::runtime::session::{self, OpenedSession, SessionRequest};
use crate::model::runtime::shape_profile::ShapeProfile;
use crate::pixels::Resize;

/// A model with open sessions, before its trial runs.
pub struct OpenedModel {
    pub model: Model,
    /// Engine caches of encoder, decoder, memory attention and memory encoder, as far as they run on TensorRT or OpenVINO.
    pub engines: [Option<EngineRecord>; 4],
}

/// Source of the figures that the graphs do not contain.
enum Description<'a> {
    Bundle(&'a Bundle),
    Graphs { name: String, bytes: u64 },
}

/// Opens the sessions of a model on the providers that are requested.
///
/// # Errors
/// [`Error::NoVariant`] if the model lacks the requested precision, and the errors of files, graphs, providers and runtime.
pub fn open(files: &ModelFiles, requests: &Requests<'_>) -> Result<OpenedModel, Error> {
    match files {
        ModelFiles::Bundle(bundle) => open_bundle(bundle, requests),
        ModelFiles::Pair { encoder, decoder } => open_pair(encoder, decoder, requests),
    }
}

fn open_bundle(bundle: &Bundle, requests: &Requests<'_>) -> Result<OpenedModel, Error> {
    let (options, manifest) = (requests.options, &bundle.manifest);
    let missing = |precision: &Precision| manifest.variants.iter().all(|v| v.precision != *precision);
    if let Some(asked) = options.precision.filter(missing) {
        let have = manifest.variants.iter().map(|v| v.precision.to_string()).collect::<Vec<_>>().join(", ");
        return Err(Error::NoVariant { file: bundle.label(DESCRIPTION), asked, have });
    }
    let prompt_encoder = match manifest.external() {
        true => {
            let (content, label) = (bundle.read(PROMPT_ENCODER)?, bundle.label(PROMPT_ENCODER));
            Some(PromptEncoder::load(&content, &label, manifest.prompt_side(), &manifest.embedding_shape)?)
        }
        false => None,
    };
    let encoder = GraphVariants::Bundled(bundle, GraphRole::ImageEncoder);
    let decoder = GraphVariants::Bundled(bundle, GraphRole::MaskDecoder);
    // The files of the memory are checked before a session is opened, so that damaged files are refused at once.
    let memory_files = if options.memory { MemorySessions::check(bundle, options.precision)? } else { None };
    let mut opened = assemble(encoder, decoder, prompt_encoder, requests, &Description::Bundle(bundle))?;
    if let Some(files) = memory_files {
        let profile = ShapeProfile::default();
        let graphs = [GraphRole::MemoryAttention, GraphRole::MemoryEncoder];
        let graphs = graphs.map(|graph| requests.of(graph.name(), &profile));
        let (memory, [attention, encoder]) = MemorySessions::open(bundle, files, graphs.each_ref())?;
        opened.model.decoder.set_memory(memory);
        opened.model.info.memory.clone_from(&opened.model.decoder.info().memory);
        (opened.engines[2], opened.engines[3]) = (attention, encoder);
    }
    Ok(opened)
}

fn open_pair(encoder: &Path, decoder: &Path, requests: &Requests<'_>) -> Result<OpenedModel, Error> {
    let bytes = bytes_with_weights(encoder)? + bytes_with_weights(decoder)?;
    let name = encoder.file_stem().map_or_else(|| "model".to_owned(), |s| s.to_string_lossy().into_owned());
    let (encoder, decoder) = (GraphVariants::Path(encoder), GraphVariants::Path(decoder));
    assemble(encoder, decoder, None, requests, &Description::Graphs { name, bytes })
}

/// Opens encoder and decoder.
///
/// The decoder's layout is recognised first: the decoder is small, so that a wrong pair is refused before the encoder is
/// loaded, and TensorRT's shape profile follows from the layout.
fn assemble(
    encoder_graphs: GraphVariants<'_>,
    decoder_graphs: GraphVariants<'_>,
    prompt_encoder: Option<PromptEncoder>,
    requests: &Requests<'_>,
    description: &Description<'_>,
) -> Result<OpenedModel, Error> {
    let options = requests.options;
    let signature = session::signature(decoder_graphs.plain(options.precision))?;
    let layout = recognise_decoder(&signature)?;
    if let (Description::Graphs { .. }, Some(precision)) = (description, options.precision) {
        check_precision(&signature, precision)?;
    }
    if layout.prompts() == PromptInput::External && prompt_encoder.is_none() {
        return Err(Error::NoModel {
            path: PathBuf::from(&signature.file),
            found: "a decoder that takes prompt embeddings, whose prompt encoder is only in a bundle".to_owned(),
        });
    }
    let encoder =
        session::open(encoder_graphs, &requests.of(GraphRole::ImageEncoder.name(), &ShapeProfile::default()))?;
    let encoder_layout = recognise_encoder(&encoder.signature)?;
    let describe = |decoder: Signature, layout: &DecoderLayout| {
        check_pair(&encoder.signature, &decoder, &layout.embeddings)?;
        let (e, d) = ((encoder.signature.clone(), &encoder_layout), (decoder, layout));
        match description {
            Description::Bundle(bundle) => ModelInfo::from_bundle(bundle, e, d),
            Description::Graphs { name, bytes } => ModelInfo::from_graphs(name.clone(), *bytes, e, d),
        }
    };
    let profile = profile::decoder_profile(&layout, &describe(signature, &layout)?, options);
    let outputs = if layout.ours() { Vec::new() } else { layout.outputs() };
    let decoder_request = SessionRequest { outputs: &outputs, ..requests.of(GraphRole::MaskDecoder.name(), &profile) };
    let mut decoder = session::open(decoder_graphs, &decoder_request)?;
    let fallback = match decoder.report.used {
        Provider::Tensorrt => Some(open_fallback(decoder_graphs, &decoder_request, &mut decoder.report.notes)),
        Provider::Cuda | Provider::OpenVino | Provider::Cpu => None,
    };
    let engines = [encoder.engines, decoder.engines, None, None];
    // The session may run another variant than the one whose layout was recognised.
    let decoder_layout = recognise_decoder(&decoder.signature)?;
    let info = describe(decoder.signature, &decoder_layout)?;
    if info.image_size > MAX_IMAGE_SIZE {
        let (found, expected) = (format!("{0} x {0} pixels", info.image_size), format!("at most {MAX_IMAGE_SIZE}"));
        return Err(Error::Tensor { file: info.encoder.file, tensor: encoder_layout.image.name, found, expected });
    }
    if encoder_layout.form == PictureForm::Bytes && info.resize == Resize::Stretch {
        let (found, expected) = (encoder_layout.image.to_string(), "f32: stretched pictures are not whole levels");
        let (file, tensor) = (info.encoder.file, encoder_layout.image.name);
        return Err(Error::Tensor { file, tensor, found, expected: expected.to_owned() });
    }
    let (file, spec, prompt_side) = (info.encoder.file.clone(), info.input_spec(), info.prompt_side as u32);
    let mut decoder = MaskDecoder::new(decoder.session, decoder_layout, decoder.report, info, prompt_encoder, options)?;
    if let Some(fallback) = fallback {
        decoder.limit_tokens(profile::token_range(decoder.layout(), options), fallback, options)?;
    }
    if decoder.layout().fused.is_some() {
        probe(&mut decoder, &encoder_layout, matches!(description, Description::Bundle(_)))?;
        decoder.end_trial();
    }
    let info = decoder.info().clone();
    for note in &info.notes {
        tracing::warn!(model = info.name, "{note}");
    }
    let mut encoder = ImageEncoder::new(encoder.session, encoder_layout, encoder.report, spec, file, &options.gpu);
    encoder.set_prompt_side(prompt_side);
    Ok(OpenedModel { model: Model { info, encoder, decoder }, engines })
}

/// Opens the decoder on the next provider after TensorRT, for objects that TensorRT's engine was not built for. The session runs
/// in fp32, which needs no trial run. Returns none if no further provider can run the decoder.
fn open_fallback(
    graphs: GraphVariants<'_>,
    request: &SessionRequest<'_>,
    notes: &mut Vec<String>,
) -> Option<OpenedSession> {
    let after = request.providers.iter().skip_while(|provider| **provider != Provider::Tensorrt).skip(1);
    let providers = after.copied().collect::<Vec<_>>();
    if providers.is_empty() {
        return None;
    }
    let precision = matches!(graphs, GraphVariants::Bundled(..)).then_some(Precision::Fp32);
    let options = SessionOptions { precision, cpu_bf16: false, ..request.options.clone() };
    match session::open(graphs, &SessionRequest { options: &options, providers: &providers, ..*request }) {
        Ok(opened) => Some(opened),
        Err(e) => {
            notes.push(format!("objects with more than tensorrt.max_tokens prompt tokens are refused: {e}"));
            None
        }
    }
}

/// Checks that graphs without a bundle have the requested precision: they run as they are.
fn check_precision(decoder: &Signature, asked: Precision) -> Result<(), Error> {
    let half = decoder.inputs.iter().any(TensorSpec::is_half);
    let precision = if half { Precision::Fp16 } else { Precision::Fp32 };
    if asked == precision {
        return Ok(());
    }
    let have = format!("{precision} alone: there is no bundle.json that names variants, and its files run as they are");
    Err(Error::NoVariant { file: decoder.file.clone(), asked, have })
}
