//! A bank: features of phrases in a file, so that a robot needs no text tower.
//!
//! The file is safetensors with one tensor `features`, `[N, D]`, and the phrases and the hash of the model in its metadata.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use super::description::TextBundle;
use super::error::Error;
use super::features::{Features, key};
use crate::model;

/// Most phrases of a bank.
pub const MAX_BANK: usize = 100_000;
/// Most bytes of a bank.
const MAX_BYTES: u64 = 1 << 30;
const FORMAT: &str = "promptseg text bank 1";
const FEATURES: &str = "features";

/// Features of phrases of one model.
#[derive(Debug, Clone)]
pub struct Bank {
    path: PathBuf,
    features: BTreeMap<String, Arc<Features>>,
}

impl Bank {
    /// Returns the content of the file of a bank.
    ///
    /// # Errors
    /// The reason in words.
    pub fn encode(features: &[Arc<Features>], model_name: &str) -> Result<Vec<u8>, String> {
        let first = features.first().ok_or("no phrases")?;
        let (model, channels) = (Arc::clone(&first.model), first.vector.len());
        if features.iter().any(|other| other.model != model || other.vector.len() != channels) {
            return Err("features of several models".to_owned());
        }
        let values = features.iter().flat_map(|f| f.vector.iter().flat_map(|v| v.to_le_bytes())).collect::<Vec<u8>>();
        let view = TensorView::new(Dtype::F32, vec![features.len(), channels], &values).map_err(|e| e.to_string())?;
        let phrases = features.iter().map(|f| f.text.as_str()).collect::<Vec<_>>();
        let entries = [
            ("format", FORMAT.to_owned()),
            ("model", model.to_string()),
            ("name", model_name.to_owned()),
            ("phrases", serde_json::to_string(&phrases).map_err(|e| e.to_string())?),
        ];
        let metadata = entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<HashMap<_, _>>();
        serialize([(FEATURES, view)], Some(metadata)).map_err(|e| e.to_string())
    }

    /// Reads the bank of a bundle's model.
    ///
    /// # Errors
    /// [`Error::Bank`] for another file, [`Error::ForeignBank`] for the bank of another model.
    pub fn read(path: &Path, bundle: &TextBundle) -> Result<Self, Error> {
        let read = |source| model::Error::Read { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(read)?;
        let damaged = |reason: String| Error::Bank { path: path.to_owned(), reason };
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            let found = if metadata.is_file() {
                format!("{} bytes, at most {MAX_BYTES}", metadata.len())
            } else {
                "no file".to_owned()
            };
            return Err(damaged(found));
        }
        let content = std::fs::read(path).map_err(read)?;
        let (hash, fields) = (&bundle.hash, &bundle.fields);
        let (name, model, features) = parse(&content, hash, fields.channels).map_err(damaged)?;
        if *model != **hash {
            let short = |name: &str, hash: &str| format!("{name} ({})", hash.chars().take(12).collect::<String>());
            return Err(Error::ForeignBank {
                path: path.to_owned(),
                found: short(&name, &model),
                expected: short(&fields.name, hash),
                folder: bundle.folder.clone(),
            });
        }
        Ok(Bank { path: path.to_owned(), features })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the features of a phrase.
    pub fn get(&self, phrase: &str) -> Option<&Arc<Features>> {
        self.features.get(&key(phrase))
    }

    /// Returns the number of phrases.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }
}

type Content = (String, String, BTreeMap<String, Arc<Features>>);

/// Returns name and hash of the model, and the features. Features of another model are not read.
fn parse(content: &[u8], model: &Arc<str>, channels: usize) -> Result<Content, String> {
    let (_, header) = SafeTensors::read_metadata(content).map_err(|e| e.to_string())?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let entry = |name: &str| metadata.get(name).cloned().ok_or_else(|| format!("no `{name}` in its metadata"));
    let format = entry("format")?;
    if format != FORMAT {
        return Err(format!("its format is `{format}`, expected `{FORMAT}`"));
    }
    let (name, found) = (entry("name")?, entry("model")?);
    let printable = |text: &str| text.chars().filter(|c| !c.is_control()).take(128).collect::<String>();
    let (name, found) = (printable(&name), printable(&found));
    if found != **model {
        return Ok((name, found, BTreeMap::new()));
    }
    let phrases: Vec<String> = serde_json::from_str(&entry("phrases")?).map_err(|e| format!("its phrases: {e}"))?;
    if phrases.len() > MAX_BANK {
        return Err(format!("{} phrases, expected at most {MAX_BANK}", phrases.len()));
    }
    let tensors = SafeTensors::deserialize(content).map_err(|e| e.to_string())?;
    let view = tensors.tensor(FEATURES).map_err(|e| e.to_string())?;
    if view.dtype() != Dtype::F32 || view.shape() != [phrases.len(), channels] {
        let (dtype, shape, rows) = (view.dtype(), view.shape(), phrases.len());
        return Err(format!("`{FEATURES}` is {dtype:?}{shape:?}, expected F32[{rows}, {channels}]"));
    }
    let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let values = view.data().chunks_exact(4).map(value).collect::<Vec<f32>>();
    if values.iter().any(|v| !v.is_finite()) {
        return Err("features that are not finite".to_owned());
    }
    let mut features = BTreeMap::new();
    for (phrase, vector) in phrases.into_iter().zip(values.chunks_exact(channels)) {
        let text = key(&phrase);
        let of_phrase = Features { text: text.clone(), vector: vector.to_vec(), model: Arc::clone(model) };
        features.insert(text, Arc::new(of_phrase));
    }
    Ok((name, found, features))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(text: &str, model: &str, vector: &[f32]) -> Arc<Features> {
        Arc::new(Features { text: text.to_owned(), vector: vector.to_vec(), model: model.into() })
    }

    #[test]
    fn a_bank_is_read_as_it_was_written() {
        let model: Arc<str> = "abc".into();
        let content =
            Bank::encode(&[features("red cup", "abc", &[1.0, 2.0]), features("ß", "abc", &[3.0, 4.0])], "small");
        let content = content.unwrap();
        let (name, found, read) = parse(&content, &model, 2).unwrap();
        assert_eq!((name.as_str(), found.as_str(), read.len()), ("small", "abc", 2));
        assert_eq!(read["red cup"].vector, [1.0, 2.0]);
        assert_eq!(read["ß"].vector, [3.0, 4.0]);
        // Another model: its features are not read.
        let (_, found, read) = parse(&content, &"other".into(), 2).unwrap();
        assert!(found == "abc" && read.is_empty());
        assert!(Bank::encode(&[], "small").is_err());
        let mixed = [features("a", "abc", &[1.0]), features("b", "xyz", &[1.0])];
        assert_eq!(Bank::encode(&mixed, "small").unwrap_err(), "features of several models");
    }

    #[test]
    fn damaged_banks_are_refused_with_what_was_found() {
        let model: Arc<str> = "abc".into();
        let refused = |content: &[u8], channels| parse(content, &model, channels).unwrap_err();
        assert!(!refused(b"", 2).is_empty());
        assert!(!refused(&[0xff; 64], 2).is_empty());
        let good = Bank::encode(&[features("a", "abc", &[1.0, 2.0])], "small").unwrap();
        assert!(!refused(&good[..good.len() - 1], 2).is_empty());
        assert!(refused(&good, 3).contains("F32[1, 2], expected F32[1, 3]"), "{}", refused(&good, 3));
        let nan = Bank::encode(&[features("a", "abc", &[1.0, f32::NAN])], "small").unwrap();
        assert!(refused(&nan, 2).contains("not finite"));
        let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        let foreign = serialize([("weights", view)], None).unwrap();
        assert!(refused(&foreign, 2).contains("no `format`"));
    }
}
