//! Files of a folder with the sizes and hashes in its description.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::manifest::{FileEntry, is_named_after};
use super::{file_checks, hash};
use crate::model::error::Error;

/// Checks the entries of a description. An error is what was found, and what was expected.
///
/// # Errors
/// A name has a folder in it, a size is out of range, or a hash has another form.
pub fn check_entries(entries: &BTreeMap<String, FileEntry>) -> Result<(), (String, String)> {
    // A name with a folder in it could lead out of the bundle.
    if let Some(name) = entries.keys().find(|name| name.contains(['/', '\\']) || name.starts_with('.')) {
        return Err((format!("`{name}`"), "plain file names".to_owned()));
    }
    for (name, entry) in entries {
        let most = file_checks::limit(name);
        if !(1..=most).contains(&entry.bytes) {
            return Err((format!("{} bytes for {name}", entry.bytes), format!("1 to {most}")));
        }
        if entry.sha256.len() != 64 || !entry.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            let found = format!("`{}` for {name}", entry.sha256);
            return Err((found, "a SHA-256 of 64 hexadecimal digits".to_owned()));
        }
    }
    Ok(())
}

/// Files of a folder, which are checked before they are used.
#[derive(Debug, Clone)]
pub struct ListedFiles {
    folder: PathBuf,
    entries: BTreeMap<String, FileEntry>,
}

impl ListedFiles {
    /// Makes the files of a description. An error is what was found, and what was expected.
    ///
    /// # Errors
    /// As [`check_entries`].
    pub fn new(folder: &Path, entries: BTreeMap<String, FileEntry>) -> Result<Self, (String, String)> {
        check_entries(&entries)?;
        Ok(ListedFiles { folder: folder.to_owned(), entries })
    }

    /// Returns the content of the description of a folder.
    ///
    /// # Errors
    /// [`Error::Read`] and the other errors of a file that cannot be read.
    pub fn description(folder: &Path, name: &str) -> Result<Vec<u8>, Error> {
        file_checks::read(&folder.join(name), file_checks::MAX_DESCRIPTION)
    }

    /// Returns the path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns whether the folder has the file.
    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Returns one hash of the hashes that the description has for `names` and for the files that hold the weights of these
    /// graphs, whether the folder has these files or not.
    pub fn hash(&self, names: &[&str]) -> String {
        let hashes =
            names.iter().flat_map(|name| self.with_weights(name)).map(|(_, entry)| entry.sha256.to_lowercase());
        hash::combine(&hashes.collect::<Vec<_>>())
    }

    /// Returns the names and the sizes that the description has for the files, in bytes.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry.bytes))
    }

    /// Returns the entries of a file, and of the files that hold the weights of a graph.
    fn with_weights(&self, name: &str) -> impl Iterator<Item = (&String, &FileEntry)> {
        self.entries.iter().filter(move |(file, _)| is_named_after(name, file))
    }

    /// Checks size and hash of a file, and of the files that hold the weights of a graph. Returns its path.
    ///
    /// # Errors
    /// [`Error::MissingFile`], [`Error::FileSize`] and [`Error::FileHash`].
    pub fn verify(&self, name: &str) -> Result<PathBuf, Error> {
        if !self.entries.contains_key(name) {
            return Err(Error::MissingFile { file: self.path(name).display().to_string() });
        }
        for (file, entry) in self.with_weights(name) {
            let path = self.path(file);
            let label = path.display().to_string();
            entry.check_size(&label, file_checks::listed_size(&path)?)?;
            entry.check_hash(&label, hash::hash_file(&path)?)?;
        }
        Ok(self.path(name))
    }

    /// Checks a file and returns its content.
    ///
    /// # Errors
    /// Errors of [`Self::verify`]; [`Error::Read`] if the file cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        file_checks::read(&self.verify(name)?, file_checks::limit(name))
    }
}
