//! What the console asks of the owner of the engines.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::engine::{Engine, FrameResult, Persistence};
use crate::monitor::Snapshot;
use crate::text::Understood;

/// Owner of the engines: the node, or the tool that shows files.
pub trait Owner: Send + Sync + 'static {
    /// Returns the names of the cameras. The name of a single camera may be empty.
    fn cameras(&self) -> Vec<String>;

    /// Calls `use_engine` with the engine of a camera. Returns false without a call if the camera is not active.
    fn with_engine(&self, camera: usize, use_engine: &mut dyn FnMut(&Engine)) -> bool;

    /// Returns why a camera is not active, in words.
    fn inactivity(&self, camera: usize) -> String;

    /// Returns the last snapshot of an active camera.
    fn snapshot(&self, camera: usize) -> Option<Snapshot>;

    /// Returns the persistence of the objects that a page starts.
    fn persistence(&self, _camera: usize) -> Persistence {
        Persistence::Hold
    }

    /// Returns the phrases whose objects are searched for on the pictures of a camera; `None` without a text model.
    fn phrases(&self, _camera: usize) -> Option<Vec<String>> {
        None
    }

    /// Replaces these phrases with those of a text: phrases with commas between them, or none. Returns the answer.
    ///
    /// # Errors
    /// There is no text model, or the text is refused as a whole.
    fn set_text(&self, _camera: usize, _text: &str) -> Result<oneshot::Receiver<Result<Understood, String>>, String> {
        Err("there is no text model here".to_owned())
    }

    /// Returns the files that are shown instead of a camera.
    fn files(&self) -> Option<Arc<dyn Files>> {
        None
    }
}

/// Pictures of files, which are shown one at a time. Calls may take as long as reading a picture does.
pub trait Files: Send + Sync {
    /// Returns the pictures, and which one is shown.
    fn timeline(&self) -> Timeline;

    /// Shows the picture of that index.
    ///
    /// # Errors
    /// The picture cannot be read.
    fn show(&self, index: usize) -> Result<(), String>;

    /// Saves the masks of a result, or its prompts, beside the files.
    ///
    /// # Errors
    /// A file cannot be written.
    fn save(&self, result: &FrameResult) -> Result<Saved, String>;
}

/// The pictures of files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    /// Index of the picture that is shown.
    pub index: usize,
    pub count: usize,
    /// Name of the picture that is shown.
    pub name: String,
    /// Frames a second of a video; `None` for single pictures.
    pub rate: Option<f64>,
}

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Number and kind of the saved things, such as "2 masks".
    pub content: String,
    /// Paths of the files, for the person.
    pub files: Vec<String>,
}
