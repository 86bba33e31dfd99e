//! Arguments of `promptseg console`.

use std::path::PathBuf;

use crate::model_arguments::ModelArguments;

const EXAMPLES: &str = "\
Masks are saved beside the pictures: NAME_mask.png (NAME_mask_2.png for several objects), NAME_mask.npy, or NAME.json.
Those of a video or a bag are saved in its folder, with its name and the number of the frame. --format prompts saves no masks: the
file prompts.json has the points and boxes of all frames that were prompted, for promptseg label.

Examples:
  promptseg console photo.jpg
  promptseg console shots/ --format coco-rle
  promptseg console drive.mp4 --model models/edgetam --out masks/
  promptseg console drive/ --format prompts --out clicks/  # then: promptseg label drive/ --prompts clicks/prompts.json ...
  promptseg console shots/ --address 0.0.0.0:8060          # with PROMPTSEG_CONSOLE_TOKEN in the environment";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// JPEG or PNG files, folders with such files, patterns in quotes; or one video; or one bag of rosbag2.
    #[arg(required = true, value_name = "PICTURE|FOLDER|VIDEO|BAG")]
    pub files: Vec<PathBuf>,
    /// Topic of the images in a bag, by its name or type [default: the only topic of images].
    #[arg(long, value_name = "TOPIC")]
    pub image: Option<String>,
    /// Address and port of the page; a port alone is on the loopback interface.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8060")]
    pub address: String,
    /// Secret of the page, which any address except the loopback interface needs; the default is PROMPTSEG_CONSOLE_TOKEN, which
    /// the list of processes does not show.
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Format of saved masks.
    #[arg(long, value_enum, default_value_t = Format::Png)]
    pub format: Format,
    /// Folder of the saved files; the default is the folder of each picture.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Replace files that an earlier run saved; the default keeps them. Pictures are never replaced.
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub model: ModelArguments,
}

/// Format of saved masks, as `promptseg segment` writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Grey pictures of the image's size: 255 inside, 0 outside.
    Png,
    /// COCO's compressed run lengths.
    CocoRle,
    /// Contours along the borders of pixels, with the holes in a separate list.
    Polygon,
    /// A numpy array of booleans, [masks, height, width].
    Npy,
    /// The points and boxes of all frames, as `promptseg label --prompts` reads them. Objects live on from picture to picture.
    Prompts,
}
