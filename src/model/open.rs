//! From a path to a loaded model.

use std::path::{Path, PathBuf};

use super::bundle::{Bundle, DECODER, DESCRIPTION, ENCODER, MAX_IMAGE_SIZE, PROMPT_ENCODER};
use super::engines;
use super::engines::Kept;
use super::execution::ShapeProfile;
use super::layout::{
    DecoderLayout, EncoderLayout, MemoryGraph, PromptInput, Signature, TensorSpec, check_pair, recognise_decoder,
    recognise_encoder,
};
use super::memory::Memory;
use super::probe::probe;
use super::profile;
use super::provider::ProviderReport;
use super::session::{self, Graph, Graphs, Part, Request};
use super::trial::{self, Problem};
use super::{Error, GpuOptions, ImageEncoder, MaskDecoder, ModelInfo, Precision, Provider, Refused, SessionOptions};
use crate::model::prompt_encoder::PromptEncoder;

/// `models/tiny`, so that everything works without a download.
const TINY: &[(&str, &[u8])] = &[
    (DESCRIPTION, include_bytes!("../../models/tiny/bundle.json")),
    (ENCODER, include_bytes!("../../models/tiny/image_encoder.onnx")),
    (DECODER, include_bytes!("../../models/tiny/mask_decoder.onnx")),
];

/// A loaded model: what it is, and its two halves, to be taken apart where they live on two threads.
pub struct Model {
    pub info: ModelInfo,
    pub encoder: ImageEncoder,
    pub decoder: MaskDecoder,
}

impl Model {
    /// What runs each of its sessions, and what people call it.
    pub fn reports(&self) -> Vec<(&'static str, &ProviderReport)> {
        let memory = self.decoder.memory_providers().into_iter().flatten();
        let image = [("encoder", self.encoder.providers()), ("decoder", self.decoder.providers())];
        image.into_iter().chain(MemoryGraph::ALL.map(MemoryGraph::name).into_iter().zip(memory)).collect()
    }
}

impl Model {
    /// Opens a model.
    ///
    /// `path` is a bundle's folder, a folder with two ONNX files of a known layout, or the image encoder's ONNX file
    /// with the mask decoder's in `decoder`.
    ///
    /// # Errors
    /// Everything in [`Error`] that is about files, graphs, providers and the runtime.
    pub fn open(path: &Path, decoder: Option<&Path>, options: &SessionOptions) -> Result<Model, Error> {
        Self::open_saying(Some(path), decoder, options, &|step| tracing::info!("{step}"))
    }

    /// The model that is part of the executable: small, quick, trained on drawn scenes (`models/tiny`).
    pub fn tiny(options: &SessionOptions) -> Result<Model, Error> {
        Self::open_saying(None, None, options, &|step| tracing::info!("{step}"))
    }

    /// [`Self::open`], or [`Self::tiny`] without a path; `say` is told what takes minutes.
    pub fn open_saying(
        path: Option<&Path>,
        decoder: Option<&Path>,
        options: &SessionOptions,
        say: &dyn Fn(&str),
    ) -> Result<Model, Error> {
        let files = match path {
            Some(path) => Files::find(path, decoder)?,
            None => Files::Bundle(Box::new(Bundle::embedded(TINY)?)),
        };
        let gpu = options.gpu.self_check && options.providers.iter().any(|p| p.on_gpu());
        // An empty list is the CPU.
        if !gpu {
            return Ok(files.open(options, &Skip::default(), say)?.model);
        }
        let fp32 = SessionOptions {
            precision: files.has_variants().then_some(Precision::Fp32),
            gpu: GpuOptions { fp16: false, cuda_graphs: false, engine_cache: None, ..options.gpu.clone() },
            ..options.clone()
        };
        let reference = |providers: &[Provider]| {
            let fp32 = SessionOptions { providers: providers.to_vec(), ..fp32.clone() };
            Ok(files.open(&fp32, &Skip::default(), say)?.model)
        };
        // Each round ends with a model that runs, or leaves out one provider or one precision of it more.
        let mut skip = Skip::default();
        loop {
            let Opened { mut model, engines, memory_engines } = files.open(options, &skip, say)?;
            let used = Used::of([model.encoder.providers(), model.decoder.providers()]);
            if let Some(provider) = used.untried(&engines) {
                if let Err(problem) = trial::run(&mut model, reference) {
                    used.refuse(problem, provider, &engines, &mut skip.model, say);
                    continue;
                }
                passed(&engines);
                model.decoder.settle();
            }
            // What does not work of the memory runs elsewhere, and pictures are segmented where they were.
            let used = Used::of(model.decoder.memory_providers().into_iter().flatten());
            if let Some(provider) = used.untried(&memory_engines) {
                if let Err(problem) = trial::run_memory(&mut model, reference) {
                    used.refuse(problem, provider, &memory_engines, &mut skip.memory, say);
                    continue;
                }
                passed(&memory_engines);
            }
            return Ok(model);
        }
    }
}

/// What earlier rounds were refused for.
#[derive(Default)]
struct Skip {
    model: Vec<Refused>,
    memory: Vec<Refused>,
}

struct Opened {
    model: Model,
    /// Of what of encoder and decoder runs on TensorRT.
    engines: Vec<Kept>,
    memory_engines: Vec<Kept>,
}

/// Nobody has to try these engines again. Where that cannot be written down, the next start does.
fn passed(engines: &[Kept]) {
    for kept in engines.iter().filter(|kept| !kept.checked) {
        if let Err(e) = engines::pass(&kept.folder) {
            tracing::debug!("{e}");
        }
    }
}

/// What runs some of a model's sessions.
struct Used(Vec<(Provider, Option<Precision>)>);

impl Used {
    fn of<'a>(reports: impl IntoIterator<Item = &'a ProviderReport>) -> Self {
        Used(reports.into_iter().map(|report| (report.used, report.precision)).collect())
    }

    /// The provider that is to be tried. Of engines on disk it is known where that was done.
    fn untried(&self, engines: &[Kept]) -> Option<Provider> {
        let tried = self.0.iter().all(|(p, _)| *p == Provider::Tensorrt)
            && engines.iter().all(|kept| kept.checked)
            && engines.len() == self.0.len();
        self.0.iter().map(|(provider, _)| *provider).find(|provider| provider.on_gpu() && !tried)
    }

    /// Adds to `skip` what the next round is to do without.
    fn refuse(
        &self,
        problem: Problem,
        provider: Provider,
        engines: &[Kept],
        skip: &mut Vec<Refused>,
        say: &dyn Fn(&str),
    ) {
        match problem {
            Problem::Fails(e) => {
                let reason = format!("it opens and then fails: {e}");
                say(&format!("not on {provider}: {reason}"));
                skip.push(Refused { provider, precision: None, reason });
            }
            Problem::Inexact { reason, compared } => {
                say(&format!("not on {provider} in fp16: {reason}"));
                // What is wrong with fp32, to compare with, may be well at the next start.
                for kept in engines.iter().filter(|kept| kept.half && compared) {
                    if let Err(e) = engines::refuse(&kept.folder, &reason) {
                        tracing::warn!("{e}");
                    }
                }
                for &(provider, precision) in self.0.iter().filter(|(_, p)| *p == Some(Precision::Fp16)) {
                    let refused = Refused { provider, precision, reason: reason.clone() };
                    if !skip.contains(&refused) {
                        skip.push(refused);
                    }
                }
            }
        }
    }
}

impl Files {
    fn has_variants(&self) -> bool {
        matches!(self, Files::Bundle(_))
    }

    fn open(&self, options: &SessionOptions, skip: &Skip, say: &dyn Fn(&str)) -> Result<Opened, Error> {
        match self {
            Files::Bundle(bundle) => Model::of_bundle(bundle, options, skip, say),
            Files::Pair { encoder, decoder } => Model::of_pair(encoder, decoder, options, skip, say),
        }
    }
}

impl Model {
    fn of_bundle(bundle: &Bundle, options: &SessionOptions, skip: &Skip, say: &dyn Fn(&str)) -> Result<Opened, Error> {
        let variants = &bundle.manifest.variants;
        if let Some(asked) = options.precision.filter(|p| variants.iter().all(|v| v.precision != *p)) {
            let have = variants.iter().map(|v| v.precision.to_string()).collect::<Vec<_>>().join(", ");
            return Err(Error::NoVariant { file: bundle.label(DESCRIPTION), asked, have });
        }
        let prompt_encoder = match bundle.manifest.external() {
            true => {
                let content = bundle.read(PROMPT_ENCODER)?;
                let label = bundle.label(PROMPT_ENCODER);
                Some(PromptEncoder::load(
                    &content,
                    &label,
                    bundle.manifest.image_size,
                    &bundle.manifest.embedding_shape,
                )?)
            }
            false => None,
        };
        let (encoder, decoder) = (Graphs::Bundled(bundle, Part::Encoder), Graphs::Bundled(bundle, Part::Decoder));
        // Looked at first: of damaged or foreign files nothing large is opened.
        let checked = if options.memory { Memory::check(bundle, options.precision)? } else { None };
        let request = Request { options, profile: &ShapeProfile::default(), skip: &skip.model, say };
        let mut opened = Self::assemble(encoder, decoder, prompt_encoder, &request, &Description::Bundle(bundle))?;
        if let Some(checked) = checked {
            let (memory, engines) = Memory::open(bundle, checked, &Request { skip: &skip.memory, ..request })?;
            opened.model.decoder.set_memory(memory);
            opened.model.info.memory.clone_from(&opened.model.decoder.info().memory);
            opened.memory_engines = engines;
        }
        Ok(opened)
    }

    fn of_pair(
        encoder: &Path,
        decoder: &Path,
        options: &SessionOptions,
        skip: &Skip,
        say: &dyn Fn(&str),
    ) -> Result<Opened, Error> {
        let bytes = session::bytes(encoder)? + session::bytes(decoder)?;
        let name = encoder.file_stem().map_or_else(|| "model".to_owned(), |s| s.to_string_lossy().into_owned());
        let description = Description::Graphs { name, bytes };
        let request = Request { options, profile: &ShapeProfile::default(), skip: &skip.model, say };
        Self::assemble(Graphs::File(encoder), Graphs::File(decoder), None, &request, &description)
    }

    fn assemble(
        encoder_graphs: Graphs<'_>,
        decoder_graphs: Graphs<'_>,
        prompt_encoder: Option<PromptEncoder>,
        request: &Request<'_>,
        description: &Description<'_>,
    ) -> Result<Opened, Error> {
        let options = request.options;
        // The decoder is small: its layout first, so that a wrong pair is refused before the encoder is loaded, and so
        // that TensorRT's shape profile can be written.
        let signature = session::signature(decoder_graphs.plain(options.precision))?;
        let layout = recognise_decoder(&signature)?;
        if let (Description::Graphs { .. }, Some(asked)) = (description, options.precision) {
            check_precision(&signature, asked)?;
        }
        if layout.prompts() == PromptInput::External && prompt_encoder.is_none() {
            return Err(Error::NoModel {
                path: PathBuf::from(&signature.file),
                found: "a decoder that takes prompt embeddings, whose prompt encoder is only in a bundle".to_owned(),
            });
        }
        let encoder = session::open(encoder_graphs, request)?;
        let encoder_layout = recognise_encoder(&encoder.signature)?;
        let describe = |decoder: Signature, layout: &DecoderLayout| {
            check_pair(&encoder.signature, &decoder, &layout.embeddings)?;
            let (e, d) = ((encoder.signature.clone(), &encoder_layout), (decoder, layout));
            match description {
                Description::Bundle(bundle) => ModelInfo::of_bundle(bundle, e, d),
                Description::Graphs { name, bytes } => ModelInfo::of_pair(name.clone(), *bytes, e, d),
            }
        };
        let profile = profile::profile(&layout, &describe(signature, &layout)?, options);
        let mut decoder = session::open(decoder_graphs, &Request { profile: &profile, ..*request })?;
        let beyond = match decoder.report.used {
            Provider::Tensorrt => Some(beyond(decoder_graphs, request, &mut decoder.report.notes)),
            _ => None,
        };
        let engines = [encoder.engines, decoder.engines].into_iter().flatten().collect();
        // Perhaps of another variant than the one that was looked at.
        let decoder_layout = recognise_decoder(&decoder.signature)?;
        let info = describe(decoder.signature, &decoder_layout)?;
        if info.image_size > MAX_IMAGE_SIZE {
            let (found, expected) = (format!("{0} x {0} pixels", info.image_size), format!("at most {MAX_IMAGE_SIZE}"));
            return Err(Error::Tensor { file: info.encoder.file, tensor: encoder_layout.image.name, found, expected });
        }
        let (file, spec) = (info.encoder.file.clone(), info.input_spec());
        let mut decoder =
            MaskDecoder::new(decoder.session, decoder_layout, decoder.report, info, prompt_encoder, options)?;
        if let Some(other) = beyond {
            decoder.limit(profile::tokens(options), other, options)?;
        }
        let described = matches!(description, Description::Bundle(_));
        if decoder.layout().fused.is_some() {
            probe(&mut decoder, &encoder_layout, described)?;
            decoder.settle();
        }
        let info = decoder.info().clone();
        for note in &info.notes {
            tracing::warn!(model = info.name, "{note}");
        }
        let encoder = ImageEncoder::new(encoder.session, encoder_layout, encoder.report, spec, file, &options.gpu);
        Ok(Opened { model: Model { info, encoder, decoder }, engines, memory_engines: Vec::new() })
    }
}

/// The decoder on the next provider after TensorRT, for the objects that TensorRT's engine was not built for. In fp32,
/// which needs no comparison. None where it cannot be had.
fn beyond(graphs: Graphs<'_>, request: &Request<'_>, notes: &mut Vec<String>) -> Option<session::Opened> {
    let after = request.options.providers.iter().skip_while(|provider| **provider != Provider::Tensorrt).skip(1);
    let providers = after.copied().collect::<Vec<_>>();
    if providers.is_empty() {
        return None;
    }
    let precision = matches!(graphs, Graphs::Bundled(..)).then_some(Precision::Fp32);
    let options = SessionOptions { providers, precision, ..request.options.clone() };
    match session::open(graphs, &Request { options: &options, ..*request }) {
        Ok(opened) => Some(opened),
        Err(e) => {
            notes.push(format!("objects with more than max_tokens prompt tokens are refused: {e}"));
            None
        }
    }
}

/// Files without a bundle.json run as they are.
fn check_precision(decoder: &Signature, asked: Precision) -> Result<(), Error> {
    let half = decoder.inputs.iter().any(TensorSpec::is_half);
    let precision = if half { Precision::Fp16 } else { Precision::Fp32 };
    if asked == precision {
        return Ok(());
    }
    let have = format!("{precision} alone: there is no bundle.json that names variants, and its files run as they are");
    Err(Error::NoVariant { file: decoder.file.clone(), asked, have })
}

/// Where the figures that are not in the graphs come from.
enum Description<'a> {
    Bundle(&'a Bundle),
    Graphs { name: String, bytes: u64 },
}

/// The files that a path stands for.
enum Files {
    Bundle(Box<Bundle>),
    Pair { encoder: PathBuf, decoder: PathBuf },
}

impl Files {
    fn find(path: &Path, decoder: Option<&Path>) -> Result<Files, Error> {
        let no_model = |found: String| Error::NoModel { path: path.to_owned(), found };
        if let Some(decoder) = decoder {
            return Ok(Files::Pair { encoder: path.to_owned(), decoder: decoder.to_owned() });
        }
        if let Some(folder) = Bundle::folder_of(path) {
            return Ok(Files::Bundle(Box::new(Bundle::open(&folder)?)));
        }
        // A single file: its partner is looked for beside it.
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        if !path.exists() {
            return Err(no_model("there is no such file or folder".to_owned()));
        }
        if path.is_file() && path.extension().is_none_or(|e| e != "onnx") {
            return Err(no_model("not an ONNX file".to_owned()));
        }
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let graphs = onnx_files(folder)?;
        let [first, second] = graphs.as_slice() else {
            let names = graphs.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
            let list = if names.is_empty() { "no ONNX file".to_owned() } else { names };
            return Err(no_model(format!("{list}; name the image encoder and the mask decoder")));
        };
        let (a, b) = (session::signature(Graph::File(first))?, session::signature(Graph::File(second))?);
        match (EncoderLayout::recognise(&a), EncoderLayout::recognise(&b)) {
            (Ok(_), Err(_)) => Ok(Files::Pair { encoder: first.clone(), decoder: second.clone() }),
            (Err(_), Ok(_)) => Ok(Files::Pair { encoder: second.clone(), decoder: first.clone() }),
            (Err(first), Err(second)) => Err(no_encoder(&a, first, second)),
            (Ok(_), Ok(_)) => Err(no_model("two image encoders and no mask decoder".to_owned())),
        }
    }
}

/// Why neither of two graphs is an image encoder: the one with a single input is looked at as one, both else.
fn no_encoder(a: &Signature, first: Error, second: Error) -> Error {
    let is_decoder = |graph: &Signature| DecoderLayout::recognise(graph).is_ok();
    if a.inputs.len() == 1 && !is_decoder(a) { first } else { second }
}

fn onnx_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = |source| Error::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        // macOS writes `._a.onnx` beside `a.onnx`.
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|e| e == "onnx") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
