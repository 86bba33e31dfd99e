//! The folder of a data set: images, records of frames, and files that are written whole or not at all.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use image::RgbImage;
use promptseg::label::record::FrameRecord;
use promptseg::label::{Corrections, Tracklet};
use promptseg::pixels::decode_compressed;

use crate::files::{if_there, is_empty, make_folder};
use crate::terminal;

/// Name of the folder with the records.
const FRAMES: &str = "frames";
/// File of the corrections.
const CORRECTIONS: &str = "corrections.json";
/// File of the corrections of a data set that was begun again.
const OLD_CORRECTIONS: &str = "corrections.old.json";
/// Folder of images that the data set leaves out, while a run needs them.
const KEPT_IMAGES: &str = "frames/images";
/// What a data set may have, the records last: a folder without them is no data set.
const PARTS: [&str; 13] = [
    "annotations",
    "labels",
    "data.yaml",
    "indexed",
    "sa1b",
    "bag",
    "cvat_images.xml",
    "cvat_video.xml",
    "label_studio.json",
    "label_studio.xml",
    "manifest.json",
    "images",
    FRAMES,
];

/// The passes whose tracklets are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Objects that are followed backward from their first frame.
    Backward,
    /// Objects that are followed from corrections, in both directions.
    Corrections,
}

impl Pass {
    fn folder(self) -> &'static str {
        match self {
            Pass::Backward => "frames/followed",
            Pass::Corrections => "frames/corrected",
        }
    }
}

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
        let is_empty = is_empty(folder).map_err(failed)?;
        if !is_dataset && !is_empty {
            let folder = folder.display();
            return Err(format!(
                "--out {folder}: found other files, expected an empty folder or a data set of this command"
            ));
        }
        make_folder(folder)?;
        let lock = lock(folder)?;
        if overwrite && is_dataset {
            let (corrections, old) = (folder.join(CORRECTIONS), folder.join(OLD_CORRECTIONS));
            if corrections.is_file() {
                std::fs::rename(&corrections, &old).map_err(failed)?;
                terminal::warn(format!("the corrections of the earlier run are in {}", old.display()));
            }
            for part in PARTS.map(|part| folder.join(part)) {
                let removed = if part.is_dir() { std::fs::remove_dir_all(&part) } else { std::fs::remove_file(&part) };
                if_there(removed).map_err(failed)?;
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
        write_whole(&self.folder.join(name), content)
    }

    /// Creates a file that appears under its name when it is finished.
    pub fn create(&self, name: &str) -> Result<WholeFile, String> {
        WholeFile::create(self.folder.join(name))
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
        self.read_json(&Store::record_name(frame))
    }

    fn tracklets_name(pass: Pass, window: usize, backward: bool) -> String {
        format!("{}/{window:06}_{}.json", pass.folder(), if backward { "backward" } else { "forward" })
    }

    /// Reads the tracklets of a window in one direction.
    ///
    /// # Errors
    /// The file cannot be read, or has no tracklets.
    pub fn tracklets(&self, pass: Pass, window: usize, backward: bool) -> Result<Vec<Tracklet>, String> {
        Ok(self.read_json(&Store::tracklets_name(pass, window, backward))?.unwrap_or_default())
    }

    /// Writes the tracklets of a window in one direction; no tracklets are no file.
    pub fn write_tracklets(
        &self,
        pass: Pass,
        window: usize,
        backward: bool,
        tracklets: &[Tracklet],
    ) -> Result<(), String> {
        let name = Store::tracklets_name(pass, window, backward);
        if tracklets.is_empty() {
            return self.remove(&name);
        }
        let text = serde_json::to_string(tracklets).map_err(|e| format!("{name}: {e}"))?;
        self.write(&name, text.as_bytes())
    }

    /// Reads the corrections; none if there are none.
    ///
    /// # Errors
    /// The file cannot be read, or has other content.
    pub fn corrections(&self) -> Result<Corrections, String> {
        let path = self.folder.join(CORRECTIONS);
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        match if_there(std::fs::read_to_string(&path)).map_err(|e| failed(&e))? {
            Some(text) => Corrections::parse(&text).map_err(|e| failed(&e)),
            None => Ok(Corrections::default()),
        }
    }

    /// Writes the corrections.
    pub fn write_corrections(&self, corrections: &Corrections) -> Result<(), String> {
        self.write(CORRECTIONS, corrections.text()?.as_bytes())
    }

    fn kept_image(frame: usize) -> String {
        format!("{KEPT_IMAGES}/{}", frame_name(frame))
    }

    /// Keeps the file of an image that the data set leaves out.
    pub fn keep_image(&self, frame: usize, content: &[u8]) -> Result<(), String> {
        self.write(&Store::kept_image(frame), content)
    }

    /// Returns whether the image of a frame is kept.
    pub fn has_kept_image(&self, frame: usize) -> bool {
        self.folder.join(Store::kept_image(frame)).is_file()
    }

    /// Reads the image of a frame, which is in the data set or kept.
    ///
    /// # Errors
    /// The image is gone or damaged.
    pub fn image(&self, record: &FrameRecord) -> Result<RgbImage, String> {
        let name = match &record.image {
            Some(name) => format!("images/{}/{name}", record.split.name()),
            None => Store::kept_image(record.frame),
        };
        let path = self.folder.join(&name);
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}; give --overwrite to begin again", path.display());
        let content = std::fs::read(&path).map_err(|e| failed(&e))?;
        decode_compressed(&content, &name).map_err(|e| failed(&e))
    }

    /// Removes the images that the data set leaves out.
    pub fn remove_kept_images(&self) -> Result<(), String> {
        let folder = self.folder.join(KEPT_IMAGES);
        if_there(std::fs::remove_dir_all(&folder)).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(())
    }

    /// Removes a file, if there is one.
    fn remove(&self, name: &str) -> Result<(), String> {
        let path = self.folder.join(name);
        if_there(std::fs::remove_file(&path)).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(())
    }

    /// Reads a file of JSON; none if there is none.
    fn read_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        let path = self.folder.join(name);
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}; give --overwrite to begin again", path.display());
        let content = if_there(std::fs::read(&path)).map_err(|e| failed(&e))?;
        content.map(|content| serde_json::from_slice(&content)).transpose().map_err(|e| failed(&e))
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

/// Writes a file, with its folder. The file has the whole content, or is not there.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), String> {
    let mut file = WholeFile::create(path.to_owned())?;
    file.write(content)?;
    file.finish()
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

    /// Creates a file, with its folder.
    fn create(path: PathBuf) -> Result<WholeFile, String> {
        make_folder(path.parent().unwrap_or(&path))?;
        let mut part = OsString::from(".");
        part.push(path.file_name().unwrap_or_default());
        part.push(".part");
        let part = path.with_file_name(part);
        let file = File::create(&part).map_err(|e| format!("cannot write {}: {e}", part.display()))?;
        Ok(WholeFile { path, part, file: Some(BufWriter::new(file)) })
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
