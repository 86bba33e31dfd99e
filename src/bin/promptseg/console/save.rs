//! Saves masks beside the pictures, in the formats of `promptseg segment`, or the prompts of the session.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use promptseg::console::Saved;
use promptseg::engine::{FrameResult, ObjectResult};
use serde_json::{Value, json};

use super::arguments::{Arguments, Format};
use crate::files::{Writer, file_in, make_folder};
use crate::formats::{add_segmentation, mask_png, npy, rounded};

/// Name of the file with the prompts of a session.
const PROMPTS: &str = "prompts.json";

/// Saves the masks of pictures, or the prompts of the session.
pub struct Saver {
    format: Format,
    /// Folder of the masks; `None` for the folder of each picture.
    folder: Option<PathBuf>,
    /// Writes files that do not exist, or replaces them with `--overwrite`.
    writer: Writer,
    /// Replaces files that this run wrote.
    replacing: Writer,
    written: Mutex<BTreeSet<PathBuf>>,
}

impl Saver {
    pub fn new(arguments: &Arguments, inputs: &[PathBuf]) -> Self {
        Saver {
            format: arguments.format,
            folder: arguments.out.clone(),
            writer: Writer::new(inputs, arguments.overwrite),
            replacing: Writer::new(inputs, true),
            written: Mutex::default(),
        }
    }

    /// Saves the masks of a result. `name`: beginning of the names of the files.
    ///
    /// # Errors
    /// There are no masks, or a file cannot be written.
    pub fn save(&self, picture: &Path, name: &OsStr, result: &FrameResult) -> Result<Saved, String> {
        let objects: Vec<&ObjectResult> =
            result.objects.iter().map(AsRef::as_ref).filter(|object| object.mask.area > 0).collect();
        if objects.is_empty() {
            return Err("there are no masks to save: click an object first".to_owned());
        }
        let folder = self.folder_of(picture)?;
        let contents = self.contents(picture, &objects, result.image.dimensions())?;
        let mut files = Vec::with_capacity(contents.len());
        for (suffix, content) in contents {
            let file = file_in(&folder, name, &suffix);
            self.write(&file, &content)?;
            files.push(file.display().to_string());
        }
        Ok(Saved { content: format!("{} masks", objects.len()), files })
    }

    /// Returns whether prompts are saved instead of masks.
    pub fn saves_prompts(&self) -> bool {
        self.format == Format::Prompts
    }

    /// Saves the prompts of the session. `picture`: the picture that is shown.
    ///
    /// # Errors
    /// There are no prompts, or the file cannot be written.
    pub fn save_prompts(&self, picture: &Path, content: &str, objects: usize) -> Result<Saved, String> {
        if objects == 0 {
            return Err("there are no prompts to save: click an object first".to_owned());
        }
        let file = self.folder_of(picture)?.join(PROMPTS);
        self.write(&file, content.as_bytes())?;
        Ok(Saved { content: format!("the prompts of {objects} objects"), files: vec![file.display().to_string()] })
    }

    /// Returns the folder for the files of a picture, which exists then.
    fn folder_of(&self, picture: &Path) -> Result<PathBuf, String> {
        let folder = self.folder.clone().or_else(|| picture.parent().map(Path::to_owned)).unwrap_or_default();
        make_folder(&folder)?;
        Ok(folder)
    }

    /// Returns the suffix and the content of each file.
    fn contents(
        &self,
        picture: &Path,
        objects: &[&ObjectResult],
        size: (u32, u32),
    ) -> Result<Vec<(String, Vec<u8>)>, String> {
        match self.format {
            Format::Png => {
                let suffix =
                    |i: usize| if objects.len() > 1 { format!("_mask_{i}.png") } else { "_mask.png".to_owned() };
                let file = |(i, object): (usize, &&ObjectResult)| Ok((suffix(i + 1), mask_png(&object.mask)?));
                objects.iter().enumerate().map(file).collect()
            }
            Format::Npy => {
                let masks: Vec<_> = objects.iter().map(|object| &object.mask).collect();
                Ok(vec![("_mask.npy".to_owned(), npy(&masks, size)?)])
            }
            // Prompts are saved by `save_prompts`.
            Format::Prompts => Ok(Vec::new()),
            Format::CocoRle | Format::Polygon => {
                let masks: Vec<Value> = objects.iter().enumerate().map(|(i, o)| self.mask(i + 1, o)).collect();
                let line = json!({ "image": picture.to_string_lossy(), "size": [size.1, size.0], "masks": masks });
                Ok(vec![(".json".to_owned(), format!("{line}\n").into_bytes())])
            }
        }
    }

    fn mask(&self, number: usize, object: &ObjectResult) -> Value {
        let mask = &object.mask;
        let mut value = json!({
            "object": number,
            "class": object.class_id,
            "iou": rounded(object.iou),
            "area": mask.area,
            "box": mask.bbox.map(|b| [b.x, b.y, b.width, b.height]),
        });
        add_segmentation(&mut value, mask, self.format == Format::Polygon);
        value
    }

    fn write(&self, file: &Path, content: &[u8]) -> Result<(), String> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = if written.contains(file) { &self.replacing } else { &self.writer };
        writer.save(file, content)?;
        written.insert(file.to_owned());
        Ok(())
    }
}
