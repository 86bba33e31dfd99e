//! Objects that phrases name, on every Nth frame of a run.

use image::RgbImage;
use promptseg::engine::DetectedBox;
use promptseg::model::ModelInfo;
use serde_json::Value;

use super::arguments::Arguments;
use crate::failure::Failure;
use crate::text::{Named, PeriodicFinder};

/// Frames after which a model with memory is told of new objects.
const EVERY: usize = 30;

/// The finder of a run.
pub struct TextSeeds(PeriodicFinder);

impl TextSeeds {
    /// Opens the text model. Returns none without `--text`.
    pub fn open(arguments: &Arguments, info: &ModelInfo) -> Result<Option<Self>, Failure> {
        let finder = arguments.text.open(&arguments.model.session_options()?)?;
        if let Some(finder) = &finder {
            finder.check_masks_of(info)?;
        }
        // Without a memory nothing follows an object to the next frame.
        let default = if info.memory.is_some() { EVERY } else { 1 };
        let every = arguments.text_every.map_or(default, |every| every as usize);
        Ok(finder.map(|finder| TextSeeds(PeriodicFinder { finder, every })))
    }

    /// Finds the objects on the frame with the index `at` among the frames of the run, if it is one of those frames.
    pub fn on(&mut self, at: usize, image: &RgbImage) -> Result<Vec<DetectedBox>, String> {
        let named = self.0.on(at, image).map_err(|e| e.to_string())?;
        Ok(named.into_iter().map(Named::detection).collect())
    }

    /// Describes what the objects depend on.
    pub fn description(&self) -> Value {
        let mut description = self.0.finder.description();
        description["every"] = self.0.every.into();
        description
    }
}
