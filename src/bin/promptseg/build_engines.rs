//! `promptseg build-engines`: TensorRT's engines ahead of time, into the folder that the node looks into.

use std::path::PathBuf;
use std::time::Instant;

use promptseg::model::{GpuOptions, Model, Provider, SessionOptions, TensorRt, runtime};

use super::options::ModelOptions;
use super::{Failure, terminal};

#[derive(clap::Args)]
pub struct Arguments {
    /// Bundle, folder with two ONNX files, or an image encoder's file; the built-in model without it.
    path: Option<PathBuf>,
    /// The mask decoder's file, when PATH is an image encoder's.
    #[arg(long, value_name = "FILE", requires = "path")]
    decoder: Option<PathBuf>,
    /// As the node's parameters will be: other options are other engines.
    #[command(flatten)]
    options: ModelOptions,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let options = arguments.options.session_options(true)?;
    let Some(cache) = options.gpu.engine_cache.clone() else {
        return Err(Failure::Usage("--engine-cache none leaves nowhere to build to".to_owned()));
    };
    runtime::build_info()?;
    let missing = TensorRt::missing(options.gpu.device_id);
    if !missing.is_empty() {
        let list = missing.iter().map(|line| format!("\n  - {line}")).collect::<String>();
        return Err(format!("TensorRT does not run here:{list}").into());
    }
    let options = SessionOptions {
        providers: vec![Provider::Tensorrt],
        gpu: GpuOptions { engine_cache: Some(cache.clone()), ..options.gpu },
        ..options
    };
    let wheel = terminal::spinner("looking");
    let start = Instant::now();
    // Lines for pipes and logs; on a terminal the newest is beside the wheel.
    let say = |step: &str| {
        wheel.suspend(|| terminal::print(format!("[{:>6.1} s] {step}", start.elapsed().as_secs_f64())));
        wheel.set_message(step.to_owned());
    };
    let opened = Model::open_with_progress(arguments.path.as_deref(), arguments.decoder.as_deref(), &options, &say);
    wheel.finish_and_clear();
    let model = opened?;
    let reports = model.reports();
    for (part, report) in &reports {
        terminal::print(format!("{part:<9} {report}"));
    }
    if !reports.iter().all(|(_, report)| report.engines_kept) {
        return Err(format!("not all engines are in {}, for the reason above", cache.display()).into());
    }
    terminal::print(format!("engines   {} ({:.0} s)", cache.display(), start.elapsed().as_secs_f64()));
    Ok(())
}
