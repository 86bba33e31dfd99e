//! `promptseg everything`: the masks of everything in pictures.

mod arguments;
mod output;
mod sa1b;

use promptseg::everything::Settings;

use crate::failure::Failure;
use crate::generation::Generation;
use crate::pictures::{self, display};
use crate::terminal;
pub use arguments::Arguments;
use output::Output;

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = |defaults| arguments.overlap.apply(arguments.generator.settings(defaults)?);
    // Settings that no model can use are refused before a model is loaded.
    settings(Settings::default())?;
    let pictures = pictures::find(&arguments.pictures.images)?;
    let mut output = Output::plan(arguments, &pictures)?;
    let mut generation = Generation::open(&arguments.model, |info| settings(Settings::for_model(info.grid_defaults)))?;
    let model = generation.model_name().to_owned();
    let clicks = generation.clicks();
    let bar = terminal::progress(pictures.len().saturating_mul(clicks as usize), "clicks");
    let done = pictures::for_each(&pictures, &bar, clicks, |index, path| {
        let failed = |e: String| format!("{}: {e}", display(path));
        bar.set_message(display(path));
        output.check(index).map_err(failed)?;
        let (image, masks) = generation.masks(index, path, &bar)?;
        output.write(index, &image, &masks, &model).map_err(failed)
    });
    let finished = output.finish();
    done?;
    Ok(finished?)
}
