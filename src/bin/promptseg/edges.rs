//! `promptseg edges`: an image of the edges in a picture.

use std::path::PathBuf;

use promptseg::everything::Settings;
use promptseg::everything::edges::{EdgeSettings, edges};
use promptseg::model::Model;

use crate::failure::Failure;
use crate::files::Target;
use crate::formats::png;
use crate::generation::{check_model, show_progress};
use crate::model_arguments::ModelArguments;
use crate::output_arguments::{Destination, PictureArguments};
use crate::pictures::{self, display, read_image};
use crate::results::Results;
use crate::terminal;

const EXAMPLES: &str = "\
The edges are NAME_edges.png, a grey picture of 8 bits: 255 is the strongest edge of the picture.

Examples:
  promptseg edges photo.jpg
  promptseg edges shots/ --points-per-side 32 --no-thinning --out edges/

Exit codes: 0 done, 1 failure (the other pictures are done), 2 wrong usage.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    pictures: PictureArguments,
    #[command(flatten)]
    destination: Destination,
    /// Clicks along each side of the image.
    #[arg(long, value_name = "N", default_value_t = 16, allow_negative_numbers = true)]
    points_per_side: u32,
    /// Clicks in one run of the decoder.
    #[arg(long, value_name = "N", default_value_t = 64, allow_negative_numbers = true)]
    points_per_batch: usize,
    /// Of two masks whose boxes overlap with an IoU above this, drop the less certain mask.
    #[arg(long, value_name = "IOU", default_value_t = 0.7, allow_negative_numbers = true)]
    box_nms_thresh: f64,
    /// Write the edges in their full width; the default leaves their ridges.
    #[arg(long)]
    no_thinning: bool,
    #[command(flatten)]
    model: ModelArguments,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = EdgeSettings {
        points_per_side: arguments.points_per_side,
        points_per_batch: arguments.points_per_batch,
        box_nms_thresh: arguments.box_nms_thresh,
        ..EdgeSettings::default()
    };
    settings.check().map_err(|e| Failure::Usage(e.to_string()))?;
    let pictures = pictures::find(&arguments.pictures.images)?;
    let results = plan(arguments, &pictures)?;
    let spinner = terminal::spinner("loading the model");
    let Model { info, mut encoder, mut decoder } = arguments.model.open(false)?;
    spinner.finish_and_clear();
    check_model(&info, &Settings::default())?;
    let clicks = u64::from(settings.points_per_side).pow(2);
    let bar = terminal::progress(pictures.len().saturating_mul(clicks as usize), "clicks");
    pictures::for_each(&pictures, &bar, clicks, |index, path| {
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", display(path));
        bar.set_message(display(path));
        results.check(index, &["_edges.png".to_owned()]).map_err(|e| failed(&e))?;
        let image = read_image(path)?;
        let mut show = show_progress(&bar, index, clicks);
        let mut map = edges(&settings, &mut encoder, &mut decoder, &image, &mut show).map_err(|e| failed(&e))?;
        if !arguments.no_thinning {
            map = map.thinned();
        }
        let line = results.write(index, "_edges.png", &png(&map.to_image().into())?).map_err(|e| failed(&e))?;
        Ok(line.into_iter().collect())
    })
}

/// Decides which files the run writes, and creates their folder.
fn plan(arguments: &Arguments, pictures: &[PathBuf]) -> Result<Results, Failure> {
    let destination = &arguments.destination;
    let target = Target::from_argument(&["png"], false, destination.out.as_deref()).map_err(Failure::Usage)?;
    if pictures.len() > 1 && !matches!(target, Target::Folder(_)) {
        return Err(Failure::Usage("a single file holds the edges of one picture; give --out a folder".to_owned()));
    }
    Results::plan(target, destination, false, pictures, [])
}
