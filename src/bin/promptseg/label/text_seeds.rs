//! Objects that phrases name, on every Nth frame of a run.

use image::RgbImage;
use promptseg::engine::DetectedBox;
use promptseg::model::ModelInfo;
use serde_json::Value;

use super::arguments::Arguments;
use crate::failure::Failure;
use crate::text::{Named, TextFinder};

/// Frames after which a model with memory is told of new objects.
const EVERY: usize = 30;

/// The finder of a run, and the frames on which it looks.
pub struct TextSeeds {
    finder: TextFinder,
    every: usize,
}

impl TextSeeds {
    /// Opens the text model. Returns none without `--text`.
    pub fn open(arguments: &Arguments, info: &ModelInfo) -> Result<Option<Self>, Failure> {
        let finder = arguments.text.open(&arguments.model.session_options()?, info)?;
        // Without a memory nothing follows an object to the next frame.
        let default = if info.memory.is_some() { EVERY } else { 1 };
        let every = arguments.text_every.map_or(default, |every| every as usize);
        Ok(finder.map(|finder| TextSeeds { finder, every }))
    }

    /// Finds the objects on the frame with the index `at` among the frames of the run, if it is one of those frames.
    pub fn on(&mut self, at: usize, image: &RgbImage) -> Result<Vec<DetectedBox>, String> {
        if !at.is_multiple_of(self.every) {
            return Ok(Vec::new());
        }
        let named = self.finder.find(image).map_err(|e| e.to_string())?;
        Ok(named.into_iter().map(Named::detection).collect())
    }

    /// Describes what the objects depend on.
    pub fn description(&self) -> Value {
        let mut description = self.finder.description();
        description["every"] = self.every.into();
        description
    }
}
