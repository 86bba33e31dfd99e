//! `promptseg track`: objects through a video or a folder of pictures.

mod clip;
mod output;
mod prompts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use promptseg::model::network::{MAX_CONDITIONING, MemorySpec, Network};
use promptseg::model::{Embedding, ImageEncoder, Model};
use promptseg::pixels::{MaskInput, SquareMask};
use promptseg::prompt::Prompt;
use promptseg::video::{Direction, Limits, Position, Track, TrackedMask, separate};

use super::{Failure, read_mask, terminal};
use clip::Clip;
use output::{Format, Output, Seen};
use prompts::{Prompts, Said};

const EXAMPLES: &str = "\
Objects:
  Each --point, --box and --mask belongs to an object (1 without a number) and a frame (0 without one; frames count from 0):
  --point 2@30:X,Y is a point of object 2 on frame 30. A prompt on a later frame corrects the object from there on; an object
  that comes later is seen from its first prompt on.

Where the masks go:
  png          NAME_mask_OBJECT.png for each frame and object, into the current folder or into --out
  coco-rle     one line of JSON for each frame on the standard output, or into --out

Examples:
  promptseg track frames/ --model sam2.1 --point 320,240 --out tracked/ --overlay
  promptseg track drive.mp4 --model sam2.1 --point 320,240 --box 2@40:10,20,200,180 --format coco-rle > masks.jsonl
  promptseg track frames/ --model sam2.1 --point @99:320,240 --reverse --out tracked/

The model must have memory: SAM 2, SAM 2.1 or EdgeTAM, as promptseg-export makes them. Videos are read and written by
ffmpeg; without it give a folder of pictures, and overlays are pictures too.

Exit codes: 0 done, 1 something failed, 2 wrong usage.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A video, or a folder of JPEG or PNG files in the order of the numbers in their names, or files, or patterns in quotes;
    /// or - for a video on the standard input.
    #[arg(required = true, value_name = "VIDEO_OR_FOLDER")]
    clip: Vec<PathBuf>,
    #[command(flatten)]
    prompts: prompts::PromptArguments,
    /// From the last prompt back to the first frame.
    #[arg(long)]
    reverse: bool,
    /// What to write.
    #[arg(long, value_enum, default_value_t = Format::Png)]
    format: Format,
    /// Also the frames with their masks: overlay.mp4 where ffmpeg is there, else NAME_overlay.png.
    #[arg(long)]
    overlay: bool,
    /// A folder; for coco-rle also a .json or .jsonl file, or - for the standard output.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Replace files that are there; without it they stay as they are. Files that were given are never replaced.
    #[arg(long)]
    overwrite: bool,
    /// Earlier frames that each frame is looked at with, beside those with prompts; fewer are quicker and lose more.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(0..=6))]
    memories: u8,
    /// Prompted frames of an object that are kept and looked at: the first, and the last ones.
    #[arg(long, value_name = "N", default_value_t = MAX_CONDITIONING as u8, value_parser = clap::value_parser!(u8).range(1..=MAX_CONDITIONING as i64))]
    prompted_frames: u8,
    /// Holes of at most so many cells of the low-resolution mask are filled.
    #[arg(long, value_name = "CELLS", default_value_t = 8)]
    fill_holes: usize,
    /// Each pixel to the surest object only.
    #[arg(long)]
    no_overlap: bool,
    #[command(flatten)]
    model: super::ModelArguments,
}

/// The objects so far.
struct Tracker<'a> {
    arguments: &'a Arguments,
    prompts: &'a Prompts,
    clip: &'a Clip,
    spec: MemorySpec,
    limits: Limits,
    tracks: BTreeMap<u32, Track>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let prompts = Prompts::read(&arguments.prompts)?;
    for file in arguments.prompts.files() {
        read_mask(file)?;
    }
    let clip = Clip::find(&arguments.clip)?;
    if let Some(frames) = clip.len().filter(|frames| prompts.last() >= *frames) {
        let last = prompts.last();
        return Err(Failure::Usage(format!("a prompt on frame {last}, and the clip has frames 0 to {}", frames - 1)));
    }
    let backward_from = arguments.reverse.then(|| prompts.last());
    let frames = clip.frames(backward_from)?;
    let mut output = Output::plan(arguments, &clip)?;

    let wheel = terminal::spinner("loading the model");
    let Model { info, mut encoder, mut decoder } = arguments.model.open(true)?;
    wheel.finish_and_clear();
    let Some(network) = decoder.network() else {
        return Err(Failure::Failed(
            format!(
                "{} has no memory to track with: --model takes a bundle of SAM 2, SAM 2.1 or EdgeTAM with it (promptseg-export makes them)",
                info.name
            )
            .into(),
        ));
    };
    // In the order in which frames are gone through.
    let limits = Limits {
        recent: usize::from(arguments.memories),
        keep: Some(usize::from(arguments.prompted_frames)),
        length: clip.len(),
        ..Limits::default()
    };
    let mut tracker =
        Tracker { arguments, prompts: &prompts, clip: &clip, spec: network.spec(), limits, tracks: BTreeMap::new() };
    let starts_at = if arguments.reverse { prompts.last() } else { prompts.first() };
    let total = clip.len().map(|all| if arguments.reverse { starts_at + 1 } else { all });
    let bar = terminal::progress_or_count(total, "frames");
    let followed = tracker.follow(frames, &mut encoder, network, &mut output, &bar);
    bar.finish_and_clear();
    // What there is stays, whatever ended it.
    let finished = output.finish(prompts.objects().len());
    let reached = followed?;
    finished?;
    if reached.is_none_or(|reached| !arguments.reverse && reached < prompts.last()) {
        let frames = reached.map_or(0, |reached| reached + 1);
        let (last, name) = (prompts.last(), clip_name(&arguments.clip));
        return Err(Failure::Failed(format!("{name} has {frames} frames, and a prompt is on frame {last}").into()));
    }
    Ok(())
}

fn clip_name(given: &[PathBuf]) -> String {
    given.first().map_or_else(String::new, |path| path.display().to_string())
}

impl Tracker<'_> {
    /// Goes through the frames; returns the number of the last one.
    ///
    /// # Errors
    /// The first frame that cannot be read, followed or written. What was written of the frames before it stays.
    fn follow(
        &mut self,
        frames: clip::Frames,
        encoder: &mut ImageEncoder,
        network: &mut dyn Network,
        output: &mut Output,
        bar: &indicatif::ProgressBar,
    ) -> Result<Option<usize>, String> {
        let mut reached = None;
        for (position, frame) in frames.enumerate() {
            let before = |e: String| match position {
                0 => e,
                1 => format!("{e}; the frame before it is done"),
                n => format!("{e}; the {n} frames before it are done"),
            };
            let (number, image) = frame.map_err(before)?;
            reached = Some(number);
            bar.inc(1);
            let failed = |e: &dyn std::fmt::Display| {
                before(format!("frame {number} ({}): {e}", self.clip.name(number).display()))
            };
            let mut seen = Vec::new();
            // Before the first prompt nobody knows an object.
            if !self.tracks.is_empty() || self.prompts.on(number).next().is_some() {
                let embedding = encoder.encode(&image).map_err(|e| failed(&e))?;
                let said: BTreeMap<u32, &Said> = self.prompts.on(number).collect();
                seen = self.frame(network, position as Position, &embedding, &said).map_err(|e| failed(&e))?;
            }
            let complaints = output.write(number, &image, &seen).map_err(before)?;
            bar.suspend(|| complaints.iter().for_each(terminal::warn));
        }
        Ok(reached)
    }

    /// All objects on a frame.
    fn frame(
        &mut self,
        network: &mut dyn Network,
        at: Position,
        frame: &Embedding,
        said: &BTreeMap<u32, &Said>,
    ) -> Result<Vec<Seen>, String> {
        for id in said.keys() {
            self.tracks.entry(*id).or_insert_with(|| Track::new(self.limits, self.arguments.fill_holes));
        }
        let (width, height) = frame.image_size();
        let mut seen = Vec::new();
        for (id, track) in &mut self.tracks {
            let failed = |e: &dyn std::fmt::Display| format!("object {id}: {e}");
            // Followed here first: a prompt is a correction of that.
            let mut answer: Option<TrackedMask> =
                track.step(network, at, frame, Direction::Forward).map_err(|e| failed(&e))?;
            let mut prompt = Prompt::default();
            if let Some(said) = said.get(id) {
                if let Some(file) = &said.mask {
                    let mask = square(file, (width, height), self.spec.image_side)?;
                    answer = Some(track.mask(network, at, frame, &mask).map_err(|e| failed(&e))?);
                }
                if !said.prompt.points.is_empty() || said.prompt.bbox.is_some() {
                    prompt = said.prompt.check(width, height).map_err(|e| failed(&e))?;
                    answer = Some(track.prompt(network, at, frame, &prompt).map_err(|e| failed(&e))?);
                }
                track.settle(network, at, frame).map_err(|e| failed(&e))?;
                track.visit(at);
            }
            // None: it comes later.
            if let Some(answer) = answer {
                let low_res = answer.mask.to_vec();
                seen.push(Seen { id: *id, iou: answer.iou, object_score: answer.object_score, low_res, prompt });
            }
        }
        if self.arguments.no_overlap {
            let mut masks: Vec<&mut [f32]> = seen.iter_mut().map(|s| s.low_res.as_mut_slice()).collect();
            separate(&mut masks);
        }
        Ok(seen)
    }
}

/// A mask file in the encoder's square.
fn square(file: &Path, (width, height): (u32, u32), side: usize) -> Result<SquareMask, String> {
    let failed = |reason: String| format!("{}: {reason}", file.display());
    let MaskInput::Binary { width: w, height: h, data } = read_mask(file)? else {
        return Err(failed("logits, expected a picture".to_owned()));
    };
    if (w, h) != (width, height) {
        return Err(failed(format!("a mask of {w}x{h} pixels for frames of {width}x{height}; they must be alike")));
    }
    let mask = SquareMask::from_image(&data, (width as usize, height as usize), side);
    let mask = mask.ok_or_else(|| failed("a mask without pixels".to_owned()))?;
    match mask.is_empty() {
        true => Err(failed(format!("too small: nothing of the mask is left at the model's {side}x{side} pixels"))),
        false => Ok(mask),
    }
}
