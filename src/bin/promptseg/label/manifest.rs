//! The manifest: with what a data set was made, so that it can be made again, and what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use promptseg::label::record::FrameRecord;
use promptseg::label::{Corrections, Settings, Split};
use promptseg::model::Model;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::arguments::{Arguments, Follow};
use super::passes::Passes;
use super::plan::Plan;
use super::source::Source;
use super::store::Store;
use crate::files::if_there;
use crate::formats::rounded;

/// File that is written before the first frame: a run goes on with the same inputs only.
const INPUTS: &str = "frames/inputs.txt";
const MANIFEST: &str = "manifest.json";

/// Describes everything that the records depend on.
pub fn inputs(arguments: &Arguments, plan: &Plan, model: &Model, settings: &Settings) -> Value {
    let info = &model.info;
    let sessions: BTreeMap<&str, String> =
        model.reports().into_iter().map(|(session, report)| (session, report.runs())).collect();
    let selection = arguments.selection.selection();
    let finite = |value: f64| value.is_finite().then_some(value);
    let filter = arguments.detections.filter();
    let detections = plan.detection_topic.as_ref().map(|topic| {
        json!({
            "topic": topic,
            "tolerance": arguments.detections.tolerance,
            "min_score": filter.min_score,
            "classes": filter.classes,
            "max_detections": filter.max_count,
        })
    });
    let everything = settings.everything.as_ref().map(|everything| {
        json!({
            "points_per_side": everything.points_per_side,
            "pred_iou_thresh": rounded(everything.pred_iou_thresh),
            "stability_score_thresh": rounded(everything.stability_score_thresh),
        })
    });
    let mut inputs = json!({
        "promptseg": env!("CARGO_PKG_VERSION"),
        "model": { "name": info.name, "family": info.family, "hash": info.hash, "bytes": info.bytes, "sessions": sessions },
        "camera": plan.calibration.as_ref().map(|c| json!({
            "width": c.width, "height": c.height, "distortion_model": c.distortion_model, "d": c.d, "k": c.k, "r": c.r, "p": c.p,
        })),
        "selection": {
            "start": selection.start, "end": finite(selection.end), "every": selection.every, "rate": finite(selection.rate),
        },
        "prompts_sha256": arguments.prompts.as_ref().map(|_| sha256(plan.seeds_text.as_bytes())),
        "detections": detections,
        "everything": everything,
        "objects": {
            "min_iou": rounded(settings.min_iou),
            "merge_iou": rounded(settings.merge_iou),
            "link_iou": rounded(settings.link_iou),
            "lost_after": settings.lost_after,
            "window": settings.window,
        },
        "val": arguments.val,
        "images": !arguments.no_images,
        "frames_planned": plan.total,
    });
    add_source(&mut inputs, &plan.source);
    if let Some(slice) = arguments.slice {
        inputs["slice"] = json!(slice.to_string());
    }
    inputs
}

/// Describes the files that are read.
fn add_source(inputs: &mut Value, source: &Source) {
    let size = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match source {
        Source::Bag { bag, topic } => {
            let file = |file: &PathBuf| json!({ "name": name(file), "bytes": size(file) });
            inputs["bag"] = bag.files().iter().map(file).collect();
            inputs["image"] = json!(topic);
        }
        Source::Pictures { list, rate } => {
            let lines: String = list.iter().map(|path| format!("{} {}\n", size(path), name(path))).collect();
            inputs["pictures"] =
                json!({ "count": list.len(), "sizes_and_names_sha256": sha256(lines.as_bytes()), "fps": rate });
        }
        Source::Video { path, count, rate } => {
            inputs["video"] = json!({ "name": name(path), "bytes": size(path), "frames": count, "fps": rate });
        }
    }
}

/// Stores the inputs, or compares them with those of the run that is resumed.
///
/// # Errors
/// The folder has the records of a run with other inputs.
pub fn check_inputs(store: &Store, inputs: &Value) -> Result<(), String> {
    let Some(old) = stored_inputs(store)? else { return store.write(INPUTS, text(inputs).as_bytes()) };
    if old == *inputs {
        return Ok(());
    }
    Err(format!(
        "{} has the frames of another run: {}; give another --out, or --overwrite to begin again",
        store.folder().display(),
        differences(&old, inputs).join("; ")
    ))
}

/// Returns the inputs of the run that wrote a folder; none if no run did.
///
/// # Errors
/// The file cannot be read.
pub fn stored_inputs(store: &Store) -> Result<Option<Value>, String> {
    let path = store.folder().join(INPUTS);
    let content = if_there(std::fs::read(&path)).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(content.map(|content| serde_json::from_slice(&content).unwrap_or_default()))
}

/// Describes the inputs of a run that another run had not, or had with another value.
pub fn differences(old: &Value, new: &Value) -> Vec<String> {
    let names = |value: &Value| value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let all: BTreeSet<String> = [old, new].into_iter().flat_map(|value| -> Vec<String> { names(value) }).collect();
    let changed = all.into_iter().filter(|name| old[name] != new[name]);
    changed.map(|name| format!("{name} was {}, is {}", old[&name], new[&name])).collect()
}

/// What is in a data set.
#[derive(Default)]
pub struct Counts {
    frames: BTreeMap<&'static str, usize>,
    faults: usize,
    /// Masks by class; by source.
    masks: BTreeMap<String, usize>,
    sources: BTreeMap<String, usize>,
    iou: f64,
}

impl Counts {
    pub fn add(&mut self, record: &FrameRecord) {
        if record.fault.is_some() {
            self.faults += 1;
            return;
        }
        *self.frames.entry(record.split.name()).or_default() += 1;
        for object in &record.objects {
            *self.masks.entry(object.class.clone()).or_default() += 1;
            *self.sources.entry(format!("{:?}", object.source).to_lowercase()).or_default() += 1;
            self.iou += f64::from(object.iou);
        }
    }

    /// Returns the number of masks.
    pub fn masks(&self) -> usize {
        self.masks.values().sum()
    }

    /// Returns the classes in the order of their names; the empty class is that of objects without one.
    pub fn classes(&self) -> Vec<String> {
        self.masks.keys().cloned().collect()
    }
}

/// What the manifest lists beside the inputs.
pub struct Parts<'a> {
    pub counts: &'a Counts,
    /// Names of the classes.
    pub classes: &'a [String],
    pub formats: &'a [String],
    /// Sentences for people.
    pub remarks: &'a [String],
    pub follow: Follow,
}

/// Writes the manifest.
pub fn write(
    store: &Store,
    inputs: &Value,
    parts: &Parts<'_>,
    passes: &Passes<'_>,
    complete: bool,
) -> Result<(), String> {
    let Parts { counts, classes, formats, remarks, follow } = parts;
    let frames = |split: Split| counts.frames.get(split.name()).copied().unwrap_or(0);
    let mean = if counts.masks() > 0 { (counts.iou / counts.masks() as f64 * 1e6).round() / 1e6 } else { 0.0 };
    let manifest = json!({
        "inputs": inputs,
        "follow": format!("{follow:?}").to_lowercase(),
        "complete": complete,
        "frames": { "train": frames(Split::Train), "val": frames(Split::Val), "undecoded": counts.faults },
        "masks": counts.masks(),
        "masks_by_source": counts.sources,
        "objects_merged": passes.identities().merged(),
        "corrections": corrections(passes.corrections())?,
        "mean_predicted_iou": mean,
        "classes": classes,
        "formats": formats,
        "remarks": remarks,
    });
    store.write(MANIFEST, text(&manifest).as_bytes())
}

/// Describes the corrections; null without any.
fn corrections(corrections: &Corrections) -> Result<Value, String> {
    if corrections.is_empty() {
        return Ok(Value::Null);
    }
    let (count, objects) = corrections.count();
    Ok(json!({ "count": count, "objects": objects, "sha256": sha256(corrections.text()?.as_bytes()) }))
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(value: &Value) -> String {
    format!("{value:#}\n")
}
