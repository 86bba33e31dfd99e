//! `promptseg segment`: masks of objects in pictures.

mod answer;
mod arguments;
mod in_depth;
mod output;
mod prompts;

use std::path::Path;

use indicatif::ProgressBar;
use promptseg::model::{Candidates, DecodeOptions, Decodes};
use promptseg::prompt::Prompt;
use promptseg::segmenter::Segmenter;

use crate::failure::Failure;
use crate::pictures::{self, display, read_image};
use crate::terminal;
use crate::text::{Named, TextFinder};
use answer::{Answer, Origin};
pub use arguments::Arguments;
use in_depth::Depth;
use output::Output;
use prompts::Prompts;

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let prompts = Prompts::read(&arguments.prompts, arguments.text.phrases()?.is_some())?;
    let pictures = pictures::find(&arguments.pictures.images)?;
    check_depth(arguments, pictures.len())?;
    let depth = Depth::read(&arguments.depth)?;
    let mut output = Output::plan(arguments, &pictures, prompts.as_ref().map(Prompts::objects))?;
    let spinner = terminal::spinner("loading the model");
    let model = arguments.model.open(false)?;
    spinner.finish_and_clear();
    let origin = Origin { model: model.info.name.clone(), encoder: model.encoder.providers().clone() };
    let mut objects = match (prompts, arguments.text.open(&arguments.model.session_options()?, &model.info)?) {
        (Some(prompts), _) => Objects::Prompted(prompts),
        (None, Some(finder)) => Objects::Named(Box::new(finder)),
        (None, None) => return Err(Failure::Usage("nothing to segment".to_owned())),
    };
    if let Objects::Named(finder) = &objects {
        output.set_classes(finder.classes());
    }
    let mut segmenter = Segmenter::new(model);
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
        let answer = segment_picture(&mut segmenter, path, &mut objects, &options, depth.as_ref())?;
        if let (Objects::Named(_), []) = (&objects, answer.objects.as_slice()) {
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

/// Where the prompts of a picture come from.
enum Objects {
    /// Points, boxes and a mask of the command line.
    Prompted(Prompts),
    /// Boxes of the objects that phrases name.
    Named(Box<TextFinder>),
}

/// Reads a picture and decodes all prompts on it.
fn segment_picture(
    segmenter: &mut Segmenter,
    path: &Path,
    objects: &mut Objects,
    options: &DecodeOptions,
    depth: Option<&Depth>,
) -> Result<Answer, String> {
    let image = read_image(path)?;
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", display(path));
    let side = segmenter.info().low_res_size;
    let embedding = segmenter.set_image(&image).map_err(|e| failed(&e))?;
    let encode = embedding.timings;
    let geometry = embedding.geometry;
    let (prompts, named) = match objects {
        Objects::Prompted(prompts) => (prompts.on(&geometry, side).map_err(|e| failed(&e))?, Vec::new()),
        Objects::Named(finder) => {
            let named = finder.find(&image).map_err(|e| failed(&e))?;
            let prompt = |named: &Named| Prompt { bbox: Some(named.bbox), ..Prompt::default() };
            (named.iter().map(prompt).collect(), named)
        }
    };
    let decodes = match prompts.as_slice() {
        [] => Decodes::default(),
        prompts => segmenter.predict_many(prompts, options).map_err(|e| failed(&e))?,
    };
    let in_depth = depth
        .iter()
        .flat_map(|depth| decodes.objects.iter().map(|object| depth.measure(&object.best).map_err(|e| failed(&e))));
    let in_depth = in_depth.collect::<Result<Vec<_>, String>>()?;
    Ok(Answer { image, prompts, named, objects: decodes.objects, encode, decode: decodes.timings, in_depth })
}
