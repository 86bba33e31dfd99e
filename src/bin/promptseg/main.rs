//! The command line tool: segments pictures, finds everything in them, follows objects through clips, makes data sets of
//! bags, videos and pictures, describes and measures models. Needs no ROS.

#![forbid(unsafe_code)]

mod bench;
mod build_engines;
mod clips;
mod coco;
mod console;
mod edges;
mod eval;
mod everything;
mod failure;
mod files;
mod formats;
mod generation;
mod generator_arguments;
mod inspect;
mod label;
mod model_arguments;
mod output_arguments;
mod pictures;
mod proposals;
mod results;
mod segment;
mod terminal;
mod text;
mod text_bank;
mod track;
mod xml;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use failure::{Failure, with_causes};
use promptseg::logging;

/// Turns a click or a box into a segmentation mask with an IoU score.
#[derive(Parser)]
#[command(version, after_help = "Exit codes: 0 done, 1 failure (reported on standard error), 2 wrong usage.")]
struct Arguments {
    /// Log level on standard error: error, warn, info, debug, trace, or a tracing filter; RUST_LOG overrides it.
    #[arg(long, global = true, default_value = "error", value_name = "LEVEL")]
    log_level: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compute masks of objects in pictures.
    Segment(segment::Arguments),
    /// Compute the masks of everything in pictures, without a click.
    Everything(everything::Arguments),
    /// Compute boxes that may hold an object, ranked, for COCO's evaluation.
    Proposals(proposals::Arguments),
    /// Compute images of edges from the masks of everything.
    Edges(edges::Arguments),
    /// Follow objects through a video, a folder of pictures or a bag.
    Track(track::Arguments),
    /// Show pictures, a video or a bag in the operator's console: click in any browser, save masks.
    Console(console::Arguments),
    /// Make a data set from a bag, a video or pictures: masks from prompts, a detector's boxes, or everything.
    Label(label::Arguments),
    /// Describe a bundle or a pair of ONNX files, and try it on each execution provider.
    Inspect(inspect::Arguments),
    /// Measure the time of each stage of a model, and the memory of the process.
    Bench(bench::Arguments),
    /// Build TensorRT's engines, which takes minutes, so that the node starts at once.
    BuildEngines(build_engines::Arguments),
    /// Compute the features of phrases for a robot without a text tower.
    TextBank(text_bank::Arguments),
    /// Measure the accuracy of a model on drawn scenes; the last line is JSON.
    Eval(eval::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(e) = logging::start(&arguments.log_level, None) {
        terminal::warn(e);
        return ExitCode::FAILURE;
    }
    // `label` has a handler of its own.
    if !matches!(arguments.command, Command::Label(_)) {
        logging::finish_trace_on_interrupt();
    }
    let (name, outcome) = match arguments.command {
        Command::Segment(arguments) => ("segment", segment::run(&arguments)),
        Command::Everything(arguments) => ("everything", everything::run(&arguments)),
        Command::Proposals(arguments) => ("proposals", proposals::run(&arguments)),
        Command::Edges(arguments) => ("edges", edges::run(&arguments)),
        Command::Track(arguments) => ("track", track::run(&arguments)),
        Command::Console(arguments) => ("console", console::run(&arguments)),
        Command::Label(arguments) => ("label", label::run(&arguments)),
        Command::Inspect(arguments) => ("inspect", inspect::run(&arguments)),
        Command::Bench(arguments) => ("bench", bench::run(&arguments)),
        Command::BuildEngines(arguments) => ("build-engines", build_engines::run(&arguments)),
        Command::TextBank(arguments) => ("text-bank", text_bank::run(&arguments)),
        Command::Eval(arguments) => ("eval", eval::run(&arguments).map_err(Failure::Failed)),
    };
    logging::finish_trace();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Reported) => ExitCode::FAILURE,
        Err(Failure::Failed(e)) => {
            terminal::warn(with_causes(e.as_ref()));
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
