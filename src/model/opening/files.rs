//! Files of a model: a bundle, or a pair of graphs.

use std::path::{Path, PathBuf};

use crate::model::bundle::{Bundle, hash};
use crate::model::error::Error;
use crate::model::layout::{DecoderLayout, EncoderLayout, Signature};
use crate::model::precision::Precision;
use crate::model::provider::Provider;
use crate::model::runtime::graph_file::{GraphFile, GraphRole, GraphVariants};
use crate::model::runtime::session;

/// Files of a model.
pub enum ModelFiles {
    Bundle(Box<Bundle>),
    Pair { encoder: PathBuf, decoder: PathBuf },
}

impl ModelFiles {
    /// Returns whether the model may have several precisions.
    pub fn has_variants(&self) -> bool {
        matches!(self, ModelFiles::Bundle(_))
    }

    /// Returns whether the CPU runs a graph in 8 bits, which are less exact than what other providers compute in. `requested` is
    /// the precision that the user asked for.
    pub fn is_int8_on_cpu(&self, graph: GraphRole, requested: Option<Precision>) -> bool {
        let ModelFiles::Bundle(bundle) = self else { return false };
        let files = GraphVariants::Bundled(bundle, graph).for_provider(Provider::Cpu, requested, false);
        files.first().is_some_and(|(_, precision)| *precision == Some(Precision::Int8))
    }

    /// Returns the SHA-256 of all graphs and weights together. For a bundle, the hashes in its description count.
    ///
    /// # Errors
    /// [`Error::Read`] and the errors of checking a file that cannot be read.
    pub fn hash(&self) -> Result<String, Error> {
        let hashes = match self {
            ModelFiles::Bundle(bundle) => bundle.manifest.files.values().map(|entry| entry.sha256.clone()).collect(),
            ModelFiles::Pair { encoder, decoder } => {
                vec![GraphFile::Path(encoder).hash()?, GraphFile::Path(decoder).hash()?]
            }
        };
        Ok(hash::combine(&hashes))
    }

    /// Finds the files of a model: a bundle's folder, a folder with two graphs of a known layout, or two graphs.
    ///
    /// # Errors
    /// [`Error::NoModel`] if `path` is none of these, and the errors of reading bundles and graphs.
    pub fn find(path: &Path, decoder: Option<&Path>) -> Result<ModelFiles, Error> {
        let no_model = |found: String| Error::NoModel { path: path.to_owned(), found };
        if let Some(decoder) = decoder {
            return Ok(ModelFiles::Pair { encoder: path.to_owned(), decoder: decoder.to_owned() });
        }
        if let Some(folder) = Bundle::folder_of(path) {
            return Ok(ModelFiles::Bundle(Box::new(Bundle::open(&folder)?)));
        }
        // The partner of a single file lies beside it.
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
        let (a, b) = (session::signature(GraphFile::Path(first))?, session::signature(GraphFile::Path(second))?);
        match (EncoderLayout::recognise(&a), EncoderLayout::recognise(&b)) {
            (Ok(_), Err(_)) => Ok(ModelFiles::Pair { encoder: first.clone(), decoder: second.clone() }),
            (Err(_), Ok(_)) => Ok(ModelFiles::Pair { encoder: second.clone(), decoder: first.clone() }),
            (Err(first), Err(second)) => Err(no_encoder(&a, first, second)),
            (Ok(_), Ok(_)) => Err(no_model("two image encoders and no mask decoder".to_owned())),
        }
    }
}

/// Returns the error for two graphs if neither is an image encoder. The graph with a single input was probably meant as the
/// encoder.
fn no_encoder(a: &Signature, first: Error, second: Error) -> Error {
    let is_decoder = |graph: &Signature| DecoderLayout::recognise(graph).is_ok();
    if a.inputs.len() == 1 && !is_decoder(a) { first } else { second }
}

/// Returns the ONNX files in a folder, in the order of their names.
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
