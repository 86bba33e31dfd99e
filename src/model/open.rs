//! From a path to a loaded model.

use std::path::{Path, PathBuf};

use super::bundle::{Bundle, DECODER, DESCRIPTION, ENCODER, PROMPT_ENCODER};
use super::layout::{DecoderLayout, EncoderLayout, PromptInput, check_pair};
use super::session::{self, Graph, ShapeProfile};
use super::{Error, ImageEncoder, MaskDecoder, ModelInfo, SessionOptions};
use crate::prompt_encoder::PromptEncoder;

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
    /// Opens a model.
    ///
    /// `path` is a bundle's folder, a folder with two ONNX files of a known layout, or the image encoder's ONNX file
    /// with the mask decoder's in `decoder`.
    ///
    /// # Errors
    /// Everything in [`Error`] that is about files, graphs, providers and the runtime.
    pub fn open(path: &Path, decoder: Option<&Path>, options: &SessionOptions) -> Result<Model, Error> {
        match Files::find(path, decoder)? {
            Files::Bundle(bundle) => Self::of_bundle(&bundle, options),
            Files::Pair { encoder, decoder } => Self::of_pair(&encoder, &decoder, options),
        }
    }

    /// The model that is part of the executable: small, quick, trained on drawn scenes (`models/tiny`).
    pub fn tiny(options: &SessionOptions) -> Result<Model, Error> {
        Self::of_bundle(&Bundle::embedded(TINY)?, options)
    }

    fn of_bundle(bundle: &Bundle, options: &SessionOptions) -> Result<Model, Error> {
        let encoder = GraphFile::of_bundle(bundle, ENCODER)?;
        let decoder = GraphFile::of_bundle(bundle, DECODER)?;
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
        let description = Description::Bundle(bundle);
        Self::assemble(encoder.graph(), decoder.graph(), prompt_encoder, options, description)
    }

    fn of_pair(encoder: &Path, decoder: &Path, options: &SessionOptions) -> Result<Model, Error> {
        let bytes = file_size(encoder)? + file_size(decoder)?;
        let name = encoder.file_stem().map_or_else(|| "model".to_owned(), |s| s.to_string_lossy().into_owned());
        let description = Description::Graphs { name, bytes };
        Self::assemble(Graph::File(encoder), Graph::File(decoder), None, options, description)
    }

    fn assemble(
        encoder_graph: Graph<'_>,
        decoder_graph: Graph<'_>,
        prompt_encoder: Option<PromptEncoder>,
        options: &SessionOptions,
        description: Description<'_>,
    ) -> Result<Model, Error> {
        // The decoder is small: its layout first, so that a wrong pair is refused before the encoder is loaded, and so
        // that TensorRT's shape profile can be written.
        let decoder_signature = session::signature(decoder_graph)?;
        let decoder_layout = DecoderLayout::recognise(&decoder_signature)?;
        if decoder_layout.prompts == PromptInput::External && prompt_encoder.is_none() {
            return Err(Error::NoModel {
                path: PathBuf::from(&decoder_signature.file),
                found: "a decoder that takes prompt embeddings, whose prompt encoder is only in a bundle".to_owned(),
            });
        }
        let (encoder_session, encoder_providers) = session::open(encoder_graph, options, &ShapeProfile::default())?;
        let encoder_signature = session::signature_of(&encoder_session, encoder_graph.label());
        let encoder_layout = EncoderLayout::recognise(&encoder_signature)?;
        check_pair(&encoder_signature, &decoder_signature, &decoder_layout)?;
        let (e, d) = ((encoder_signature, &encoder_layout), (decoder_signature, &decoder_layout));
        let info = match description {
            Description::Bundle(bundle) => ModelInfo::of_bundle(bundle, e, d)?,
            Description::Graphs { name, bytes } => ModelInfo::of_pair(name, bytes, e, d)?,
        };

        let profile = profile(&decoder_layout, &info, options);
        let (decoder_session, decoder_providers) = session::open(decoder_graph, options, &profile)?;
        let file = info.encoder.file.clone();
        let spec = info.input_spec();
        Ok(Model {
            encoder: ImageEncoder::new(encoder_session, encoder_layout, encoder_providers, spec, file),
            decoder: MaskDecoder::new(
                decoder_session,
                decoder_layout,
                decoder_providers,
                info.clone(),
                prompt_encoder,
                options.max_objects,
            )?,
            info,
        })
    }
}

/// Where the figures that are not in the graphs come from.
enum Description<'a> {
    Bundle(&'a Bundle),
    Graphs { name: String, bytes: u64 },
}

/// The graph of a bundle: a path where there is one, so that it is not read twice.
enum GraphFile {
    Path(PathBuf),
    Content(String, std::borrow::Cow<'static, [u8]>),
}

impl GraphFile {
    fn of_bundle(bundle: &Bundle, name: &str) -> Result<GraphFile, Error> {
        match bundle.path(name) {
            Some(path) => Ok(GraphFile::Path(path)),
            None => Ok(GraphFile::Content(bundle.label(name), bundle.read(name)?)),
        }
    }

    fn graph(&self) -> Graph<'_> {
        match self {
            GraphFile::Path(path) => Graph::File(path),
            GraphFile::Content(label, content) => Graph::Memory(label, content),
        }
    }
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
        if path.file_name().is_some_and(|name| name == DESCRIPTION) {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return Ok(Files::Bundle(Box::new(Bundle::open(folder)?)));
        }
        if path.join(DESCRIPTION).is_file() {
            return Ok(Files::Bundle(Box::new(Bundle::open(path)?)));
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
            (Err(e), Err(_)) => Err(e),
            (Ok(_), Ok(_)) => Err(no_model("two image encoders and no mask decoder".to_owned())),
        }
    }
}

fn onnx_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = |source| Error::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|e| e == "onnx") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn file_size(path: &Path) -> Result<u64, Error> {
    std::fs::metadata(path).map(|m| m.len()).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// TensorRT builds the decoder's engine for one to `max_objects` objects and one to `max_tokens` tokens.
fn profile(layout: &DecoderLayout, info: &ModelInfo, options: &SessionOptions) -> ShapeProfile {
    let mut profile = ShapeProfile::default();
    let most = if layout.batched { options.max_objects.max(1) } else { 1 };
    let tokens = options.max_tokens.max(3);
    let channels = info.embedding_shape[1];
    let [h, w] = [info.embedding_shape[2], info.embedding_shape[3]];
    match layout.prompts {
        PromptInput::External => {
            let name = "sparse_prompt_embeddings";
            profile.add(name, &[1, 1, channels], &[1, 2, channels], &[most, tokens, channels]);
            let name = "dense_prompt_embeddings";
            profile.add(name, &[1, channels, h, w], &[1, channels, h, w], &[most, channels, h, w]);
        }
        PromptInput::Fused => {
            let side = info.low_res_size;
            profile.add("point_coords", &[1, 1, 2], &[1, 2, 2], &[most, tokens, 2]);
            profile.add("point_labels", &[1, 1], &[1, 2], &[most, tokens]);
            if layout.takes_mask && layout.batched {
                profile.add("mask_input", &[1, 1, side, side], &[1, 1, side, side], &[most, 1, side, side]);
                profile.add("has_mask_input", &[1], &[1], &[most]);
            }
        }
    }
    profile
}
