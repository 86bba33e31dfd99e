//! `promptseg inspect`: what a bundle or a pair of ONNX files is, and what runs it here.

use std::path::PathBuf;

use promptseg::model::{Model, ProviderReport, SessionOptions, Signature, runtime};

#[derive(clap::Args)]
pub struct Arguments {
    /// Bundle, folder with two ONNX files, or an image encoder's file; the built-in model without it.
    path: Option<PathBuf>,
    /// The mask decoder's file, when PATH is an image encoder's.
    #[arg(long, value_name = "FILE", requires = "path")]
    decoder: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<(), super::Failure> {
    let options = SessionOptions::default();
    let model = match &arguments.path {
        Some(path) => Model::open(path, arguments.decoder.as_deref(), &options)?,
        None => Model::tiny(&options)?,
    };
    let info = &model.info;
    let takes = [("points", info.takes_points), ("boxes", info.takes_boxes), ("masks", info.takes_masks)];
    let takes: Vec<_> = takes.iter().filter(|(_, takes)| *takes).map(|(what, _)| *what).collect();
    let single = if info.single_mask { "one for clear prompts, " } else { "" };
    let objects = if info.batched { "several in one run" } else { "one after the other" };
    for (key, value) in [
        ("name", info.name.clone()),
        ("family", info.family.clone()),
        ("source", info.source.clone()),
        ("licence", info.licence.clone()),
        ("layout", info.layout.to_owned()),
        ("size", format!("{:.1} MB", info.bytes as f64 / 1e6)),
        ("image", format!("{0} x {0}, {1:?}", info.image_size, info.resize).to_lowercase()),
        ("embedding", format!("{:?}", info.embedding_shape)),
        ("masks", format!("{single}{} candidates, {1} x {1} logits", info.candidates, info.low_res_size)),
        ("prompts", takes.join(", ")),
        ("objects", objects.to_owned()),
        ("runtime", runtime::build_info()?.to_owned()),
    ] {
        println!("{key:<10} {value}");
    }
    graph("encoder", &info.encoder, model.encoder.providers());
    graph("decoder", &info.decoder, model.decoder.providers());
    Ok(())
}

fn graph(name: &str, graph: &Signature, providers: &ProviderReport) {
    println!("\n{name}: {}\n  runs on {providers}", graph.file);
    for input in &graph.inputs {
        println!("  in   {input}");
    }
    for output in &graph.outputs {
        println!("  out  {output}");
    }
}
