//! Arguments of `promptseg label`.

use std::path::PathBuf;

use promptseg::bag::Selection;
use promptseg::engine::detections::DetectionFilter;

use super::slice::Slice;
use crate::model_arguments::ModelArguments;
use crate::text::TextArguments;

const EXAMPLES: &str = "\
Stages, each on every frame:
  1. the prompts of --prompts, and with a model that has memory the objects that it follows
  2. the boxes of --detections, and of --text on its frames: an object that is there already gets their class, other boxes are new objects
  3. with --auto the masks of everything that is left over
Then a model with memory follows each object backward to the beginning, and from corrections in both directions.

Content of --out:
  images/train/, images/val/    the images: JPEG and PNG as they are in the bag or the folder, others as PNG
  frames/                       one record for each frame; a run that was interrupted goes on behind the last one
  corrections.json              the corrections so far
  manifest.json                 model, bag, settings and counts
  coco     annotations/instances_train.json, annotations/instances_val.json
  yolo     labels/train/, labels/val/, data.yaml
  png      indexed/train/, indexed/val/: the number of the object on each pixel, with the palette of DAVIS
  sa1b     sa1b/train/, sa1b/val/
  cvat     cvat_images.xml, cvat_video.xml
  label-studio  label_studio.json, label_studio.xml
  bag      bag/: /promptseg/masks, /promptseg/labels, /promptseg/detections, /promptseg/overlay/compressed in MCAP

Examples:
  promptseg label drive/ --image /camera/image_raw --detections /detections --out dataset/
  promptseg label drive.mcap --prompts prompts.json --model sam2.1 --rate 2 --format coco,yolo --val 0.2 --out dataset/
  promptseg label drive.mp4 --prompts prompts.json --model sam2.1 --every 2 --out dataset/
  promptseg label drive/ --text \"person, red cup\" --text-model owlv2/ --model sam2.1 --out dataset/
  promptseg label shots/ --auto --format coco,yolo --out dataset/
  promptseg label drive/ --prompts prompts.json --model sam2.1 --review worst/ --out dataset/
  promptseg label drive/ --auto --start 10 --end 60 --every 5 --out dataset/

Exit codes: 0 done, 1 failure or interrupted (the frames before are done), 2 wrong usage.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A bag of rosbag2 (a folder, or a .mcap or .db3 file); a video; a folder of JPEG or PNG files, ordered by the numbers in
    /// their names; files; or patterns in quotes.
    #[arg(required = true, value_name = "BAG_OR_VIDEO_OR_FOLDER")]
    pub input: Vec<PathBuf>,
    /// Topic of the images in a bag, by its name or type [default: the only topic of images].
    #[arg(long, value_name = "TOPIC")]
    pub image: Option<String>,
    #[command(flatten)]
    pub selection: SelectionArguments,
    /// Prompts by frame and object: a JSON file, as docs/data-engine.md describes it.
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    #[command(flatten)]
    pub detections: DetectionArguments,
    #[command(flatten)]
    pub text: TextArguments,
    /// Frames after which --text is asked again [default: 30; 1 with a model without memory].
    #[arg(long, value_name = "FRAMES", requires = "text", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Text")]
    pub text_every: Option<u32>,
    /// Find the masks of everything that no other object covers.
    #[arg(long)]
    pub auto: bool,
    /// Clicks along each side of the image for --auto [default: of the model].
    #[arg(long, value_name = "N", requires = "auto")]
    pub points_per_side: Option<u32>,
    #[command(flatten)]
    pub objects: ObjectArguments,
    #[command(flatten)]
    pub review: ReviewArguments,
    /// Folder of the data set.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Formats of the data set.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "coco")]
    pub format: Vec<Format>,
    /// Share of the time, at its end, whose frames are for validation.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub val: f64,
    /// Leave the images out.
    #[arg(long)]
    pub no_images: bool,
    /// Label one of N parts of the frames, for a join: records and images alone are written to --out.
    #[arg(long, value_name = "K/N", conflicts_with = "join")]
    pub slice: Option<Slice>,
    /// Take the frames of slices that were labelled with the same arguments: their folders, in the order of the slices.
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub join: Vec<PathBuf>,
    /// Begin again: the data set of an earlier run in --out is removed.
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub model: ModelArguments,
}

/// Which images are used.
#[derive(clap::Args)]
#[command(next_help_heading = "Frames")]
pub struct SelectionArguments {
    /// Frames a second of pictures, which have no times without it, or of a video instead of its own rate.
    #[arg(long, value_name = "HZ", allow_negative_numbers = true)]
    pub fps: Option<f64>,
    /// First time, in seconds after the first image.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, allow_negative_numbers = true)]
    start: f64,
    /// End, in seconds after the first image [default: the end of the input].
    #[arg(long, value_name = "SECONDS")]
    end: Option<f64>,
    /// Use every Nth image.
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: usize,
    /// Use at most this many images a second [default: all].
    #[arg(long, value_name = "HZ", allow_negative_numbers = true)]
    rate: Option<f64>,
}

impl SelectionArguments {
    /// Returns whether frames are selected by their times.
    pub fn needs_times(&self) -> bool {
        self.start != 0.0 || self.end.is_some() || self.rate.is_some()
    }

    pub fn selection(&self) -> Selection {
        let all = Selection::default();
        Selection {
            start: self.start,
            end: self.end.unwrap_or(all.end),
            every: self.every,
            rate: self.rate.unwrap_or(all.rate),
        }
    }
}

/// Which boxes of a detector are used.
#[derive(clap::Args)]
#[command(next_help_heading = "Detections")]
pub struct DetectionArguments {
    /// Topic of a detector's boxes, by its name or type: vision_msgs/Detection2DArray, yolo_msgs/DetectionArray.
    #[arg(long, value_name = "TOPIC")]
    pub detections: Option<String>,
    /// Largest distance of the stamps of detections and image, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, requires = "detections")]
    pub tolerance: f64,
    /// Use boxes with at least this score.
    #[arg(long, value_name = "SCORE", default_value_t = 0.0, requires = "detections")]
    pub min_score: f64,
    /// Use boxes of these classes only, by name or number.
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "detections")]
    pub classes: Vec<String>,
    /// Use at most this many boxes of a message, those of the best scores.
    #[arg(long, value_name = "N", default_value_t = 100, requires = "detections")]
    pub max_detections: usize,
}

impl DetectionArguments {
    pub fn filter(&self) -> DetectionFilter {
        let DetectionArguments { min_score, max_detections, .. } = *self;
        DetectionFilter { min_score, classes: self.classes.clone(), max_count: max_detections }
    }
}

/// When a mask is an object.
#[derive(clap::Args)]
#[command(next_help_heading = "Objects")]
pub struct ObjectArguments {
    /// Least predicted IoU of the mask of a new object from a detection.
    #[arg(long, value_name = "IOU", default_value_t = 0.5)]
    pub min_iou: f32,
    /// Two masks of a frame with an IoU above this are the same object.
    #[arg(long, value_name = "IOU", default_value_t = 0.5)]
    pub merge_iou: f32,
    /// Least IoU of the masks of an object on two frames, where no memory follows it.
    #[arg(long, value_name = "IOU", default_value_t = 0.3)]
    pub link_iou: f32,
    /// Directions in which a model with memory follows objects.
    #[arg(long, value_enum, default_value_t = Follow::Both)]
    pub follow: Follow,
    /// Frames after which an object that is not seen ends.
    #[arg(long, value_name = "FRAMES", default_value_t = 30)]
    pub lost_after: usize,
    /// Frames after which the memories begin again with their last masks. A run that is resumed computes at most this many frames again.
    #[arg(long, value_name = "FRAMES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub window: u32,
}

/// Corrections of a person.
#[derive(clap::Args)]
#[command(next_help_heading = "Review")]
pub struct ReviewArguments {
    /// Write the frames with the lowest scores into a folder: pictures, a page and JSON. Masks that were edited there since the last
    /// run, and its prompts.json, are corrections.
    #[arg(long, value_name = "DIR")]
    pub review: Option<PathBuf>,
    /// Number of frames of the review.
    #[arg(long, value_name = "N", default_value_t = 200, requires = "review")]
    pub review_frames: usize,
    /// Corrections: a JSON file with prompts or masks, or a folder with PNG files of masks (000030.png: the number of the object on
    /// each pixel; 000030_2.png: object 2).
    #[arg(long, value_name = "FILE_OR_DIR")]
    pub corrections: Option<PathBuf>,
}

/// Directions in which objects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Follow {
    /// Forward, then backward from the first frame of each object to the beginning.
    Both,
    /// From the first frame of each object on.
    Forward,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// COCO's instances, with run lengths.
    Coco,
    /// Polygons of YOLO's segmentation data sets.
    Yolo,
    /// Indexed pictures of DAVIS: the number of the object on each pixel.
    Png,
    /// The JSON of SA-1B, one document for each frame.
    #[value(name = "sa1b")]
    Sa1b,
    /// A bag with masks, labels, detections and overlays at the stamps of the images.
    Bag,
    /// CVAT 1.1: masks of images, and tracks of polygons in a video.
    Cvat,
    /// Tasks with predictions for Label Studio, as brush strokes.
    LabelStudio,
}
