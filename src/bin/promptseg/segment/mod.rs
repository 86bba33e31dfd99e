//! `promptseg segment`: masks of objects in pictures.

pub mod output;
pub mod pictures;
mod prompts;

use std::path::{Path, PathBuf};

use image::RgbImage;
use promptseg::model::{Candidate, Candidates, DecodeOptions, DecodeTimings, Decoded, EncodeTimings, ProviderReport};
use promptseg::prompt::Prompt;
use promptseg::segmenter::Segmenter;

use super::{Failure, display, read_image, terminal};
use output::{Format, Output};
use prompts::Prompts;

const EXAMPLES: &str = "\
Objects:
  All --point together are one object, with --box or --mask as a part of the same object.
  Several --box are an object each. With --each every --point is an object of its own.

Where the masks go:
  png, npy                    files NAME_mask.png, NAME_mask.npy, into the current folder or into --out
  coco-rle, polygon, json     one line of JSON for each picture on the standard output, or into --out

Examples:
  promptseg segment photo.jpg --point 320,240
  promptseg segment photo.jpg --point 320,240 --point 80,60,0 --overlay
  promptseg segment photo.jpg --box 10,20,200,180 --box 250,30,400,220 --format coco-rle
  promptseg segment photo.jpg --point 320,240 --out mask.png
  promptseg segment shots/ 'more/*.png' --box 10,20,200,180 --format json --out masks.jsonl
  promptseg segment photo.jpg --point 320,240 --format json | jq '.masks[0].iou'

Exit codes: 0 done, 1 something failed (the other pictures are done), 2 wrong usage.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// JPEG or PNG files, folders of them, patterns in quotes, or - for the standard input.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    prompts: prompts::PromptArguments,
    /// Every candidate of the decoder instead of the best.
    #[arg(long)]
    all: bool,
    /// What to write.
    #[arg(long, value_enum, default_value_t = Format::Png)]
    format: Format,
    /// Also draw NAME_overlay.png: the picture with the best masks, prompts and scores.
    #[arg(long)]
    overlay: bool,
    /// A folder; a file with the format's extension; or - for the standard output.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Replace files that are there; without it they stay as they are. Files that were given are never replaced.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    model: super::ModelArguments,
}

/// A picture with the answers to its prompts.
pub struct Answer {
    image: RgbImage,
    prompts: Vec<Prompt>,
    objects: Vec<Decoded>,
    encode: EncodeTimings,
    decode: DecodeTimings,
}

impl Answer {
    /// The candidates of an object in the decoder's order; the best alone where only it was asked for.
    fn candidates(decoded: &Decoded) -> Vec<&Candidate> {
        let mut list: Vec<_> = std::iter::once(&decoded.best).chain(&decoded.others).collect();
        list.sort_by_key(|candidate| candidate.index);
        list
    }
}

/// What answered, for JSON.
pub struct Origin {
    model: String,
    encoder: ProviderReport,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let prompts = Prompts::read(&arguments.prompts)?;
    let pictures = pictures::find(&arguments.images)?;
    let mut output = Output::plan(arguments, &pictures, prompts.objects())?;
    let wheel = terminal::spinner("loading the model");
    let model = arguments.model.open(false)?;
    wheel.finish_and_clear();
    let origin = Origin { model: model.info.name.clone(), encoder: model.encoder.providers().clone() };
    let mut segmenter = Segmenter::new(model);
    let candidates = if arguments.all { Candidates::Multi } else { Candidates::Auto };
    let options = DecodeOptions { candidates, all_masks: arguments.all, ..DecodeOptions::default() };

    let bar = (pictures.len() > 1).then(|| terminal::progress(pictures.len(), "pictures"));
    let aside = |say: &mut dyn FnMut()| match &bar {
        Some(bar) => bar.suspend(say),
        None => say(),
    };
    let mut failed = 0;
    for (i, path) in pictures.iter().enumerate() {
        let failed_here = |e: String| format!("{}: {e}", display(path));
        let written = output
            .check(i)
            .map_err(failed_here)
            .and_then(|()| answer(&mut segmenter, path, &prompts, &options))
            .and_then(|answer| output.write(i, path, &answer, &origin).map_err(failed_here));
        match written {
            Ok(lines) => aside(&mut || lines.iter().for_each(terminal::print)),
            Err(reason) => {
                failed += 1;
                aside(&mut || terminal::warn(&reason));
            }
        }
        if let Some(bar) = &bar {
            bar.inc(1);
        }
    }
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    output.finish();
    match failed {
        0 => Ok(()),
        _ if pictures.len() == 1 => Err(Failure::Said),
        n => Err(Failure::Failed(format!("{n} of {} pictures failed; the others are done", pictures.len()).into())),
    }
}

fn answer(
    segmenter: &mut Segmenter,
    path: &Path,
    prompts: &Prompts,
    options: &DecodeOptions,
) -> Result<Answer, String> {
    let image = read_image(path)?;
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", display(path));
    let side = segmenter.info().low_res_size;
    let embedding = segmenter.set_image(&image).map_err(|e| failed(&e))?;
    let encode = embedding.timings;
    let prompts = prompts.on(&embedding.geometry, side).map_err(|e| failed(&e))?;
    let decodes = segmenter.predict_many(&prompts, options).map_err(|e| failed(&e))?;
    Ok(Answer { image, prompts, objects: decodes.objects, encode, decode: decodes.timings })
}
