//! A bundle: one folder with all files of a model, described by `bundle.json` and verified by hash.
//!
//! * `manifest`: the content of `bundle.json`; `validate`: what its fields may be.
//! * `variant`: the precisions of one model; `memory_section`: sizes of its memory.
//! * `file_checks`: checks of files before anything reads them; `hash`: SHA-256 of files; `listed_files`: files with the sizes
//!   and hashes of any description.

pub(super) mod file_checks;
pub(super) mod hash;
mod listed_files;
mod manifest;
mod memory_section;
mod validate;
mod variant;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use listed_files::ListedFiles;
pub use manifest::{
    DECODER, DESCRIPTION, ENCODER, FORMAT, FileEntry, MEMORY_ATTENTION, MEMORY_ENCODER, MEMORY_WEIGHTS, Manifest,
    PROMPT_ENCODER,
};
pub use memory_section::MemorySection;
pub use validate::TEXT_KIND;
pub(crate) use validate::{Fault, Validity, check_norm, check_texts, fault};
pub(super) use validate::{MAX_CANDIDATES, MAX_CELLS, MAX_CHANNELS, MAX_IMAGE_SIZE, MAX_LOW_RES};
pub use variant::Variant;
pub(super) use variant::for_provider;

use super::error::Error;
use super::precision::Precision;

/// Place of the files of a bundle.
#[derive(Debug, Clone)]
enum Source {
    Folder(PathBuf),
    Executable(&'static [(&'static str, &'static [u8])]),
}

/// A bundle whose description is valid and whose files have the sizes in it. The hash of a file is checked when the file
/// is used, because only one of several variants runs.
#[derive(Debug, Clone)]
pub struct Bundle {
    pub manifest: Manifest,
    source: Source,
    /// Files whose hash was compared and is right.
    verified: RefCell<BTreeSet<String>>,
}

impl Bundle {
    /// Reads `folder/bundle.json` and checks the size of every file in it.
    ///
    /// # Errors
    /// [`Error::MissingFile`] and [`Error::FileSize`] for a file that is missing or has another size, and the errors of
    /// [`Manifest::parse`].
    pub fn open(folder: &Path) -> Result<Bundle, Error> {
        let bundle = Self::describe(folder)?;
        for (name, entry) in &bundle.manifest.files {
            bundle.check_size(name, entry)?;
        }
        Ok(bundle)
    }

    /// Returns the folder of a bundle from its own path, the path of its `bundle.json` or of its image encoder in fp32;
    /// none if `path` is none of these.
    pub fn folder_of(path: &Path) -> Option<PathBuf> {
        if path.file_name().is_some_and(|name| name == DESCRIPTION) {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            return Some(folder.unwrap_or(Path::new(".")).to_owned());
        }
        if path.join(DESCRIPTION).exists() {
            return Some(path.to_owned());
        }
        let beside = path.with_file_name(DESCRIPTION);
        if !path.is_file() || !beside.exists() {
            return None;
        }
        let folder = Self::folder_of(&beside)?;
        // A damaged description is reported when the bundle is opened.
        let encoder = Self::describe(&folder).map_or(true, |bundle| {
            let plain = bundle.manifest.variants.iter().find(|v| v.precision == Precision::Fp32);
            plain.is_some_and(|v| path.file_name().is_some_and(|name| name == v.encoder.as_str()))
        });
        encoder.then_some(folder)
    }

    /// Reads `folder/bundle.json` and no other file.
    ///
    /// # Errors
    /// The errors of [`Manifest::parse`], [`Error::Read`] if the file cannot be read.
    pub fn describe(folder: &Path) -> Result<Bundle, Error> {
        let path = folder.join(DESCRIPTION);
        let text = file_checks::read(&path, file_checks::MAX_DESCRIPTION)?;
        let manifest = Manifest::parse(&text, &path.display().to_string())?;
        Ok(Bundle { manifest, source: Source::Folder(folder.to_owned()), verified: RefCell::default() })
    }

    /// Opens a bundle that is part of the executable. `files` are names and contents.
    ///
    /// # Errors
    /// [`Error::MissingFile`] without `bundle.json`, and the errors of [`Manifest::parse`].
    pub fn embedded(files: &'static [(&'static str, &'static [u8])]) -> Result<Bundle, Error> {
        let text = files.iter().find(|(name, _)| *name == DESCRIPTION).map(|(_, content)| *content);
        let text = text.ok_or_else(|| Error::MissingFile { file: format!("embedded {DESCRIPTION}") })?;
        let manifest = Manifest::parse(text, &format!("embedded {DESCRIPTION}"))?;
        Ok(Bundle { manifest, source: Source::Executable(files), verified: RefCell::default() })
    }

    /// Checks size and hash of a file, and if the file is a graph, of its weights. Each file is hashed once.
    ///
    /// # Errors
    /// [`Error::FileSize`] or [`Error::FileHash`] with both values.
    pub fn verify(&self, name: &str) -> Result<(), Error> {
        for (file, entry) in self.manifest.with_weights(name) {
            if !self.verified.borrow().contains(file) {
                self.check_size(file, entry)?;
                self.check_hash(file, entry)?;
                self.verified.borrow_mut().insert(file.clone());
            }
        }
        Ok(())
    }

    /// Returns the folder, or none if the bundle is part of the executable.
    pub fn folder(&self) -> Option<&Path> {
        match &self.source {
            Source::Folder(folder) => Some(folder),
            Source::Executable(_) => None,
        }
    }

    /// Returns the path of a file, or none if the bundle is part of the executable. ONNX Runtime reads a graph by its path,
    /// and the weights beside the graph.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.folder().map(|folder| folder.join(name))
    }

    /// Verifies a file and returns its content.
    ///
    /// # Errors
    /// The errors of [`Self::verify`], [`Error::Read`] if the file cannot be read.
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>, Error> {
        self.verify(name)?;
        match &self.source {
            Source::Folder(folder) => file_checks::read(&folder.join(name), file_checks::limit(name)).map(Cow::Owned),
            Source::Executable(files) => self.embedded_file(files, name).map(Cow::Borrowed),
        }
    }

    fn embedded_file(
        &self,
        files: &'static [(&'static str, &'static [u8])],
        name: &str,
    ) -> Result<&'static [u8], Error> {
        let found = files.iter().find(|(file, _)| *file == name).map(|(_, content)| *content);
        found.ok_or_else(|| Error::MissingFile { file: self.label(name) })
    }

    /// Returns the name of a file in messages.
    pub fn label(&self, name: &str) -> String {
        match &self.source {
            Source::Folder(folder) => folder.join(name).display().to_string(),
            Source::Executable(_) => format!("embedded {name}"),
        }
    }

    /// Returns the number of bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.manifest.files.values().map(|f| f.bytes).sum()
    }

    fn check_size(&self, name: &str, entry: &FileEntry) -> Result<(), Error> {
        let found = match &self.source {
            Source::Folder(folder) => file_checks::listed_size(&folder.join(name))?,
            Source::Executable(files) => self.embedded_file(files, name)?.len() as u64,
        };
        entry.check_size(&self.label(name), found)
    }

    fn check_hash(&self, name: &str, entry: &FileEntry) -> Result<(), Error> {
        let found = match &self.source {
            Source::Folder(folder) => hash::hash_file(&folder.join(name))?,
            Source::Executable(files) => hash::hash_content(self.embedded_file(files, name)?),
        };
        entry.check_hash(&self.label(name), found)
    }
}
