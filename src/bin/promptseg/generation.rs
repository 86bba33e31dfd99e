//! A model that finds the masks of everything, for the commands `everything` and `proposals`.

use std::ops::ControlFlow;
use std::path::Path;

use image::RgbImage;
use indicatif::ProgressBar;
use promptseg::everything::{AutomaticMaskGenerator, GeneratedMask, Progress, Settings};
use promptseg::model::{Model, ModelInfo};
use promptseg::pixels::PixelRect;

use crate::failure::Failure;
use crate::model_arguments::ModelArguments;
use crate::pictures::{display, read_image};
use crate::terminal;

/// A model with a generator.
pub struct Generation {
    model: Model,
    generator: AutomaticMaskGenerator,
    /// Number of clicks for one picture.
    clicks: u64,
}

impl Generation {
    /// Opens the model. `settings` returns the settings for the model.
    ///
    /// # Errors
    /// The model cannot be opened or cannot answer the prompts of the generator, or a setting is out of range.
    pub fn open(
        model: &ModelArguments,
        settings: impl FnOnce(&ModelInfo) -> Result<Settings, Failure>,
    ) -> Result<Generation, Failure> {
        let spinner = terminal::spinner("loading the model");
        let model = model.open(false)?;
        spinner.finish_and_clear();
        let settings = settings(&model.info)?;
        check_model(&model.info, &settings)?;
        let clicks = settings.points();
        Ok(Generation { model, generator: AutomaticMaskGenerator::new(settings)?, clicks })
    }

    /// Returns the name of the model.
    pub fn model_name(&self) -> &str {
        &self.model.info.name
    }

    /// Returns the number of clicks for one picture.
    pub fn clicks(&self) -> u64 {
        self.clicks
    }

    /// Reads picture number `index` and finds its masks. Errors name the picture.
    pub fn masks(
        &mut self,
        index: usize,
        path: &Path,
        bar: &ProgressBar,
    ) -> Result<(RgbImage, Vec<GeneratedMask>), String> {
        let image = read_image(path)?;
        let mut show = show_progress(bar, index, self.clicks);
        let masks = self.generator.generate(&mut self.model.encoder, &mut self.model.decoder, &image, &mut show);
        Ok((image, masks.map_err(|e| format!("{}: {e}", display(path)))?))
    }
}

/// Returns the tight box of a mask; none for an empty mask.
pub fn tight_box(found: &GeneratedMask) -> Option<PixelRect> {
    let b = found.bbox;
    let (width, height) = (b.x_max - b.x_min + 1, b.y_max - b.y_min + 1);
    (found.area > 0).then_some(PixelRect { x: b.x_min, y: b.y_min, width, height })
}

/// Returns a function that moves a bar of `clicks` steps for each picture.
pub fn show_progress(bar: &ProgressBar, index: usize, clicks: u64) -> impl FnMut(Progress) -> ControlFlow<()> {
    move |progress| {
        let done = progress.decoded.min(progress.points) * clicks / progress.points.max(1);
        bar.set_position(index as u64 * clicks + done);
        ControlFlow::Continue(())
    }
}

/// Checks that a model can answer the prompts of the generator.
///
/// # Errors
/// The model does not take the prompts, or takes one object in each run of the decoder.
pub fn check_model(info: &ModelInfo, settings: &Settings) -> Result<(), String> {
    let name = &info.name;
    if let Some(part) = info.refusal(&settings.example_prompt()) {
        return Err(format!("{name} does not take {part}, which this command needs; it takes {}", info.takes()));
    }
    if !info.batched {
        return Err(format!(
            "{name} decodes one object in each run, and this command has hundreds of prompts; expected a model that takes \
             several objects, as promptseg-export writes them"
        ));
    }
    Ok(())
}
