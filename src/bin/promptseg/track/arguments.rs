//! Arguments of `promptseg track`.

use std::path::PathBuf;

use promptseg::model::network::MAX_CONDITIONING;

use super::prompts::PromptArguments;
use crate::model_arguments::ModelArguments;
use crate::output_arguments::Destination;
use crate::text::TextArguments;

const EXAMPLES: &str = "\
Objects:
  Each --point, --box and --mask belongs to an object (1 by default) and a frame (0 by default; frames count from 0):
  --point 2@30:X,Y is a point of object 2 on frame 30. A prompt on a later frame corrects the object from that frame on. An
  object appears with its first prompt. With --text, each object that a phrase names is a new object, except an object that is followed
  already.

Destination of the masks:
  png          NAME_mask_OBJECT.png for each frame and object, in the current folder or in --out
  coco-rle     one line of JSON for each frame on standard output or in --out

Examples:
  promptseg track frames/ --model sam2.1 --point 320,240 --out tracked/ --overlay
  promptseg track drive.mp4 --model sam2.1 --point 320,240 --box 2@40:10,20,200,180 --format coco-rle > masks.jsonl
  promptseg track drive.mp4 --model sam2.1 --text \"person, red cup\" --text-model owlv2/ --format coco-rle > masks.jsonl
  promptseg track frames/ --model sam2.1 --point @99:320,240 --reverse --out tracked/

The model must have memory: SAM 2, SAM 2.1 or EdgeTAM, as promptseg-export creates them. ffmpeg reads and writes videos;
without ffmpeg, give a folder of pictures, and overlays are pictures too.

Exit codes: 0 done, 1 failure, 2 wrong usage.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A video; a bag of rosbag2 (a folder, or a .mcap or .db3 file); a folder of JPEG or PNG files, ordered by the numbers in their names; files; patterns in quotes; or - for a
    /// video on standard input.
    #[arg(required = true, value_name = "VIDEO_OR_FOLDER_OR_BAG")]
    pub clip: Vec<PathBuf>,
    /// Topic of the images in a bag, by its name or type [default: the only topic of images].
    #[arg(long, value_name = "TOPIC")]
    pub image: Option<String>,
    #[command(flatten)]
    pub prompts: PromptArguments,
    #[command(flatten)]
    pub text: TextArguments,
    /// Frames after which --text is asked again.
    #[arg(long, value_name = "FRAMES", default_value_t = 30, requires = "text", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Text")]
    pub text_every: u32,
    /// Track from the last prompt back to the first frame.
    #[arg(long)]
    pub reverse: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Png)]
    pub format: Format,
    /// Also draw the masks on the frames: overlay.mp4 if ffmpeg is installed, otherwise NAME_overlay.png.
    #[arg(long)]
    pub overlay: bool,
    #[command(flatten)]
    pub destination: Destination,
    /// Earlier frames that condition each frame, besides the frames with prompts; fewer are faster and lose more objects.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(0..=6))]
    pub memories: u8,
    /// Frames with prompts that are kept for each object and condition its frames: the first and the newest ones.
    #[arg(long, value_name = "N", default_value_t = MAX_CONDITIONING as u8, value_parser = clap::value_parser!(u8).range(1..=MAX_CONDITIONING as i64))]
    pub prompted_frames: u8,
    /// Fill holes of at most this many cells of the low-resolution mask.
    #[arg(long, value_name = "CELLS", default_value_t = 8)]
    pub fill_holes: usize,
    /// Give each pixel to one object only, the object with the highest logit.
    #[arg(long)]
    pub no_overlap: bool,
    #[command(flatten)]
    pub model: ModelArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Grey pictures of the frame's size: 255 inside, 0 outside.
    Png,
    /// COCO's compressed run lengths, as pycocotools writes them.
    CocoRle,
}
