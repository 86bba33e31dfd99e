//! Executable of the ROS 2 node.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use promptseg::node::{parameter_docs, run};

/// A click, a box or a detector's output becomes a segmentation mask with an IoU score.
///
/// ROS arguments follow `--ros-args`, as for every ROS 2 node: remap with `-r image:=/camera/image_raw`, set
/// parameters with `-p model:=/path/to/bundle` or `--params-file config/promptseg.yaml`.
#[derive(Parser)]
#[command(version, trailing_var_arg = true)]
struct Arguments {
    /// error, warn, info, debug, trace, or a tracing filter; RUST_LOG takes precedence. Default: the level behind --ros-args,
    /// or info.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,

    /// Print all parameters with their defaults, as a parameter file or as a page, and exit.
    #[arg(long, value_name = "FORMAT")]
    parameters: Option<Format>,

    /// Arguments for ROS, from `--ros-args` on.
    #[arg(hide = true, allow_hyphen_values = true)]
    #[allow(dead_code)] // rcl reads the command line itself
    ros: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Yaml,
    Markdown,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.parameters {
        Some(Format::Yaml) => print!("{}", parameter_docs::yaml()),
        Some(Format::Markdown) => print!("{}", parameter_docs::markdown()),
        None => return start(arguments.log_level.as_deref()),
    }
    ExitCode::SUCCESS
}

fn start(log_level: Option<&str>) -> ExitCode {
    match run(log_level) {
        Ok(()) => ExitCode::SUCCESS,
        // The node has logged the error.
        Err(_) => ExitCode::FAILURE,
    }
}
