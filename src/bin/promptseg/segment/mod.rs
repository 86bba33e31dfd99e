//! `promptseg segment`: masks of objects in pictures.

mod answer;
mod arguments;
mod in_depth;
mod masks;
mod output;
mod prompts;

use indicatif::ProgressBar;
use promptseg::model::{Candidates, DecodeOptions};

use crate::failure::Failure;
use crate::pictures::{self, display, read_image};
use crate::terminal;
pub use arguments::Arguments;
use in_depth::Depth;
use masks::Masks;
use output::Output;
use prompts::Prompts;

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let prompts = Prompts::read(&arguments.prompts, arguments.text.phrases()?.is_some())?;
    let pictures = pictures::find(&arguments.pictures.images)?;
    check_depth(arguments, pictures.len())?;
    let depth = Depth::read(&arguments.depth)?;
    let mut output = Output::plan(arguments, &pictures, prompts.as_ref().map(Prompts::objects))?;
    let mut masks = Masks::open(arguments, prompts)?;
    let origin = masks.origin();
    if let Some(finder) = masks.finder() {
        output.set_classes(finder.classes());
    }
    let candidates = if arguments.all { Candidates::Multi } else { Candidates::Auto };
    let (all_masks, certain) = (arguments.all, depth.is_some());
    let options = DecodeOptions { candidates, all_masks, certain, ..DecodeOptions::default() };

    let bar = match pictures.len() {
        1 => ProgressBar::hidden(),
        several => terminal::progress(several, "pictures"),
    };
    let done = pictures::for_each(&pictures, &bar, 1, |index, path| {
        let failed = |e: String| format!("{}: {e}", display(path));
        output.check(index).map_err(failed)?;
        let mut answer = masks.on(read_image(path)?, &options).map_err(failed)?;
        if let Some(depth) = &depth {
            let in_depth = answer.objects.iter().map(|object| depth.measure(&object.best));
            answer.in_depth = in_depth.collect::<Result<_, _>>().map_err(failed)?;
        }
        if masks.finder().is_some() && answer.objects.is_empty() {
            bar.suspend(|| terminal::note(format!("{}: no object of --text", display(path))));
        }
        output.write(index, path, &answer, &origin).map_err(failed)
    });
    let finished = output.finish();
    done?;
    Ok(finished?)
}

/// Checks that depth is given for the formats that describe objects in metres, and for no other.
fn check_depth(arguments: &Arguments, pictures: usize) -> Result<(), Failure> {
    let wrong = match (&arguments.depth.depth, arguments.format.in_depth()) {
        (None, true) => "objects in metres need the depth of the picture: give --depth and --camera-info",
        (Some(_), false) => "--depth is for objects in metres: give --format ply or json3d",
        (Some(_), true) if pictures > 1 => "--depth is the depth of one picture; give one picture",
        (Some(_), true) if arguments.all => "the formats ply and json3d describe the best mask alone; leave out --all",
        _ => return Ok(()),
    };
    Err(Failure::Usage(wrong.to_owned()))
}
