//! `promptseg proposals`: boxes that may hold an object, ranked.

use image::RgbImage;
use promptseg::everything::GeneratedMask;
use promptseg::everything::proposals::{self, MOST_PROPOSALS, Proposal};
use promptseg::pixels::{Mask, OverlayObject, draw_overlay};
use promptseg::prompt::BoxPrompt;
use serde_json::{Value, json};

use crate::coco::{self, CocoArguments, CocoFile, Form};
use crate::failure::Failure;
use crate::files::Target;
use crate::formats::rounded;
use crate::generation::{Generation, tight_box};
use crate::generator_arguments::GeneratorArguments;
use crate::model_arguments::ModelArguments;
use crate::output_arguments::{Destination, PictureArguments};
use crate::pictures::{self, display};
use crate::results::Results;
use crate::terminal;

/// Number of proposals on an overlay.
const DRAWN: usize = 20;

const EXAMPLES: &str = "\
The result is a list for COCO's evaluation: for each proposal `image_id`, `bbox` [x, y, width, height], `score` (predicted
IoU times stability score), `segmentation` (run lengths). Proposals have no class: set `useCats = 0`.

Examples:
  promptseg proposals photo.jpg --overlay > results.json
  promptseg proposals val2017/ --image-ids instances_val2017.json --out results.json

Exit codes: 0 done, 1 failure (the other pictures are done), 2 wrong usage.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    pictures: PictureArguments,
    /// Most proposals for a picture.
    #[arg(long, value_name = "N", default_value_t = MOST_PROPOSALS as u32, value_parser = clap::value_parser!(u32).range(1..=MOST_PROPOSALS as i64))]
    most: u32,
    /// Also draw NAME_overlay.png: the picture with the boxes of the best 20 proposals.
    #[arg(long)]
    overlay: bool,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    coco: CocoArguments,
    #[command(flatten)]
    generator: GeneratorArguments,
    #[command(flatten)]
    model: ModelArguments,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    // Settings that no model can use are refused before a model is loaded.
    let settings = arguments.generator.settings(proposals::settings())?;
    let pictures = pictures::find(&arguments.pictures.images)?;
    let destination = &arguments.destination;
    let target = Target::from_argument(&["json"], true, destination.out.as_deref()).map_err(Failure::Usage)?;
    let inputs = arguments.coco.files().chain(arguments.generator.files());
    let results = Results::plan(target, destination, arguments.overlay, &pictures, inputs)?;
    let mut file = CocoFile::plan(Form::Results, &arguments.coco, &results, &pictures)?;
    let mut generation = Generation::open(&arguments.model, |_| Ok(settings))?;
    let model = generation.model_name().to_owned();
    let clicks = generation.clicks();
    let bar = terminal::progress(pictures.len().saturating_mul(clicks as usize), "clicks");
    let done = pictures::for_each(&pictures, &bar, clicks, |index, path| {
        let failed = |e: String| format!("{}: {e}", display(path));
        bar.set_message(display(path));
        file.check(index).and_then(|()| results.check(index, &[])).map_err(failed)?;
        let (image, masks) = generation.masks(index, path, &bar)?;
        let mut list = proposals::proposals(&masks);
        list.truncate(arguments.most as usize);
        let annotations = list.iter().map(|proposal| annotation(proposal, &masks)).collect();
        file.add(index, image.dimensions(), &model, annotations, results.writer()).map_err(failed)?;
        let line = results.write_overlay(index, || draw(&image, &list)).map_err(failed)?;
        Ok(line.into_iter().collect())
    });
    let finished = file.finish();
    done?;
    Ok(finished?)
}

fn annotation(proposal: &Proposal, masks: &[GeneratedMask]) -> Value {
    let found = &masks[proposal.mask];
    let mut annotation = coco::annotation(&found.mask, tight_box(found), proposal.score);
    annotation["predicted_iou"] = json!(rounded(found.predicted_iou));
    annotation["stability_score"] = json!(rounded(found.stability_score));
    annotation
}

/// Draws the boxes of the best proposals with their ranks and scores, the best on top.
fn draw(image: &RgbImage, list: &[Proposal]) -> RgbImage {
    let nothing = Mask::empty(image.width(), image.height());
    let object = |(rank, proposal): (u32, &Proposal)| {
        let b = proposal.bbox;
        let bbox = BoxPrompt {
            x_min: b.x_min as f32,
            y_min: b.y_min as f32,
            x_max: b.x_max as f32 + 1.0,
            y_max: b.y_max as f32 + 1.0,
        };
        OverlayObject { mask: &nothing, id: rank, iou: proposal.score, class_id: "", points: &[], bbox: Some(bbox) }
    };
    let objects: Vec<OverlayObject> = (1..).zip(list.iter().take(DRAWN)).map(object).collect();
    draw_overlay(image, &objects.into_iter().rev().collect::<Vec<_>>())
}
