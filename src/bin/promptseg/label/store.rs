//! The folder of a data set: images, records of frames, and files that are written whole or not at all.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use promptseg::label::record::FrameRecord;

use crate::files::make_folder;

/// Name of the folder with the records.
const FRAMES: &str = "frames";
/// What a data set may have, the records last: a folder without them is no data set.
const PARTS: [&str; 9] =
    ["annotations", "labels", "data.yaml", "indexed", "sa1b", "bag", "manifest.json", "images", FRAMES];

/// The folder of a data set.
pub struct Store {
    folder: PathBuf,
    /// The folder, locked against other runs until the end of this one; none for a folder that is read only.
    _lock: Option<File>,
}

impl Store {
    /// Creates the folder and the folder of the records. With `overwrite` the data set of an earlier run is removed.
    ///
    /// # Errors
    /// The folder has other files than those of a data set, or cannot be written.
    pub fn open(folder: &Path, overwrite: bool) -> Result<Store, String> {
        let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
        let is_dataset = folder.join(FRAMES).is_dir();
        let is_empty = match std::fs::read_dir(folder) {
            Ok(mut entries) => entries.next().is_none(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => true,
            Err(e) => return Err(failed(e)),
        };
        if !is_dataset && !is_empty {
            let folder = folder.display();
            return Err(format!(
                "--out {folder}: found other files, expected an empty folder or a data set of this command"
            ));
        }
        make_folder(folder)?;
        let lock = lock(folder)?;
        if overwrite && is_dataset {
            for part in PARTS.map(|part| folder.join(part)) {
                let removed = if part.is_dir() { std::fs::remove_dir_all(&part) } else { std::fs::remove_file(&part) };
                removed.or_else(|e| if e.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(failed(e)) })?;
            }
        }
        make_folder(&folder.join(FRAMES))?;
        Ok(Store { folder: folder.to_owned(), _lock: Some(lock) })
    }

    /// Opens the folder of an earlier run, to read it.
    pub fn of_earlier(folder: &Path) -> Store {
        Store { folder: folder.to_owned(), _lock: None }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file, with its folder. The file has the whole content, or is not there: the content goes into a file beside
    /// it, which is then renamed.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), String> {
        let mut file = self.create(name)?;
        file.write(content)?;
        file.finish()
    }

    /// Creates a file that appears under its name when it is finished.
    pub fn create(&self, name: &str) -> Result<WholeFile, String> {
        let path = self.folder.join(name);
        make_folder(path.parent().unwrap_or(&self.folder))?;
        let mut part = OsString::from(".");
        part.push(path.file_name().unwrap_or_default());
        part.push(".part");
        let part = path.with_file_name(part);
        let file = File::create(&part).map_err(|e| format!("cannot write {}: {e}", part.display()))?;
        Ok(WholeFile { path, part, file: Some(BufWriter::new(file)) })
    }

    /// Takes a file of another folder under the same name, without a copy of its content if both are on one file system.
    pub fn adopt(&self, other: &Store, name: &str) -> Result<(), String> {
        let (from, to) = (other.folder.join(name), self.folder.join(name));
        make_folder(to.parent().unwrap_or(&self.folder))?;
        if to.exists() || std::fs::hard_link(&from, &to).is_ok() {
            return Ok(());
        }
        let content = std::fs::read(&from).map_err(|e| format!("{}: {e}", from.display()))?;
        self.write(name, &content)
    }

    fn record_name(frame: usize) -> String {
        format!("{FRAMES}/{}.json", frame_name(frame))
    }

    /// Writes the record of a frame.
    pub fn write_record(&self, record: &FrameRecord) -> Result<(), String> {
        let text = serde_json::to_string(record).map_err(|e| format!("the record of frame {}: {e}", record.frame))?;
        self.write(&Store::record_name(record.frame), text.as_bytes())
    }

    /// Returns whether a frame has a record.
    pub fn has_record(&self, frame: usize) -> bool {
        self.folder.join(Store::record_name(frame)).is_file()
    }

    /// Reads the record of a frame; none if there is none.
    ///
    /// # Errors
    /// The record cannot be read, or is not a record.
    pub fn record(&self, frame: usize) -> Result<Option<FrameRecord>, String> {
        let path = self.folder.join(Store::record_name(frame));
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}; give --overwrite to begin again", path.display());
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(&e)),
        };
        serde_json::from_slice(&content).map(Some).map_err(|e| failed(&e))
    }
}

/// Locks the folder of a data set. The lock ends with the process.
///
/// # Errors
/// Another process has the lock.
fn lock(folder: &Path) -> Result<File, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    let file = File::open(folder).map_err(failed)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(format!("--out {}: another run works on this folder", folder.display())),
        // Some network file systems have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// Returns the name of a frame's files without extension: its number in six digits.
pub fn frame_name(frame: usize) -> String {
    format!("{frame:06}")
}

/// A file that appears under its name when it is whole.
pub struct WholeFile {
    path: PathBuf,
    /// The file beside it, which is written.
    part: PathBuf,
    /// None when the file is finished.
    file: Option<BufWriter<File>>,
}

impl WholeFile {
    fn failed(&self, e: &std::io::Error) -> String {
        format!("cannot write {}: {e}", self.path.display())
    }

    /// Returns the file for a writer of its own.
    ///
    /// # Errors
    /// The file is finished.
    pub fn content(&mut self) -> Result<&mut BufWriter<File>, String> {
        self.file.as_mut().ok_or_else(|| format!("{} is finished", self.path.display()))
    }

    pub fn write(&mut self, content: &[u8]) -> Result<(), String> {
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(content));
        written.map_err(|e| self.failed(&e))
    }

    /// Completes the file.
    pub fn finish(mut self) -> Result<(), String> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let renamed = file.into_inner().map_err(|e| e.into_error());
        let renamed = renamed.and_then(|_| std::fs::rename(&self.part, &self.path));
        renamed.map_err(|e| {
            let _ = std::fs::remove_file(&self.part);
            self.failed(&e)
        })
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        // A file that was not finished leaves nothing. An error means that it is gone already.
        if self.file.take().is_some() {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}
