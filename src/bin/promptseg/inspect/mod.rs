//! `promptseg inspect`: describes a bundle or a pair of ONNX files, checks the files, and tries each execution provider.

mod arguments;
mod files;
mod signatures;
mod text_model;
mod trials;

use promptseg::model::network::MemorySpec;
use promptseg::model::{
    Bundle, Error, GridDefaults, MemoryInfo, Model, ModelInfo, Precision, Provider, Variant, runtime,
};
use promptseg::pixels::Resize;
use promptseg::text::TextBundle;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::formats::rounded;
use crate::terminal;
pub use arguments::Arguments;
use files::{FileStatus, files_of_bundle};
use signatures::{print_tensors, signature};
use trials::{Trial, options_of, sessions};

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = arguments.model.path.as_deref().filter(|_| arguments.model.decoder.is_none());
    if let Some(path) = path.filter(|path| TextBundle::is_at(path)) {
        return text_model::run(arguments, path);
    }
    let spinner = terminal::spinner("opening the model");
    let mut files = Vec::new();
    if let Some(folder) = path.and_then(Bundle::folder_of) {
        files = files_of_bundle(&Bundle::describe(&folder)?);
    }
    let (model, trials) = try_providers(arguments);
    spinner.finish_and_clear();
    if let Some(info) =
        model.as_ref().ok().filter(|info| files.is_empty() && !info.encoder.file.starts_with("embedded"))
    {
        files = files_of_pair(info);
    }
    if arguments.json {
        terminal::print(as_json(arguments, &model, &files, &trials)?);
    } else {
        print_table(arguments, &model, &files, &trials)?;
    }
    match (model, files.into_iter().find_map(|file| file.fault)) {
        (Err(e), _) => Err(e.into()),
        // The file may belong to a variant that does not run on this machine.
        (_, Some(fault)) => Err(fault.into()),
        _ => Ok(()),
    }
}

fn print_table(
    arguments: &Arguments,
    model: &Result<ModelInfo, Error>,
    files: &[FileStatus],
    trials: &[Trial],
) -> Result<(), Failure> {
    if let Ok(info) = model {
        print_description(info)?;
    }
    files.iter().for_each(|file| file.print(if has_hashes(model) { "hash ok" } else { "" }));
    trials.iter().for_each(Trial::print);
    if let Some(info) = model.as_ref().ok().filter(|_| arguments.tensors) {
        print_tensors("encoder", &info.encoder);
        print_tensors("decoder", &info.decoder);
        if let Some(memory) = &info.memory {
            print_tensors("memory attention", &memory.attention);
            print_tensors("memory encoder", &memory.encoder);
        }
    }
    Ok(())
}

/// Returns the two files of a model without a bundle.
fn files_of_pair(info: &ModelInfo) -> Vec<FileStatus> {
    let status = |name: &String| {
        let bytes = std::fs::metadata(name).map_or(0, |m| m.len());
        FileStatus { name: name.clone(), bytes, fault: None }
    };
    [&info.encoder.file, &info.decoder.file].into_iter().map(status).collect()
}

/// Opens the model on every provider of the installed ONNX Runtime. The description is that of the first provider on
/// which the model opens.
fn try_providers(arguments: &Arguments) -> (Result<ModelInfo, Error>, Vec<Trial>) {
    trials::try_providers(|provider| open(arguments, provider), |model| (sessions(&model.reports()), model.info))
}

fn open(arguments: &Arguments, provider: Provider) -> Result<Model, Error> {
    arguments.model.open(&options_of(provider, Precision::choice(&arguments.precision)?))
}

/// Describes the masks that the decoder returns for a prompt.
fn masks(info: &ModelInfo) -> String {
    match (info.single_mask, info.candidates) {
        (true, 0) => "one, chosen by the graph".to_owned(),
        (true, candidates) => format!("one for clear prompts, {candidates} candidates"),
        (false, candidates) => format!("{candidates} candidates"),
    }
}

/// Returns the square in whose pixels the decoder takes prompts, if it is not the encoder's picture.
fn prompt_square(info: &ModelInfo) -> String {
    match info.prompt_side == info.image_size {
        true => String::new(),
        false => format!("prompts lie in {0} x {0}", info.prompt_side),
    }
}

/// Prints the properties of the model.
fn print_description(info: &ModelInfo) -> Result<(), Failure> {
    let objects = if info.batched { "several in one run" } else { "one after the other" };
    for (key, value) in [
        ("name", terminal::bold(&info.name)),
        ("family", info.family.clone()),
        ("source", info.source.clone()),
        ("licence", info.licence.clone()),
        ("layout", info.layout.to_owned()),
        ("size", format!("{:.1} MB", info.bytes as f64 / 1e6)),
        ("image", format!("{0} x {0}, {1}, mean {2:?}, std {3:?}", info.image_size, resize(info), info.mean, info.std)),
        ("square", prompt_square(info)),
        ("embedding", format!("{:?}", info.embedding_shape)),
        ("masks", format!("{0}, {1} x {1} logits", masks(info), info.low_res_size)),
        (
            "unstable",
            info.dynamic_multimask.map_or_else(String::new, |rule| format!("the best candidate instead: {rule}")),
        ),
        ("prompts", prompts(info).join(", ")),
        ("everything", grid_defaults(info)),
        ("objects", objects.to_owned()),
        ("memory", info.memory.as_ref().map_or_else(String::new, memory_size)),
        ("runtime", runtime::build_info()?.to_owned()),
    ] {
        if !value.is_empty() {
            terminal::print(format!("{key:<12}{value}"));
        }
    }
    for variant in &info.variants {
        terminal::print(format!("{:<12}{}", "variant", variant_line(variant)));
    }
    for note in &info.notes {
        terminal::print(format!("{:<12}{note}", "note"));
    }
    Ok(())
}

/// Describes the memory: `7 frames, 16 object pointers, 4096 x 64 for a frame, 524 kB`.
fn memory_size(memory: &MemoryInfo) -> String {
    let MemorySpec { frames, pointers, feature_bytes, .. } = memory.spec;
    let [tokens, channels] = memory.shape;
    let kilobytes = feature_bytes as f64 / 1e3;
    format!("{frames} frames, {pointers} object pointers, {tokens} x {channels} for a frame, {kilobytes:.0} kB")
}

/// Describes a variant: `int8 for cpu: image_encoder.int8.onnx, mask_decoder.onnx; against PyTorch: iou 0.0004`.
fn variant_line(variant: &Variant) -> String {
    let providers = variant.providers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let parity = variant.parity.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ");
    let parity = if parity.is_empty() { "not measured".to_owned() } else { parity };
    let graphs = variant.graphs().collect::<Vec<_>>().join(", ");
    let providers = if providers.is_empty() { "no provider unless requested".to_owned() } else { providers };
    let calibration = variant.calibration.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>();
    let calibrated = match calibration.as_slice() {
        [] => String::new(),
        figures => format!("; calibrated, against fp32: {}", figures.join(", ")),
    };
    format!("{} for {providers}: {graphs}; against PyTorch: {parity}{calibrated}", variant.precision)
}

/// Returns the model, its files and the outcome on each provider as one JSON object.
fn as_json(
    arguments: &Arguments,
    model: &Result<ModelInfo, Error>,
    files: &[FileStatus],
    trials: &[Trial],
) -> Result<Value, Failure> {
    let mut value = match model {
        Ok(info) => model_as_json(info)?,
        Err(e) => json!({ "error": e.to_string() }),
    };
    value["path"] = json!(arguments.model.path.as_ref().map(|path| path.to_string_lossy()));
    value["files"] = files.iter().map(FileStatus::as_json).collect();
    value["providers"] = trials.iter().map(Trial::as_json).collect();
    Ok(value)
}

fn model_as_json(info: &ModelInfo) -> Result<Value, Failure> {
    let memory = info.memory.as_ref().map(|memory| {
        json!({
            "frames": memory.spec.frames,
            "pointers": memory.spec.pointers,
            "shape": memory.shape,
            "bytes_per_frame": memory.spec.feature_bytes,
            "attention": signature(&memory.attention),
            "encoder": signature(&memory.encoder),
        })
    });
    Ok(json!({
        "name": info.name,
        "family": info.family,
        "source": info.source,
        "licence": info.licence,
        "layout": info.layout,
        "bytes": info.bytes,
        "image_size": info.image_size,
        "resize": resize(info),
        "mean": info.mean.map(rounded),
        "std": info.std.map(rounded),
        "embedding_shape": info.embedding_shape,
        "low_res_size": info.low_res_size,
        "mask_threshold": rounded(info.mask_threshold),
        "candidates": info.candidates,
        "single_mask": info.single_mask,
        "dynamic_multimask": info.dynamic_multimask,
        "prompts": prompts(info),
        "batched": info.batched,
        "everything": {
            "points_per_side": info.grid_defaults.points_per_side,
            "pred_iou_thresh": rounded(info.grid_defaults.pred_iou_thresh),
            "stability_score_thresh": rounded(info.grid_defaults.stability_score_thresh),
        },
        "variants": info.variants,
        "notes": info.notes,
        "encoder": signature(&info.encoder),
        "decoder": signature(&info.decoder),
        "memory": memory,
        "runtime": runtime::build_info()?,
    }))
}

/// Lists the kinds of prompts that the model takes.
fn grid_defaults(info: &ModelInfo) -> String {
    let GridDefaults { points_per_side, pred_iou_thresh, stability_score_thresh } = info.grid_defaults;
    format!(
        "{points_per_side} clicks a side, predicted IoU above {pred_iou_thresh}, stability from {stability_score_thresh}"
    )
}

fn prompts(info: &ModelInfo) -> Vec<&'static str> {
    let takes = [("points", info.takes_points), ("boxes", info.takes_boxes), ("masks", info.takes_masks)];
    takes.iter().filter(|(_, takes)| *takes).map(|(kind, _)| *kind).collect()
}

fn resize(info: &ModelInfo) -> &'static str {
    match info.resize {
        Resize::Letterbox => "letterbox",
        Resize::Stretch => "stretch",
    }
}

/// Returns whether the files have hashes, which a pair of files without a bundle has not.
fn has_hashes(model: &Result<ModelInfo, Error>) -> bool {
    model.as_ref().map_or(true, |info| !info.variants.is_empty())
}
