//! `promptseg inspect`: what a bundle or a pair of ONNX files is, whether it is whole, and what runs it here.

use std::path::PathBuf;

use promptseg::model::network::MemorySpec;
use promptseg::model::{
    Bundle, GpuOptions, MemoryInfo, Model, ModelInfo, Precision, Provider, SessionOptions, Signature, Variant, runtime,
};
use promptseg::pixels::Resize;
use serde_json::{Value, json};

use super::{Failure, short, terminal};

#[derive(clap::Args)]
pub struct Arguments {
    /// Bundle, folder with two ONNX files, or an image encoder's file; the built-in model without it.
    path: Option<PathBuf>,
    /// The mask decoder's file, when PATH is an image encoder's.
    #[arg(long, value_name = "FILE", requires = "path")]
    decoder: Option<PathBuf>,
    /// The variant to try on each provider; auto is what would run.
    #[arg(long, value_name = "P", default_value = "auto", value_parser = Precision::CHOICES)]
    precision: String,
    /// Also list inputs and outputs of the two graphs.
    #[arg(long)]
    tensors: bool,
    /// Print everything as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// One file: name, bytes, and what is wrong with it.
struct FileStatus {
    name: String,
    bytes: u64,
    wrong: Option<String>,
}

/// What came of trying the model on one provider.
struct Trial {
    provider: Provider,
    /// How its parts run, or why not.
    outcome: Result<Runs, String>,
}

struct Runs {
    /// What each part is called, and its precision.
    parts: Vec<(&'static str, Option<Precision>)>,
    /// Precisions that were refused there, and what else was seen.
    told: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let wheel = terminal::spinner("looking");
    let mut files = Vec::new();
    let alone = arguments.path.as_deref().filter(|_| arguments.decoder.is_none());
    if let Some(folder) = alone.and_then(Bundle::folder_of) {
        files = bundle_files(&Bundle::describe(&folder)?);
    }
    let (model, trials) = try_providers(arguments);
    wheel.finish_and_clear();
    if let Some(info) =
        model.as_ref().ok().filter(|info| files.is_empty() && !info.encoder.file.starts_with("embedded"))
    {
        files = pair_files(info);
    }
    if arguments.json {
        terminal::print(as_json(arguments, &model, &files, &trials)?);
    } else {
        if let Ok(info) = &model {
            describe(info)?;
        }
        for file in &files {
            let status = file.wrong.as_deref().unwrap_or(if model_is_bundle(&model) { "hash ok" } else { "" });
            terminal::print(format!("{:<12}{:<34} {:>12} bytes  {status}", "file", file.name, file.bytes));
        }
        for trial in &trials {
            let text = match &trial.outcome {
                Ok(Runs { parts, told }) => {
                    let told = told.iter().map(|line| format!("; {line}")).collect::<String>();
                    let parts = parts.iter().map(|(part, precision)| format!("{part} {}", called(*precision)));
                    format!("yes: {}{told}", parts.collect::<Vec<_>>().join(", "))
                }
                Err(reason) => format!("no: {reason}"),
            };
            terminal::print(format!("{:<12}{:<10}{text}", "runs on", trial.provider.to_string()));
        }
        if let Some(info) = model.as_ref().ok().filter(|_| arguments.tensors) {
            tensors("encoder", &info.encoder);
            tensors("decoder", &info.decoder);
            if let Some(memory) = &info.memory {
                tensors("memory attention", &memory.attention);
                tensors("memory encoder", &memory.encoder);
            }
        }
    }
    match (model, files.into_iter().find_map(|file| file.wrong)) {
        (Err(e), _) => Err(e.into()),
        // A file of a variant that does not run here.
        (_, Some(wrong)) => Err(wrong.into()),
        _ => Ok(()),
    }
}

/// Every file of a bundle against its size and hash.
fn bundle_files(bundle: &Bundle) -> Vec<FileStatus> {
    let status = |name: &String, bytes: u64| FileStatus {
        name: name.clone(),
        bytes,
        wrong: bundle.verify(name).err().map(|e| e.to_string()),
    };
    bundle.manifest.files.iter().map(|(name, entry)| status(name, entry.bytes)).collect()
}

fn pair_files(info: &ModelInfo) -> Vec<FileStatus> {
    let status = |name: &String| {
        let bytes = std::fs::metadata(name).map_or(0, |m| m.len());
        FileStatus { name: name.clone(), bytes, wrong: None }
    };
    [&info.encoder.file, &info.decoder.file].into_iter().map(status).collect()
}

/// Opens the model on every provider that ONNX Runtime has here; the first that works describes it.
fn try_providers(arguments: &Arguments) -> (Result<ModelInfo, promptseg::model::Error>, Vec<Trial>) {
    let mut described = None;
    let mut trials = Vec::new();
    for provider in Provider::ALL {
        let outcome = match provider.available() {
            Err(reason) => Err(reason),
            Ok(()) => match open(arguments, provider) {
                Ok(model) => {
                    let reports = model.reports();
                    let refused = reports.iter().flat_map(|(_, r)| r.refused.iter().map(|e| format!("not {e}")));
                    let notes = reports.iter().flat_map(|(_, r)| r.notes.clone());
                    let mut told: Vec<String> = refused.chain(notes).collect();
                    told.sort();
                    told.dedup();
                    let parts = reports.iter().map(|(part, report)| (*part, report.precision)).collect();
                    let runs = Runs { parts, told };
                    if !matches!(described, Some(Ok(_))) {
                        described = Some(Ok(model.info));
                    }
                    Ok(runs)
                }
                Err(e) => {
                    let reason = e.to_string();
                    described.get_or_insert(Err(e));
                    Err(reason)
                }
            },
        };
        trials.push(Trial { provider, outcome });
    }
    // Only where ONNX Runtime itself is missing: opening says so.
    let described = described.unwrap_or_else(|| open(arguments, Provider::Cpu).map(|model| model.info));
    (described, trials)
}

fn open(arguments: &Arguments, provider: Provider) -> Result<Model, promptseg::model::Error> {
    let options = SessionOptions {
        providers: vec![provider],
        precision: Precision::choice(&arguments.precision)?,
        gpu: GpuOptions { engine_cache: GpuOptions::engine_cache_of(""), ..GpuOptions::default() },
        ..SessionOptions::default()
    };
    match &arguments.path {
        Some(path) => Model::open(path, arguments.decoder.as_deref(), &options),
        None => Model::tiny(&options),
    }
}

/// The masks that the decoder gives for a prompt.
fn masks(info: &ModelInfo) -> String {
    match (info.single_mask, info.candidates) {
        (true, 0) => "one, which its graph chooses".to_owned(),
        (true, candidates) => format!("one for clear prompts, {candidates} candidates"),
        (false, candidates) => format!("{candidates} candidates"),
    }
}

fn describe(info: &ModelInfo) -> Result<(), Failure> {
    let objects = if info.batched { "several in one run" } else { "one after the other" };
    for (key, value) in [
        ("name", terminal::bold(&info.name)),
        ("family", info.family.clone()),
        ("source", info.source.clone()),
        ("licence", info.licence.clone()),
        ("layout", info.layout.to_owned()),
        ("size", format!("{:.1} MB", info.bytes as f64 / 1e6)),
        ("image", format!("{0} x {0}, {1}, mean {2:?}, std {3:?}", info.image_size, resize(info), info.mean, info.std)),
        ("embedding", format!("{:?}", info.embedding_shape)),
        ("masks", format!("{0}, {1} x {1} logits", masks(info), info.low_res_size)),
        (
            "unstable",
            info.dynamic_multimask.map_or_else(String::new, |rule| format!("the best candidate instead: {rule}")),
        ),
        ("prompts", prompts(info).join(", ")),
        ("objects", objects.to_owned()),
        ("memory", info.memory.as_ref().map_or_else(String::new, remembers)),
        ("runtime", runtime::build_info()?.to_owned()),
    ] {
        if !value.is_empty() {
            terminal::print(format!("{key:<12}{value}"));
        }
    }
    for variant in &info.variants {
        terminal::print(format!("{:<12}{}", "variant", in_words(variant)));
    }
    for note in &info.notes {
        terminal::print(format!("{:<12}{note}", "note"));
    }
    Ok(())
}

/// `7 frames, 16 object pointers, 4096 x 64 for a frame, 524 kB`
fn remembers(memory: &MemoryInfo) -> String {
    let MemorySpec { frames, pointers, feature_bytes, .. } = memory.spec;
    let [tokens, channels] = memory.shape;
    let kilobytes = feature_bytes as f64 / 1e3;
    format!("{frames} frames, {pointers} object pointers, {tokens} x {channels} for a frame, {kilobytes:.0} kB")
}

/// `int8 for cpu: image_encoder.int8.onnx, mask_decoder.onnx; off PyTorch by iou 0.0004, low_res 0.009`
fn in_words(variant: &Variant) -> String {
    let providers = variant.providers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let parity = variant.parity.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ");
    let parity = if parity.is_empty() { "not measured".to_owned() } else { parity };
    let graphs = variant.graphs().collect::<Vec<_>>().join(", ");
    format!("{} for {providers}: {graphs}; against PyTorch: {parity}", variant.precision)
}

fn as_json(
    arguments: &Arguments,
    model: &Result<ModelInfo, promptseg::model::Error>,
    files: &[FileStatus],
    trials: &[Trial],
) -> Result<Value, Failure> {
    let mut value = json!({ "path": arguments.path.as_ref().map(|path| path.to_string_lossy()) });
    match model {
        Ok(info) => {
            value["name"] = json!(info.name);
            value["family"] = json!(info.family);
            value["source"] = json!(info.source);
            value["licence"] = json!(info.licence);
            value["layout"] = json!(info.layout);
            value["bytes"] = json!(info.bytes);
            value["image_size"] = json!(info.image_size);
            value["resize"] = json!(resize(info));
            value["mean"] = json!(info.mean.map(short));
            value["std"] = json!(info.std.map(short));
            value["embedding_shape"] = json!(info.embedding_shape);
            value["low_res_size"] = json!(info.low_res_size);
            value["mask_threshold"] = json!(short(info.mask_threshold));
            value["candidates"] = json!(info.candidates);
            value["single_mask"] = json!(info.single_mask);
            value["dynamic_multimask"] = json!(info.dynamic_multimask);
            value["prompts"] = json!(prompts(info));
            value["batched"] = json!(info.batched);
            value["variants"] = json!(info.variants);
            value["notes"] = json!(info.notes);
            value["encoder"] = signature(&info.encoder);
            value["decoder"] = signature(&info.decoder);
            value["memory"] = info.memory.as_ref().map_or(Value::Null, |memory| {
                json!({
                    "frames": memory.spec.frames,
                    "pointers": memory.spec.pointers,
                    "shape": memory.shape,
                    "bytes_per_frame": memory.spec.feature_bytes,
                    "attention": signature(&memory.attention),
                    "encoder": signature(&memory.encoder),
                })
            });
            value["runtime"] = json!(runtime::build_info()?);
        }
        Err(e) => value["error"] = json!(e.to_string()),
    }
    let file = |f: &FileStatus| json!({ "name": f.name, "bytes": f.bytes, "ok": f.wrong.is_none(), "wrong": f.wrong });
    value["files"] = files.iter().map(file).collect();
    let trial = |t: &Trial| match &t.outcome {
        Ok(Runs { parts, told }) => {
            let mut value = json!({ "provider": t.provider, "runs": true, "notes": told });
            for (part, precision) in parts {
                value[part.replace(' ', "_")] = json!(precision);
            }
            value
        }
        Err(reason) => json!({ "provider": t.provider, "runs": false, "reason": reason }),
    };
    value["providers"] = trials.iter().map(trial).collect();
    Ok(value)
}

fn signature(graph: &Signature) -> Value {
    let list = |tensors: &[promptseg::model::TensorSpec]| -> Vec<Value> {
        tensors.iter().map(|t| json!({ "name": t.name, "type": t.dtype, "shape": t.shape })).collect()
    };
    json!({ "file": graph.file, "inputs": list(&graph.inputs), "outputs": list(&graph.outputs) })
}

fn tensors(name: &str, graph: &Signature) {
    terminal::print(format!("\n{}: {}", terminal::bold(name), graph.file));
    graph.inputs.iter().for_each(|input| terminal::print(format!("  in   {input}")));
    graph.outputs.iter().for_each(|output| terminal::print(format!("  out  {output}")));
}

fn prompts(info: &ModelInfo) -> Vec<&'static str> {
    let takes = [("points", info.takes_points), ("boxes", info.takes_boxes), ("masks", info.takes_masks)];
    takes.iter().filter(|(_, takes)| *takes).map(|(what, _)| *what).collect()
}

fn resize(info: &ModelInfo) -> &'static str {
    match info.resize {
        Resize::Letterbox => "letterbox",
        Resize::Stretch => "stretch",
    }
}

fn called(precision: Option<Precision>) -> String {
    precision.map_or_else(|| "as it is".to_owned(), |p| p.to_string())
}

/// Files of a pair have no hash to be checked against.
fn model_is_bundle(model: &Result<ModelInfo, promptseg::model::Error>) -> bool {
    model.as_ref().map_or(true, |info| !info.variants.is_empty())
}
