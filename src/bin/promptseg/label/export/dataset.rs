//! The records of a run, and the classes of their objects.

use promptseg::label::record::{FrameRecord, ObjectRecord};

use crate::label::passes::Passes;
use crate::label::plan::PlannedFrame;
use crate::label::store::{Store, frame_name};

/// Class of objects without one.
const NO_CLASS: &str = "object";

/// The records of a run, and the classes of their objects.
pub struct Dataset<'a> {
    pub store: &'a Store,
    /// The records.
    passes: &'a Passes<'a>,
    /// Names of the classes; a class is numbered by its place.
    pub classes: Vec<String>,
    /// Name of the model.
    pub model: String,
    /// Whether the data set has the images.
    pub has_images: bool,
    /// Whether the stamps of the records are times.
    pub has_times: bool,
}

impl<'a> Dataset<'a> {
    /// Makes a data set of records. `classes` may have an empty class.
    pub fn new(
        store: &'a Store,
        passes: &'a Passes<'a>,
        classes: &[String],
        model: &str,
        (has_images, has_times): (bool, bool),
    ) -> Dataset<'a> {
        let mut classes: Vec<String> = classes.iter().map(|class| named(class).to_owned()).collect();
        classes.sort();
        classes.dedup();
        Dataset { store, passes, classes, model: model.to_owned(), has_images, has_times }
    }

    /// Returns the frames that have a record.
    pub fn frames(&self) -> &'a [PlannedFrame] {
        self.passes.frames()
    }

    /// Calls `visit` with each record, in the order of the frames; images that could not be decoded are left out.
    pub fn records(&self, visit: &mut dyn FnMut(&FrameRecord) -> Result<(), String>) -> Result<(), String> {
        self.passes.each(&mut |_, record| if record.fault.is_none() { visit(record) } else { Ok(()) })
    }

    /// Returns the number of an object's class, from 0.
    pub fn class(&self, object: &ObjectRecord) -> usize {
        self.classes.binary_search_by(|class| class.as_str().cmp(named(&object.class))).unwrap_or(0)
    }
}

/// Returns the name of a class, which may be empty.
pub fn named(class: &str) -> &str {
    if class.is_empty() { NO_CLASS } else { class }
}

/// Returns the name of a frame's image file.
pub fn image_name(record: &FrameRecord) -> String {
    record.image.clone().unwrap_or_else(|| format!("{}.png", frame_name(record.frame)))
}

/// Returns the id of a frame's image, from 1.
pub fn image_id(record: &FrameRecord) -> usize {
    record.frame + 1
}
