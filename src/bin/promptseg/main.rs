//! The same work on files, without ROS: segment pictures, look into a model, measure one.

#![forbid(unsafe_code)]

mod bench;
mod build_engines;
mod eval;
mod files;
mod inspect;
mod options;
mod segment;
mod terminal;
mod track;

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use image::RgbImage;
use options::ModelOptions;
use promptseg::logging;
use promptseg::model::{self, Model};
use promptseg::pixels::{MaskInput, PixelError, decode_compressed, decode_mask_file, jpeg_is_whole};

/// A click or a box becomes a segmentation mask with an IoU score.
#[derive(Parser)]
#[command(version, after_help = "Exit codes: 0 done, 1 something failed (said on the standard error), 2 wrong usage.")]
struct Arguments {
    /// What is logged on the standard error: error, warn, info, debug, trace, or a tracing filter; RUST_LOG wins over it.
    #[arg(long, global = true, default_value = "error", value_name = "LEVEL")]
    log_level: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Masks of objects in pictures.
    Segment(segment::Arguments),
    /// Objects through a video or a folder of pictures.
    Track(track::Arguments),
    /// What a bundle or a pair of ONNX files is, and what runs it here.
    Inspect(inspect::Arguments),
    /// How long each stage of a model takes here, and how much memory.
    Bench(bench::Arguments),
    /// Build TensorRT's engines ahead, which takes minutes, so that the node starts at once.
    BuildEngines(build_engines::Arguments),
    /// Measure a model on drawn scenes; the last line is JSON.
    Eval(eval::Arguments),
}

/// Which model.
#[derive(Args)]
struct ModelArguments {
    /// Bundle, folder with two ONNX files, or an image encoder's file; the built-in model without it.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// The mask decoder's file, when --model is an image encoder's.
    #[arg(long, value_name = "FILE", requires = "model")]
    decoder: Option<PathBuf>,
    #[command(flatten)]
    options: ModelOptions,
}

impl ModelArguments {
    fn open(&self, memory: bool) -> Result<Model, model::Error> {
        let options = self.options.session_options(memory)?;
        match &self.model {
            Some(path) => Model::open(path, self.decoder.as_deref(), &options),
            None => Model::tiny(&options),
        }
    }
}

/// Why a command ends without success.
enum Failure {
    /// What was typed cannot be meant: said with the usage, exit code 2.
    Usage(String),
    /// Exit code 1.
    Failed(Box<dyn Error>),
    /// Exit code 1, and said already.
    Said,
}

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Failed(error.into())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(e) = logging::start(&arguments.log_level, None) {
        terminal::warn(e);
        return ExitCode::FAILURE;
    }
    logging::finish_trace_on_interrupt();
    let (name, outcome) = match arguments.command {
        Command::Segment(arguments) => ("segment", segment::run(&arguments)),
        Command::Track(arguments) => ("track", track::run(&arguments)),
        Command::Inspect(arguments) => ("inspect", inspect::run(&arguments)),
        Command::Bench(arguments) => ("bench", bench::run(&arguments)),
        Command::BuildEngines(arguments) => ("build-engines", build_engines::run(&arguments)),
        Command::Eval(arguments) => ("eval", eval::run(&arguments).map_err(Failure::Failed)),
    };
    logging::finish_trace();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Said) => ExitCode::FAILURE,
        Err(Failure::Failed(e)) => {
            terminal::warn(chain(e.as_ref()));
            ExitCode::FAILURE
        }
        Err(Failure::Usage(message)) => {
            let mut command = Arguments::command();
            command.build();
            let command = command.find_subcommand_mut(name).map_or_else(Arguments::command, |c| c.clone());
            command.clone().error(clap::error::ErrorKind::ValueValidation, message).exit()
        }
    }
}

/// Bytes of the largest picture file that is read: uncompressed, at the most pixels that are accepted.
const MAX_IMAGE_FILE: u64 = 512 << 20;

/// The path that means the standard input.
const STDIN: &str = "-";

/// How a path is named in messages.
fn display(path: &Path) -> String {
    if path == Path::new(STDIN) { "standard input".to_owned() } else { path.display().to_string() }
}

/// A JPEG or PNG file, or the standard input for `-`. Errors name the file.
fn read_image(path: &Path) -> Result<RgbImage, String> {
    let content = read_picture_file(path)?;
    decode_compressed(&content, "file").map_err(|e| format!("{}: {}", display(path), in_words(e, &content)))
}

/// A mask file: which of its pixels are inside ([`decode_mask_file`]). Errors name the file.
fn read_mask(path: &Path) -> Result<MaskInput, String> {
    let content = read_picture_file(path)?;
    decode_mask_file(&content).map_err(|e| format!("{}: {}", display(path), in_words(e, &content)))
}

fn in_words(error: PixelError, content: &[u8]) -> String {
    match error {
        PixelError::UnknownCompression { .. } if content.is_empty() => "the file is empty".to_owned(),
        PixelError::UnknownCompression { start, .. } => {
            format!("neither JPEG nor PNG (it starts with {start}); convert it first")
        }
        PixelError::Compressed { reason, .. } => format!("truncated or damaged: {reason}"),
        other => other.to_string(),
    }
}

fn read_picture_file(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |reason: String| format!("{}: {reason}", display(path));
    let mut content = Vec::new();
    let mut length = 0;
    if path == Path::new(STDIN) {
        std::io::stdin()
            .lock()
            .take(MAX_IMAGE_FILE + 1)
            .read_to_end(&mut content)
            .map_err(|e| failed(e.to_string()))?;
    } else {
        let file = File::open(path).map_err(|e| failed(e.to_string()))?;
        let metadata = file.metadata().map_err(|e| failed(e.to_string()))?;
        if metadata.is_dir() {
            return Err(failed("a folder, expected a JPEG or PNG file".to_owned()));
        }
        length = metadata.len();
        if length <= MAX_IMAGE_FILE {
            file.take(MAX_IMAGE_FILE + 1).read_to_end(&mut content).map_err(|e| failed(e.to_string()))?;
        }
    }
    if length.max(content.len() as u64) > MAX_IMAGE_FILE {
        return Err(failed(format!("more than {} MB, which no picture has that is accepted", MAX_IMAGE_FILE >> 20)));
    }
    if content.starts_with(&[0xff, 0xd8]) && !jpeg_is_whole(&content) {
        return Err(failed("truncated or damaged: a JPEG file without an end".to_owned()));
    }
    Ok(content)
}

/// For JSON: without the digits that a float has only when it is made a double.
fn short(value: f32) -> f64 {
    (f64::from(value) * 1e6).round() / 1e6
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
