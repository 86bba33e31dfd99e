//! `promptseg track`: objects through a video, a folder of pictures or a bag.

mod arguments;
mod newcomers;
mod output;
mod overlay;
mod prompts;
mod tracker;

use std::path::PathBuf;

use promptseg::model::Model;

use crate::clips::Clip;
use crate::failure::Failure;
use crate::pictures::read_mask;
use crate::terminal;
use crate::text::PeriodicFinder;
pub use arguments::Arguments;
use output::Output;
use prompts::Prompts;
use tracker::Tracker;

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let has_text = arguments.text.phrases()?.is_some();
    let prompts = Prompts::read(&arguments.prompts, has_text)?;
    if has_text && arguments.reverse {
        let message = "--text names objects from the first frame on: leave out --reverse";
        return Err(Failure::Usage(message.to_owned()));
    }
    for file in arguments.prompts.files() {
        read_mask(file)?;
    }
    let clip = Clip::find(&arguments.clip, arguments.image.as_deref())?;
    if let Some(frames) = clip.len().filter(|frames| prompts.last() >= *frames) {
        let last = prompts.last();
        return Err(Failure::Usage(format!(
            "a prompt is on frame {last}, but the clip has frames 0 to {}",
            frames - 1
        )));
    }
    let backward_from = arguments.reverse.then(|| prompts.last());
    let frames = clip.frames(backward_from)?;
    let mut output = Output::plan(arguments, &clip)?;

    let spinner = terminal::spinner("loading the model");
    let Model { info, mut encoder, mut decoder } = arguments.model.open(true)?;
    spinner.finish_and_clear();
    let finder = arguments.text.open(&arguments.model.session_options()?)?;
    if let Some(finder) = &finder {
        finder.check_masks_of(&info)?;
    }
    let finder = finder.map(|finder| PeriodicFinder { finder, every: arguments.text_every as usize });
    let Some(network) = decoder.network() else {
        return Err(format!(
            "{} has no memory, which tracking needs: give --model a bundle of SAM 2, SAM 2.1 or EdgeTAM with memory \
             (promptseg-export creates such bundles)",
            info.name
        )
        .into());
    };
    let mut tracker = Tracker::new(arguments, &prompts, &clip, network.spec());
    let first = if arguments.reverse { prompts.last() } else { prompts.first() };
    let total = clip.len().map(|all| if arguments.reverse { first + 1 } else { all });
    let bar = terminal::progress_or_count(total, "frames");
    let followed = tracker.follow(frames, (&mut encoder, network), finder, &mut output, &bar);
    bar.finish_and_clear();
    // The files are completed even if following failed.
    let finished = output.finish(tracker.objects().max(prompts.objects().len()));
    let last_frame = followed?;
    finished?;
    if last_frame.is_none_or(|last_frame| !arguments.reverse && last_frame < prompts.last()) {
        let frames = last_frame.map_or(0, |last_frame| last_frame + 1);
        let (last, name) = (prompts.last(), clip_name(&arguments.clip));
        return Err(format!("{name} has {frames} frames, but a prompt is on frame {last}").into());
    }
    Ok(())
}

fn clip_name(paths: &[PathBuf]) -> String {
    paths.first().map_or_else(String::new, |path| path.display().to_string())
}
