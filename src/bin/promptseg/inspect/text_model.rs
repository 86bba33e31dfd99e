//! A text model: its description, its files, and its trials.

use std::path::Path;

use promptseg::model::runtime;
use promptseg::text::fields::{Family, Fields, Owlv2Fields, Sam3Fields};
use promptseg::text::{TextBundle, TextModel};
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::files::FileStatus;
use super::signatures::{print_tensors, signature};
use super::trials::{Trial, options_of, sessions, try_providers};
use crate::failure::Failure;
use crate::formats::rounded;
use crate::terminal;

/// Describes the bundle of a text model.
pub fn run(arguments: &Arguments, path: &Path) -> Result<(), Failure> {
    if arguments.precision != "auto" {
        let message = "--precision chooses a variant of a model that makes masks of prompts; a text model has none";
        return Err(Failure::Usage(message.to_owned()));
    }
    let spinner = terminal::spinner("opening the text model");
    let bundle = TextBundle::open(path);
    let (files, trials, model) = match &bundle {
        Ok(bundle) => {
            let (model, trials) = try_providers(
                |provider| TextModel::of_bundle(bundle, &options_of(provider, None)),
                |model| (sessions(&model.reports()), model),
            );
            (files(bundle), trials, Some(model))
        }
        Err(_) => (Vec::new(), Vec::new(), None),
    };
    spinner.finish_and_clear();
    let bundle = bundle?;
    let opened = model.as_ref().and_then(|model| model.as_ref().ok());
    if arguments.json {
        terminal::print(as_json(path, &bundle, &files, &trials, opened)?);
    } else {
        print_description(&bundle)?;
        files.iter().for_each(|file| file.print("hash ok"));
        trials.iter().for_each(Trial::print);
        if let Some(model) = opened.filter(|_| arguments.tensors) {
            model.graphs().into_iter().for_each(|(part, graph)| print_tensors(part, graph));
        }
    }
    match (model, files.into_iter().find_map(|file| file.fault)) {
        (Some(Err(e)), _) => Err(e.into()),
        (_, Some(fault)) => Err(fault.into()),
        _ => Ok(()),
    }
}

/// Compares every file of the bundle with its size and hash. The text tower may be missing.
fn files(bundle: &TextBundle) -> Vec<FileStatus> {
    let files = bundle.files.sizes().filter(|(name, _)| !bundle.is_absent_text_file(name));
    let status = |(name, bytes): (&str, u64)| FileStatus {
        name: name.to_owned(),
        bytes,
        fault: bundle.files.verify(name).err().map(|e| e.to_string()),
    };
    files.map(status).collect()
}

/// Prints the properties of the model.
fn print_description(bundle: &TextBundle) -> Result<(), Failure> {
    let fields = &bundle.fields;
    let Fields { image_size, mean, std, tokens, channels, min_score, .. } = fields;
    let (image, objects, defaults) = match &fields.family {
        Family::Owlv2(Owlv2Fields { padding, patches, nms_iou }) => (
            format!("padded to a square with the level {padding}"),
            format!("{patches} boxes for all phrases"),
            format!("score above {min_score}, IoU of two boxes up to {nms_iou}"),
        ),
        Family::Sam3(Sam3Fields { levels, queries, mask_size, mask_threshold }) => (
            format!("stretched, features of {levels:?} cells a side"),
            format!("{queries} masks of {mask_size} x {mask_size} for each phrase"),
            format!("score above {min_score}, pixels above {mask_threshold}"),
        ),
        Family::Unknown(_) => Default::default(),
    };
    let of = if matches!(fields.family, Family::Sam3(_)) { "for each token" } else { "for the phrase" };
    let parity = fields.parity.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>();
    let no_tower = bundle.missing_text_file().map_or_else(String::new, |missing| {
        format!("no text tower ({missing} is missing): phrases come from a bank of `promptseg text-bank`")
    });
    let bytes: u64 = bundle.files.sizes().map(|(_, bytes)| bytes).sum();
    for (key, value) in [
        ("name", terminal::bold(&fields.name)),
        ("family", fields.family.name().to_owned()),
        ("source", fields.source.clone()),
        ("licence", fields.licence.clone()),
        ("finds", format!("{} by phrases", finds(fields))),
        ("size", format!("{:.1} MB", bytes as f64 / 1e6)),
        ("image", format!("{image_size} x {image_size}, {image}, mean {mean:?}, std {std:?}")),
        ("objects", objects),
        ("phrases", format!("up to {tokens} tokens with start and end, {channels} features {of}")),
        ("defaults", defaults),
        ("parity", parity.join(", ")),
        ("note", no_tower),
        ("runtime", runtime::build_info()?.to_owned()),
    ] {
        if !value.is_empty() {
            terminal::print(format!("{key:<12}{value}"));
        }
    }
    Ok(())
}

/// Returns what the model finds.
fn finds(fields: &Fields) -> &'static str {
    if matches!(fields.family, Family::Sam3(_)) { "masks" } else { "boxes" }
}

/// Returns the model, its files and the outcome on each provider as one JSON object.
fn as_json(
    path: &Path,
    bundle: &TextBundle,
    files: &[FileStatus],
    trials: &[Trial],
    model: Option<&TextModel>,
) -> Result<Value, Failure> {
    let fields = &bundle.fields;
    let mut value = json!({
        "path": path.to_string_lossy(),
        "kind": "text",
        "finds": finds(fields),
        "name": fields.name,
        "family": fields.family.name(),
        "source": fields.source,
        "licence": fields.licence,
        "hash": *bundle.hash,
        "image_size": fields.image_size,
        "mean": fields.mean.map(rounded),
        "std": fields.std.map(rounded),
        "tokens": fields.tokens,
        "channels": fields.channels,
        "min_score": rounded(fields.min_score),
        "parity": fields.parity,
        "text_tower": bundle.missing_text_file().is_none(),
        "runtime": runtime::build_info()?,
    });
    match &fields.family {
        Family::Owlv2(Owlv2Fields { padding, patches, nms_iou }) => {
            (value["padding"], value["patches"]) = (json!(rounded(*padding)), json!(patches));
            value["nms_iou"] = json!(rounded(*nms_iou));
        }
        Family::Sam3(Sam3Fields { levels, queries, mask_size, mask_threshold }) => {
            (value["levels"], value["queries"]) = (json!(levels), json!(queries));
            (value["mask_size"], value["mask_threshold"]) = (json!(mask_size), json!(rounded(*mask_threshold)));
        }
        Family::Unknown(_) => {}
    }
    for (part, graph) in model.iter().flat_map(|model| model.graphs()) {
        value["graphs"][part.replace(' ', "_")] = signature(graph);
    }
    value["files"] = files.iter().map(FileStatus::as_json).collect();
    value["providers"] = trials.iter().map(Trial::as_json).collect();
    Ok(value)
}
