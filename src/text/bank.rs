//! A bank: features of phrases in a file, so that a robot needs no text tower.
//!
//! The file is safetensors with one tensor `features`, and the phrases and the hash of the model in its metadata. The tensor is
//! `[N, C]` for models with one row of features for each phrase (format 1). Format 2 has the rows of all phrases one after the
//! other, and the number of rows of each phrase in its metadata.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use super::description::TextBundle;
use super::error::Error;
use super::features::{Features, key};
use super::fields::Family;
use crate::model;

/// Most phrases of a bank.
pub const MAX_BANK: usize = 100_000;
/// Most bytes of a bank.
const MAX_BYTES: u64 = 1 << 30;
const FORMAT: &str = "promptseg text bank 1";
/// Format of a bank in which phrases have several rows.
const ROWS_FORMAT: &str = "promptseg text bank 2";
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
        Self::encode_within(features, model_name, MAX_BYTES)
    }

    fn encode_within(features: &[Arc<Features>], model_name: &str, most: u64) -> Result<Vec<u8>, String> {
        let first = features.first().ok_or("no phrases")?;
        let (model, channels) = (Arc::clone(&first.model), first.values.len() / first.rows.max(1));
        if features.iter().any(|other| other.model != model || other.values.len() != channels * other.rows) {
            return Err("features of several models".to_owned());
        }
        let bytes: u64 = features.iter().map(|f| size_of_val(f.values.as_slice()) as u64).sum();
        if bytes >= most {
            return Err(format!("{bytes} bytes of features, a bank has less than {most}; use fewer phrases"));
        }
        let values = features.iter().flat_map(|f| f.values.iter().flat_map(|v| v.to_le_bytes())).collect::<Vec<u8>>();
        let rows = features.iter().map(|f| f.rows).collect::<Vec<_>>();
        let shape = vec![rows.iter().sum(), channels];
        let view = TensorView::new(Dtype::F32, shape, &values).map_err(|e| e.to_string())?;
        let phrases = features.iter().map(|f| f.text.as_str()).collect::<Vec<_>>();
        let has_rows = rows.iter().any(|rows| *rows != 1);
        let mut entries = vec![
            ("format", if has_rows { ROWS_FORMAT } else { FORMAT }.to_owned()),
            ("model", model.to_string()),
            ("name", model_name.to_owned()),
            ("phrases", serde_json::to_string(&phrases).map_err(|e| e.to_string())?),
        ];
        if has_rows {
            entries.push(("rows", serde_json::to_string(&rows).map_err(|e| e.to_string())?));
        }
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
        let most = if matches!(fields.family, Family::Sam3(_)) { fields.tokens } else { 1 };
        let (name, model, features) = parse(&content, hash, (most, fields.channels)).map_err(damaged)?;
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

/// Returns name and hash of the model, and the features. Features of another model are not read. `most` is the largest number of
/// rows of a phrase, `channels` the number of values of each row.
fn parse(content: &[u8], model: &Arc<str>, (most, channels): (usize, usize)) -> Result<Content, String> {
    let (_, header) = SafeTensors::read_metadata(content).map_err(|e| e.to_string())?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let entry = |name: &str| metadata.get(name).cloned().ok_or_else(|| format!("no `{name}` in its metadata"));
    let format = entry("format")?;
    if format != FORMAT && format != ROWS_FORMAT {
        return Err(format!("its format is `{format}`, expected `{FORMAT}` or `{ROWS_FORMAT}`"));
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
    let rows: Vec<usize> = match format == ROWS_FORMAT {
        true => serde_json::from_str(&entry("rows")?).map_err(|e| format!("its rows: {e}"))?,
        false => vec![1; phrases.len()],
    };
    if rows.len() != phrases.len() {
        return Err(format!("rows of {} phrases, expected those of {}", rows.len(), phrases.len()));
    }
    if let Some(found) = rows.iter().find(|rows| !(1..=most).contains(rows)) {
        return Err(format!("a phrase of {found} rows, expected 1 to {most}"));
    }
    let values = values(content, &[rows.iter().sum(), channels])?;
    let (mut features, mut rest) = (BTreeMap::new(), values.as_slice());
    for (phrase, rows) in phrases.into_iter().zip(rows) {
        let (values, others) = rest.split_at(rows * channels);
        rest = others;
        let text = key(&phrase);
        let of_phrase = Features { text: text.clone(), values: values.to_vec(), rows, model: Arc::clone(model) };
        features.insert(text, Arc::new(of_phrase));
    }
    Ok((name, found, features))
}

/// Returns the values of the features, whose shape is `expected`.
fn values(content: &[u8], expected: &[usize; 2]) -> Result<Vec<f32>, String> {
    let tensors = SafeTensors::deserialize(content).map_err(|e| e.to_string())?;
    let view = tensors.tensor(FEATURES).map_err(|e| e.to_string())?;
    if view.dtype() != Dtype::F32 || view.shape() != expected {
        return Err(format!("`{FEATURES}` is {:?}{:?}, expected F32{expected:?}", view.dtype(), view.shape()));
    }
    let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let values = view.data().chunks_exact(4).map(value).collect::<Vec<f32>>();
    match values.iter().all(|v| v.is_finite()) {
        true => Ok(values),
        false => Err("features that are not finite".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(text: &str, model: &str, values: &[f32]) -> Arc<Features> {
        rows(text, model, values, 1)
    }

    fn rows(text: &str, model: &str, values: &[f32], rows: usize) -> Arc<Features> {
        Arc::new(Features { text: text.to_owned(), values: values.to_vec(), rows, model: model.into() })
    }

    #[test]
    fn a_bank_is_read_as_it_was_written() {
        let model: Arc<str> = "abc".into();
        let content =
            Bank::encode(&[features("red cup", "abc", &[1.0, 2.0]), features("ß", "abc", &[3.0, 4.0])], "small");
        let content = content.unwrap();
        let (name, found, read) = parse(&content, &model, (1, 2)).unwrap();
        assert_eq!((name.as_str(), found.as_str(), read.len()), ("small", "abc", 2));
        assert_eq!(read["red cup"].values, [1.0, 2.0]);
        assert_eq!(read["ß"].values, [3.0, 4.0]);
        // Another model: its features are not read.
        let (_, found, read) = parse(&content, &"other".into(), (1, 2)).unwrap();
        assert!(found == "abc" && read.is_empty());
        assert!(Bank::encode(&[], "small").is_err());
        let mixed = [features("a", "abc", &[1.0]), features("b", "xyz", &[1.0])];
        assert_eq!(Bank::encode(&mixed, "small").unwrap_err(), "features of several models");
    }

    #[test]
    fn phrases_may_have_several_rows() {
        let model: Arc<str> = "abc".into();
        let all = [rows("a b", "abc", &[1.0, 2.0, 3.0, 4.0], 2), rows("c", "abc", &[5.0, 6.0], 1)];
        let content = Bank::encode(&all, "small").unwrap();
        let (_, _, read) = parse(&content, &model, (3, 2)).unwrap();
        assert_eq!((read["a b"].rows, read["a b"].values()), (2, &[1.0, 2.0, 3.0, 4.0][..]));
        assert_eq!((read["c"].rows, read["c"].values()), (1, &[5.0, 6.0][..]));
        assert_eq!(parse(&content, &model, (1, 2)).unwrap_err(), "a phrase of 2 rows, expected 1 to 1");
        assert!(parse(&content, &model, (3, 3)).unwrap_err().contains("F32[3, 2], expected F32[3, 3]"));
        // Texts of the same length keep the offsets in the file.
        let changed = |from: &str, to: &str| {
            let text = content.iter().map(|b| *b as char).collect::<String>().replace(from, to);
            parse(&text.chars().map(|c| c as u8).collect::<Vec<_>>(), &model, (3, 2)).unwrap_err()
        };
        assert_eq!(changed("[2,1]", "[1,0]"), "a phrase of 0 rows, expected 1 to 3");
        assert_eq!(changed("[2,1]", "[  3]"), "rows of 1 phrases, expected those of 2");
        assert!(changed("[2,1]", "[1,1]").contains("F32[3, 2], expected F32[2, 2]"));
        assert!(changed("bank 2", "bank 3").contains("its format is `promptseg text bank 3`"));
        assert!(
            Bank::encode_within(&all, "small", 24)
                .unwrap_err()
                .contains("24 bytes of features, a bank has less than 24")
        );
        assert!(Bank::encode_within(&all, "small", 25).is_ok());
        let uneven = [rows("a", "abc", &[1.0, 2.0, 3.0], 2), rows("b", "abc", &[1.0], 1)];
        assert_eq!(Bank::encode(&uneven, "small").unwrap_err(), "features of several models");
    }

    #[test]
    fn damaged_banks_are_refused_with_what_was_found() {
        let model: Arc<str> = "abc".into();
        let refused = |content: &[u8], channels| parse(content, &model, (1, channels)).unwrap_err();
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
