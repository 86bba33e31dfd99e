//! Ids of images and categories, and names of images, in COCO's and SA-1B's files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::Failure;
use crate::pictures::STDIN;

/// Ids of the images in the formats of COCO and SA-1B.
#[derive(clap::Args)]
pub struct CocoArguments {
    /// For the formats of COCO and SA-1B: take the ids of the images, and the first category, from this COCO file, to
    /// evaluate the results with it. The default counts the images from 1.
    #[arg(long, value_name = "FILE")]
    image_ids: Option<PathBuf>,
}

impl CocoArguments {
    /// Returns the files that the arguments name.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.image_ids.iter()
    }

    /// Returns an error if the arguments have a value, for a format without ids.
    pub fn refuse_unless_used(&self) -> Result<(), Failure> {
        match self.image_ids {
            Some(_) => Err(Failure::Usage("--image-ids: this --format has no ids of images".to_owned())),
            None => Ok(()),
        }
    }
}

/// The part of a COCO file that is read.
#[derive(Deserialize)]
struct CocoLists {
    images: Vec<CocoImage>,
    #[serde(default)]
    categories: Vec<CocoCategory>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct CocoCategory {
    id: u64,
}

/// Id and file name of each picture of a run.
pub struct ImageIds {
    names: Vec<String>,
    /// The file of `--image-ids`; none if the pictures are counted.
    listed: Option<Listed>,
}

/// Ids of a COCO file.
struct Listed {
    file: PathBuf,
    /// Ids of the images by file name.
    ids: BTreeMap<String, u64>,
    category: Option<u64>,
}

impl ImageIds {
    /// Reads the ids.
    ///
    /// # Errors
    /// The file of `--image-ids` cannot be read, or two of its images have the same name.
    pub fn read(arguments: &CocoArguments, pictures: &[PathBuf]) -> Result<ImageIds, String> {
        let listed = match &arguments.image_ids {
            Some(file) => Some(read_ids(file)?),
            None => None,
        };
        Ok(ImageIds { names: pictures.iter().map(|path| file_name(path)).collect(), listed })
    }

    /// Returns the id and the file name of a picture.
    ///
    /// # Errors
    /// The file of `--image-ids` does not list the picture.
    pub fn of(&self, index: usize) -> Result<(u64, &str), String> {
        let name = &self.names[index];
        let id = match &self.listed {
            None => index as u64 + 1,
            Some(Listed { file, ids, .. }) => *ids.get(name).ok_or_else(|| {
                format!("{name} is not among the {} images of {}, which gives the ids", ids.len(), file.display())
            })?,
        };
        Ok((id, name))
    }

    /// Returns the id of the only category, since masks have no class: 1, or the first category of the file of
    /// `--image-ids`. COCOeval leaves out results of categories that the truth does not have, even without classes.
    pub fn category(&self) -> u64 {
        self.listed.as_ref().and_then(|listed| listed.category).unwrap_or(1)
    }
}

/// Returns the name of a picture without its folder. Bytes that are not UTF-8 become U+FFFD.
fn file_name(path: &Path) -> String {
    if path == Path::new(STDIN) {
        return "stdin".to_owned();
    }
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read_ids(file: &Path) -> Result<Listed, String> {
    let content = std::fs::read(file).map_err(|e| format!("--image-ids {}: {e}", file.display()))?;
    let coco: CocoLists = serde_json::from_slice(&content).map_err(|e| {
        format!(
            "--image-ids {}: {e}; expected a COCO file with `images`, each with `id` and `file_name`",
            file.display()
        )
    })?;
    let mut ids = BTreeMap::new();
    for image in coco.images {
        let name = file_name(Path::new(&image.file_name));
        if let Some(other) = ids.insert(name.clone(), image.id)
            && other != image.id
        {
            return Err(format!(
                "--image-ids {}: two images are named {name} (ids {other} and {}); expected different names",
                file.display(),
                image.id
            ));
        }
    }
    let category = coco.categories.iter().map(|category| category.id).min();
    Ok(Listed { file: file.to_owned(), ids, category })
}
