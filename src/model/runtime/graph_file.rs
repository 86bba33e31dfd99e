//! Files of ONNX graphs: one file, or the files of a bundle's variants.

use std::path::Path;

use super::external_weights::weights_beside;
use crate::model::bundle::{
    Bundle, DECODER, ENCODER, MEMORY_ATTENTION, MEMORY_ENCODER, Variant, file_checks, for_provider, hash,
};
use crate::model::error::Error;
use crate::model::precision::Precision;
use crate::model::provider::Provider;

/// File of one graph.
#[derive(Debug, Clone, Copy)]
pub enum GraphFile<'a> {
    Path(&'a Path),
    /// A bundle, and the file's name in it.
    Bundled(&'a Bundle, &'a str),
}

impl GraphFile<'_> {
    /// Returns the name of the file in messages.
    pub fn label(&self) -> String {
        match self {
            GraphFile::Path(path) => path.display().to_string(),
            GraphFile::Bundled(bundle, name) => bundle.label(name),
        }
    }

    /// Returns the SHA-256 of the graph together with its weights in other files. For a bundle, the hashes in its
    /// description count, which were checked.
    ///
    /// # Errors
    /// [`Error::Read`] and the errors of [`file_checks`] for a file that cannot be read.
    pub fn hash(&self) -> Result<String, Error> {
        match self {
            GraphFile::Path(path) => {
                file_checks::checked_size(path, file_checks::MAX_GRAPH)?;
                let mut hashes = vec![hash::hash_file(path)?];
                for weights in weights_beside(path)? {
                    hashes.push(hash::hash_file(&weights)?);
                }
                Ok(hash::combine(&hashes))
            }
            GraphFile::Bundled(bundle, name) => {
                let hashes = bundle.manifest.with_weights(name).map(|(_, entry)| entry.sha256.clone());
                Ok(hash::combine(&hashes.collect::<Vec<_>>()))
            }
        }
    }

    /// Checks the file before ONNX Runtime reads it.
    ///
    /// # Errors
    /// The errors of [`file_checks::check_graph`], and for a bundle those of [`Bundle::verify`].
    pub fn check(&self) -> Result<(), Error> {
        match self {
            GraphFile::Path(path) => file_checks::check_graph(path),
            GraphFile::Bundled(bundle, name) => {
                bundle.verify(name)?;
                bundle.path(name).map_or(Ok(()), |path| file_checks::check_graph(&path))
            }
        }
    }
}

/// Returns the number of bytes of a graph together with its weights in other files.
///
/// # Errors
/// [`Error::Read`] and the errors of [`file_checks`] for a file that cannot be read.
pub fn bytes_with_weights(path: &Path) -> Result<u64, Error> {
    let weights = weights_beside(path)?.into_iter().map(|weights| file_checks::size(&weights));
    Ok(file_checks::size(path)? + weights.sum::<Result<u64, Error>>()?)
}

/// Role of a graph in a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphRole {
    ImageEncoder,
    MaskDecoder,
    MemoryAttention,
    MemoryEncoder,
}

impl GraphRole {
    pub const ALL: [GraphRole; 4] =
        [GraphRole::ImageEncoder, GraphRole::MaskDecoder, GraphRole::MemoryAttention, GraphRole::MemoryEncoder];

    /// Returns the name of the graph in requests, timings and refusals.
    pub fn name(self) -> &'static str {
        match self {
            GraphRole::ImageEncoder => "encoder",
            GraphRole::MaskDecoder => "decoder",
            GraphRole::MemoryAttention => "memory_attention",
            GraphRole::MemoryEncoder => "memory_encoder",
        }
    }

    /// Returns the name of the graph's file in a variant.
    fn file_in(self, variant: &Variant) -> Option<&str> {
        match self {
            GraphRole::ImageEncoder => Some(&variant.encoder),
            GraphRole::MaskDecoder => Some(&variant.decoder),
            GraphRole::MemoryAttention => variant.memory_attention.as_deref(),
            GraphRole::MemoryEncoder => variant.memory_encoder.as_deref(),
        }
    }

    /// Returns the usual name of the graph's file.
    fn usual_file(self) -> &'static str {
        match self {
            GraphRole::ImageEncoder => ENCODER,
            GraphRole::MaskDecoder => DECODER,
            GraphRole::MemoryAttention => MEMORY_ATTENTION,
            GraphRole::MemoryEncoder => MEMORY_ENCODER,
        }
    }
}

/// A graph in one precision (a file without a bundle) or in all precisions of a bundle.
#[derive(Debug, Clone, Copy)]
pub enum GraphVariants<'a> {
    Path(&'a Path),
    Bundled(&'a Bundle, GraphRole),
}

impl<'a> GraphVariants<'a> {
    /// Returns the files to try on a provider, the best first, each with its precision if that is known. `levels`: whether a GPU
    /// may get the encoder that takes levels in 8 bits.
    pub fn for_provider(
        self,
        provider: Provider,
        requested: Option<Precision>,
        levels: bool,
    ) -> Vec<(GraphFile<'a>, Option<Precision>)> {
        match self {
            GraphVariants::Path(path) => vec![(GraphFile::Path(path), None)],
            GraphVariants::Bundled(bundle, role) => {
                let with_levels = levels && provider.on_gpu() && role == GraphRole::ImageEncoder;
                let twin = |variant: &'a Variant| variant.u8_encoder.as_deref().filter(|_| with_levels);
                let files = |variant: &'a Variant| twin(variant).into_iter().chain(role.file_in(variant));
                let order = for_provider(&bundle.manifest.variants, requested, provider).into_iter();
                let mut names: Vec<&str> = order.flat_map(files).collect();
                // Variants may share a graph.
                names.dedup();
                let file = |name: &'a str| (GraphFile::Bundled(bundle, name), bundle.manifest.precision_of(name));
                names.into_iter().map(file).collect()
            }
        }
    }

    /// Returns whether all runs have the same shapes: those of a bundle's encoder, which takes one picture at a time.
    /// Encoders without a bundle may take pictures of any size.
    pub fn fixed_shapes(self) -> bool {
        matches!(self, GraphVariants::Bundled(_, GraphRole::ImageEncoder))
    }

    /// Returns the file whose inputs and outputs stand for all variants.
    pub fn plain(self, requested: Option<Precision>) -> GraphFile<'a> {
        match (self, self.for_provider(Provider::Cpu, requested, false).last()) {
            (_, Some((file, _))) => *file,
            (GraphVariants::Path(path), None) => GraphFile::Path(path),
            (GraphVariants::Bundled(bundle, role), None) => GraphFile::Bundled(bundle, role.usual_file()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Manifest;

    #[test]
    fn the_hash_of_a_graph_covers_the_weights_beside_it() {
        let folder = std::env::temp_dir().join(format!("promptseg-weights-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        for name in ["image_encoder.onnx", "image_encoder.onnx.data"] {
            std::fs::copy(golden.join("external").join(name), folder.join(name)).unwrap();
        }
        let path = folder.join("image_encoder.onnx");
        let hash = || GraphFile::Path(&path).hash();
        let before = hash().unwrap();
        std::fs::write(folder.join("image_encoder.onnx.data"), "other weights").unwrap();
        assert_ne!(hash().unwrap(), before);
        std::fs::remove_file(folder.join("image_encoder.onnx.data")).unwrap();
        assert!(hash().unwrap_err().to_string().contains("image_encoder.onnx.data"));
        std::fs::remove_dir_all(&folder).unwrap();

        let plain = golden.join("official/mask_decoder.onnx");
        assert_eq!(GraphFile::Path(&plain).hash().unwrap(), hash::hash_file(&plain).unwrap());
    }

    #[test]
    fn the_hash_of_a_bundled_graph_covers_the_weights_in_the_description() {
        let description = include_str!("../../../tests/golden/variants/bundle.json");
        let hash = |weights: &str| {
            let mut manifest = Manifest::parse(description.as_bytes(), "").unwrap();
            let mut entry = manifest.files["prompt_encoder.safetensors"].clone();
            entry.sha256 = weights.repeat(64);
            manifest.files.insert("image_encoder.onnx_data".to_owned(), entry);
            let hashes =
                |graph| manifest.with_weights(graph).map(|(_, entry)| entry.sha256.clone()).collect::<Vec<_>>();
            [hash::combine(&hashes("image_encoder.onnx")), hash::combine(&hashes("mask_decoder.onnx"))]
        };
        let [a, b] = [hash("a"), hash("b")];
        assert!(a[0] != b[0] && a[1] == b[1]);
        assert!(description.contains(&a[1]), "a graph alone keeps its hash");
    }

    #[test]
    fn an_encoder_of_levels_shares_the_weights_of_its_variant() {
        let description = include_str!("../../../tests/golden/calibrated/bundle.json");
        let mut manifest = Manifest::parse(description.as_bytes(), "").unwrap();
        let entry = manifest.files["prompt_encoder.safetensors"].clone();
        manifest.files.insert("image_encoder.onnx.data".to_owned(), entry);
        let with_weights = |graph| manifest.with_weights(graph).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        assert_eq!(with_weights("image_encoder.u8.onnx"), ["image_encoder.onnx.data", "image_encoder.u8.onnx"]);
        assert_eq!(with_weights("image_encoder.onnx"), ["image_encoder.onnx", "image_encoder.onnx.data"]);
        assert_eq!(with_weights("image_encoder.int8.onnx"), ["image_encoder.int8.onnx"]);
    }
}
