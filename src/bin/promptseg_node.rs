//! The ROS 2 executable.

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
    /// error, warn, info, debug, trace, or a tracing filter; RUST_LOG wins over it. Without it, what stands behind --ros-args
    /// counts, or info.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,

    /// Print all parameters with their defaults, as a parameter file or as a page, and end.
    #[arg(long, value_name = "FORMAT")]
    parameters: Option<Format>,

    /// Arguments for ROS, from `--ros-args` on.
    #[arg(hide = true, allow_hyphen_values = true)]
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
        None => return start(&arguments.log_level.or_else(|| ros_log_level(&arguments.ros)).unwrap_or("info".into())),
    }
    ExitCode::SUCCESS
}

/// `--log-level LEVEL` among the arguments for ROS, the last one; rcl takes FATAL too. A level of one logger
/// (`rcl:=debug`) is rcl's own affair.
fn ros_log_level(ros: &[String]) -> Option<String> {
    let levels = ros.windows(2).filter(|pair| pair[0] == "--log-level").map(|pair| pair[1].to_ascii_lowercase());
    let level = levels.rev().find(|level| !level.contains(":="))?;
    Some(if level == "fatal" { "error".to_owned() } else { level })
}

fn start(log_level: &str) -> ExitCode {
    match run(log_level) {
        Ok(()) => ExitCode::SUCCESS,
        // Said by the node already.
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_level_of_ros_counts_where_there_is_no_other() {
        let level = |line: &str| {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            arguments.log_level.or_else(|| ros_log_level(&arguments.ros))
        };
        assert_eq!(level("node --ros-args -p a:=1"), None);
        assert_eq!(level("node --ros-args --log-level DEBUG -p a:=1").as_deref(), Some("debug"));
        assert_eq!(level("node --ros-args --log-level FATAL").as_deref(), Some("error"));
        assert_eq!(level("node --ros-args --log-level warn --log-level rcl:=debug").as_deref(), Some("warn"));
        assert_eq!(level("node --log-level trace --ros-args --log-level warn").as_deref(), Some("trace"));
    }
}
