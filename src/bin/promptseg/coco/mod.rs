//! COCO's JSON (<https://cocodataset.org/#format-data>) for all pictures of a run: a data set, or a list of results.

mod document;
mod image_ids;

use std::path::PathBuf;

use promptseg::pixels::{PixelRect, RunLengths};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::files::Writer;
use crate::formats::{rounded, run_lengths};
use crate::pictures;
use crate::results::Results;
use crate::terminal;
use document::Document;
pub use image_ids::{CocoArguments, ImageIds};

/// Content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Images, annotations and categories, for `COCO(file)`.
    Dataset,
    /// A list of results, for `COCO.loadRes(file)`.
    Results,
}

/// The file for all pictures of a run.
pub struct CocoFile {
    form: Form,
    document: Document,
    ids: ImageIds,
    /// Descriptions of the images of a data set.
    images: Vec<Value>,
    /// Number of annotations.
    annotations: usize,
    /// Names of the categories, whose ids count from that of the first. Empty: one category, `object`.
    classes: Vec<String>,
}

impl CocoFile {
    /// Decides where the file goes: to the target of `results`; in a folder it is `instances.json` or `results.json`.
    ///
    /// # Errors
    /// The file must not be written, two pictures have the same name, or the file of `--image-ids` cannot be read.
    pub fn plan(
        form: Form,
        arguments: &CocoArguments,
        results: &Results,
        pictures: &[PathBuf],
    ) -> Result<CocoFile, Failure> {
        let name = if form == Form::Dataset { "instances.json" } else { "results.json" };
        let document = Document::plan(results.target(), name, results.writer())?;
        // COCO's images are told apart by the names of their files.
        pictures::result_names(pictures)?;
        let ids = ImageIds::read(arguments, pictures)?;
        Ok(CocoFile { form, document, ids, images: Vec::new(), annotations: 0, classes: Vec::new() })
    }

    /// Sets the names of the categories.
    pub fn set_classes(&mut self, classes: Vec<String>) {
        self.classes = classes;
    }

    /// Returns the id of a category; that of the first for a name that is not among the classes.
    pub fn category(&self, class: &str) -> u64 {
        let index = self.classes.iter().position(|other| other == class).unwrap_or(0);
        self.ids.category() + index as u64
    }

    /// Refuses a picture that has no id in the file of `--image-ids`.
    pub fn check(&self, index: usize) -> Result<(), String> {
        self.ids.of(index).map(|_| ())
    }

    /// Returns the id of the next annotation of a data set.
    pub fn next_id(&self) -> usize {
        self.annotations + 1
    }

    /// Adds a picture with its annotations, which [`annotation`] makes. They get the next ids.
    pub fn add(
        &mut self,
        index: usize,
        (width, height): (u32, u32),
        model: &str,
        mut annotations: Vec<Value>,
        writer: &Writer,
    ) -> Result<(), String> {
        let (image_id, file_name) = self.ids.of(index)?;
        for annotation in &mut annotations {
            self.annotations += 1;
            annotation["image_id"] = json!(image_id);
            if annotation.get("category_id").is_none() {
                annotation["category_id"] = json!(self.ids.category());
            }
            if self.form == Form::Dataset {
                annotation["id"] = json!(self.annotations);
            }
        }
        let items: Vec<String> = annotations.iter().map(Value::to_string).collect();
        if self.form == Form::Results {
            return self.document.append("[\n", &items, "\n]\n".to_owned(), writer);
        }
        self.images.push(json!({ "id": image_id, "file_name": file_name, "width": width, "height": height }));
        let rest = [
            ("images", json!(self.images)),
            ("categories", self.categories()),
            (
                "info",
                json!({ "description": format!("masks of {model}"), "version": concat!("promptseg ", env!("CARGO_PKG_VERSION")) }),
            ),
            ("licenses", json!([])),
        ];
        let rest: String = rest.iter().map(|(name, value)| format!(",\n\"{name}\":{value}")).collect();
        self.document.append("{\"annotations\":[\n", &items, format!("\n]{rest}}}\n"), writer)
    }

    /// Returns COCO's list of categories.
    fn categories(&self) -> Value {
        let object = ["object".to_owned()];
        let names = if self.classes.is_empty() { object.as_slice() } else { self.classes.as_slice() };
        let category = |(id, name): (u64, &String)| json!({ "id": id, "name": name, "supercategory": "object" });
        (self.ids.category()..).zip(names).map(category).collect()
    }

    /// Completes the file and prints its name.
    pub fn finish(&mut self) -> Result<(), String> {
        if let Some(file) = self.document.finish()? {
            terminal::print(file.display());
        }
        Ok(())
    }
}

/// Returns the annotation of a mask without the ids of itself, its image and its category. `bbox` is the tight box of the mask, none
/// for an empty mask.
pub fn annotation(mask: &RunLengths, bbox: Option<PixelRect>, score: f32) -> Value {
    json!({
        "segmentation": run_lengths(mask),
        "area": mask.area(),
        "bbox": bbox.map_or([0; 4], |b| [b.x, b.y, b.width, b.height]),
        "iscrowd": 0,
        "score": rounded(score),
    })
}
