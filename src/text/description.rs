//! `bundle.json` of a text model, and the files that it lists.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::Error;
use super::fields::{Fields, TEXT_TOWER, TOKENIZER};
use crate::model::bundle::Fault;
use crate::model::{self, DESCRIPTION, FORMAT, ListedFiles, TEXT_KIND};

/// The bundle of a text model.
#[derive(Debug, Clone)]
pub struct TextBundle {
    pub folder: PathBuf,
    pub fields: Fields,
    pub files: ListedFiles,
    /// Hash of all files, whether the folder has the text tower or not.
    pub hash: Arc<str>,
}

impl TextBundle {
    /// Returns whether a path is the folder of a text model's bundle, or its `bundle.json`. The bundle may be damaged otherwise.
    pub fn is_at(path: &Path) -> bool {
        let description = ListedFiles::description(folder_of(path), DESCRIPTION).ok();
        let json = description.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        json.is_some_and(|json| json.get("kind").and_then(serde_json::Value::as_str) == Some(TEXT_KIND))
    }

    /// Reads and checks the description of a bundle. `path` is its folder, or its `bundle.json`.
    ///
    /// # Errors
    /// [`Error::NoTextModel`] for another kind of folder or bundle, [`Error::Field`] for the first field with an invalid value.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let no_model = |found: String| Error::NoTextModel { path: path.to_owned(), found };
        let folder = folder_of(path);
        if !path.exists() {
            return Err(no_model("there is no such folder".to_owned()));
        }
        if !folder.join(DESCRIPTION).is_file() {
            return Err(no_model(format!("it has no {DESCRIPTION}")));
        }
        let text = ListedFiles::description(folder, DESCRIPTION)?;
        let json: serde_json::Value =
            serde_json::from_slice(&text).map_err(|e| no_model(format!("{DESCRIPTION}: {e}")))?;
        let of = |field: &str| json.get(field).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let file = folder.join(DESCRIPTION);
        match json.get("format").and_then(serde_json::Value::as_u64) {
            Some(found) if found > FORMAT => {
                let file = file.display().to_string();
                return Err(model::Error::NewerFormat { file, found, newest: FORMAT }.into());
            }
            Some(_) => {}
            None => return Err(no_model(format!("{DESCRIPTION} has no whole number `format`"))),
        }
        if of("kind") != TEXT_KIND {
            return Err(no_model(format!(
                "it is a bundle of the family {}, which makes masks of prompts",
                of("family")
            )));
        }
        let fields = Fields::read(&json).map_err(|e| no_model(format!("{DESCRIPTION}: {e}")))?;
        let invalid = |Fault { field, found, expected }| Error::Field { path: file.clone(), field, found, expected };
        fields.check().map_err(invalid)?;
        let files = ListedFiles::new(folder, fields.files.clone());
        let files = files.map_err(|(found, expected)| invalid(Fault { field: "files", found, expected }))?;
        let hash = files.hash(&fields.family.files()).into();
        Ok(TextBundle { folder: folder.to_owned(), fields, files, hash })
    }

    /// Returns whether a file belongs to the text tower, and the folder does not have it, which a bank of phrases allows.
    pub fn is_absent_text_file(&self, name: &str) -> bool {
        (name.starts_with(TEXT_TOWER) || name == TOKENIZER) && !self.files.has(name)
    }

    /// Returns the first file of the text tower that the folder does not have; none if it has the whole text tower.
    pub fn missing_text_file(&self) -> Option<&'static str> {
        [TEXT_TOWER, TOKENIZER].into_iter().find(|name| !self.files.has(name))
    }
}

fn folder_of(path: &Path) -> &Path {
    let is_description = path.file_name().is_some_and(|name| name == DESCRIPTION);
    if is_description { path.parent().unwrap_or(Path::new("")) } else { path }
}
