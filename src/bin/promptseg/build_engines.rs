//! `promptseg build-engines`: builds TensorRT's engines in the folder from which the node loads them.

use std::time::Instant;

use promptseg::model::{GpuOptions, Model, Provider, SessionOptions, TensorRt, runtime};

use crate::failure::Failure;
use crate::model_arguments::{ModelOptions, ModelPath};
use crate::terminal;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelPath,
    // They must equal the node's parameters: other options need other engines.
    #[command(flatten)]
    options: ModelOptions,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let options = arguments.options.session_options(true)?;
    let Some(cache) = options.gpu.engine_cache.clone() else {
        return Err(Failure::Usage("--engine-cache is none, expected a folder for the engines".to_owned()));
    };
    runtime::build_info()?;
    let missing = TensorRt::missing(options.gpu.device_id);
    if !missing.is_empty() {
        let list = missing.iter().map(|line| format!("\n  - {line}")).collect::<String>();
        return Err(format!("TensorRT does not run on this machine:{list}").into());
    }
    let chosen = options;
    let options = SessionOptions {
        providers: vec![Provider::Tensorrt],
        gpu: GpuOptions { engine_cache: Some(cache.clone()), ..chosen.gpu.clone() },
        ..chosen.clone()
    };
    let spinner = terminal::spinner("opening the model");
    let start = Instant::now();
    // Prints each step as a line; a terminal also shows the newest step beside the spinner.
    let report_step = |step: &str| {
        spinner.suspend(|| terminal::print(format!("[{:>6.1} s] {step}", start.elapsed().as_secs_f64())));
        spinner.set_message(step.to_owned());
    };
    let (path, decoder) = (arguments.model.path.as_deref(), arguments.model.decoder.as_deref());
    let opened = Model::open_with_progress(path, decoder, &options, &report_step);
    // The node times the providers when it has engines for all graphs.
    let timed = match &opened {
        Ok(_) if chosen.fastest => Some(Model::open_with_progress(path, decoder, &chosen, &report_step)),
        _ => None,
    };
    spinner.finish_and_clear();
    let model = opened?;
    let reports = model.reports();
    for (part, report) in &reports {
        terminal::print(format!("{part:<9} {report}"));
    }
    for (part, report) in timed.transpose()?.iter().flat_map(Model::reports) {
        terminal::print(format!("{:<9} {part} on {}", "chosen", report.runs()));
    }
    if !reports.iter().all(|(_, report)| report.engines_kept) {
        return Err(format!("not all engines were written to {}; see the reason above", cache.display()).into());
    }
    terminal::print(format!("engines   {} ({:.0} s)", cache.display(), start.elapsed().as_secs_f64()));
    Ok(())
}
