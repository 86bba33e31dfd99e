//! Arguments of `promptseg everything`.

use crate::coco::CocoArguments;
use crate::generator_arguments::{GeneratorArguments, OverlapArguments};
use crate::model_arguments::ModelArguments;
use crate::output_arguments::{Destination, PictureArguments};

const EXAMPLES: &str = "\
Destination of the masks:
  png             NAME_labels.png for each picture, in the current folder or in --out
  sa1b            one JSON document for each picture: a line on standard output, or NAME.json in --out
  coco            one JSON document for all pictures on standard output, in --out, or in --out/instances.json
  coco-results    the same, --out/results.json

Examples:
  promptseg everything photo.jpg --overlay
  promptseg everything shots/ --format coco --out shots/instances.json
  promptseg everything photo.jpg --region 100,80,400,300 --points-per-side 64
  promptseg everything photo.jpg --mask-nms-thresh 0.8 --disjoint certain --overlay
  promptseg everything 'shots/*.jpg' --format sa1b --out masks/ --crop-n-layers 1 --crop-n-points-downscale-factor 2

Exit codes: 0 done, 1 failure (the other pictures are done), 2 wrong usage.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    pub pictures: PictureArguments,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Png)]
    pub format: Format,
    /// Also draw NAME_overlay.png: the picture with all masks, in colours that tell neighbours apart.
    #[arg(long)]
    pub overlay: bool,
    #[command(flatten)]
    pub destination: Destination,
    #[command(flatten)]
    pub coco: CocoArguments,
    #[command(flatten)]
    pub generator: GeneratorArguments,
    #[command(flatten)]
    pub overlap: OverlapArguments,
    #[command(flatten)]
    pub model: ModelArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Grey pictures of 16 bits: the number of the mask from 1 on, 0 where no mask is. Smaller masks lie over larger masks.
    Png,
    /// The JSON of the data set SA-1B, a document for each picture.
    Sa1b,
    /// A data set of COCO for all pictures, as pycocotools reads it.
    Coco,
    /// Results for COCO's evaluation, as `loadRes` of pycocotools reads them.
    CocoResults,
}

impl Format {
    /// Extensions of the format's files.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Format::Png => &["png"],
            Format::Sa1b => &["json", "jsonl"],
            Format::Coco | Format::CocoResults => &["json"],
        }
    }
}
