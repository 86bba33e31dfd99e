//! The same work on files, without ROS: segment a picture, look into a model, measure one.

mod eval;
mod inspect;
mod segment;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use promptseg::model::{Model, Provider, SessionOptions};

/// A click or a box becomes a segmentation mask with an IoU score.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Segment one object of a picture and draw it.
    Segment(segment::Arguments),
    /// Say what a bundle or a pair of ONNX files is, and what runs it here.
    Inspect(inspect::Arguments),
    /// Measure a model on drawn scenes; the last line is JSON.
    Eval(eval::Arguments),
}

/// Which model, and how it runs.
#[derive(Args)]
struct ModelArguments {
    /// Bundle, folder with two ONNX files, or an image encoder's file; the built-in model without it.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// The mask decoder's file, when --model is an image encoder's.
    #[arg(long, value_name = "FILE", requires = "model")]
    decoder: Option<PathBuf>,
    /// Execution providers, asked for in this order.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "tensorrt,cuda,cpu")]
    providers: Vec<Provider>,
    /// Threads on the CPU; 0 lets ONNX Runtime choose.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

impl ModelArguments {
    fn open(&self) -> Result<Model, promptseg::model::Error> {
        let options =
            SessionOptions { providers: self.providers.clone(), threads: self.threads, ..SessionOptions::default() };
        match &self.model {
            Some(path) => Model::open(path, self.decoder.as_deref(), &options),
            None => Model::tiny(&options),
        }
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Segment(arguments) => segment::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("promptseg: {}", chain(e.as_ref()));
            ExitCode::FAILURE
        }
    }
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
