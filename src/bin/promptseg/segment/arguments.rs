//! Arguments of `promptseg segment`.

use super::in_depth::DepthArguments;
use super::prompts::PromptArguments;
use crate::coco::CocoArguments;
use crate::model_arguments::ModelArguments;
use crate::output_arguments::{Destination, PictureArguments};
use crate::text::TextArguments;

const EXAMPLES: &str = "\
Objects:
  All --point together are one object; --box or --mask belong to the same object.
  Several --box are one object each. With --each, every --point is an object of its own.
  With --text, every object that a phrase names.

Destination of the masks:
  png, npy, ply               files NAME_mask.png, NAME_mask.npy, NAME_cloud.ply in the current folder or in --out
  coco-rle, polygon, json(3d) one line of JSON for each picture on standard output or in --out
  coco                        one JSON document for all pictures on standard output, in --out, or in --out/instances.json

Examples:
  promptseg segment photo.jpg --point 320,240
  promptseg segment photo.jpg --point 320,240 --point 80,60,0 --overlay
  promptseg segment photo.jpg --box 10,20,200,180 --box 250,30,400,220 --format coco-rle
  promptseg segment photo.jpg --point 320,240 --out mask.png
  promptseg segment shots/ 'more/*.png' --box 10,20,200,180 --format json --out masks.jsonl
  promptseg segment photo.jpg --point 320,240 --format json | jq '.masks[0].iou'
  promptseg segment photo.jpg --text \"red cup, person\" --text-model owlv2/ --format json
  promptseg segment photo.png --point 320,240 --depth depth.png --camera-info camera.yaml --format ply

Exit codes: 0 done, 1 failure (the other pictures are done), 2 wrong usage.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    pub pictures: PictureArguments,
    #[command(flatten)]
    pub prompts: PromptArguments,
    #[command(flatten)]
    pub text: TextArguments,
    #[command(flatten)]
    pub depth: DepthArguments,
    /// Write every candidate of the decoder instead of the best.
    #[arg(long)]
    pub all: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Png)]
    pub format: Format,
    /// Also draw NAME_overlay.png: the picture with the best masks, prompts and scores.
    #[arg(long)]
    pub overlay: bool,
    #[command(flatten)]
    pub destination: Destination,
    #[command(flatten)]
    pub coco: CocoArguments,
    #[command(flatten)]
    pub model: ModelArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Grey pictures of the image's size: 255 inside, 0 outside.
    Png,
    /// COCO's compressed run lengths, as pycocotools writes them.
    CocoRle,
    /// Contours along the borders of pixels, as COCO writes them, with the holes in a separate list.
    Polygon,
    /// A data set of COCO for all pictures, as pycocotools reads it.
    Coco,
    /// Scores, boxes, areas, candidates, times and run lengths.
    Json,
    /// A numpy array of booleans, [masks, height, width].
    Npy,
    /// The points of all objects in metres, with their colours and the number of their object; needs --depth.
    Ply,
    /// Position, box and accuracy of each object in metres; needs --depth.
    Json3d,
}

impl Format {
    /// Extensions of the format's files.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Format::Png => &["png"],
            Format::Npy => &["npy"],
            Format::Ply => &["ply"],
            Format::Coco => &["json"],
            _ => &["json", "jsonl"],
        }
    }

    /// Returns whether the format is text, which goes to standard output.
    pub fn is_text(self) -> bool {
        !matches!(self, Format::Png | Format::Npy | Format::Ply)
    }

    /// Returns whether the format describes objects in metres, which takes depth.
    pub fn in_depth(self) -> bool {
        matches!(self, Format::Ply | Format::Json3d)
    }
}
