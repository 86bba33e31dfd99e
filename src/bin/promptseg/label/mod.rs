//! `promptseg label`: a data set from a bag, a video or pictures.

mod arguments;
mod compute;
mod content;
mod export;
mod interrupt;
mod join;
mod manifest;
mod plan;
mod read;
mod slice;
mod source;
mod store;
mod write;

use promptseg::everything;
use promptseg::label::{Labeller, Renumbering, Settings};
use promptseg::model::ModelInfo;

use crate::failure::Failure;
use crate::generation::check_model;
use crate::terminal;
pub use arguments::Arguments;
use export::Dataset;
use interrupt::Interrupt;
use plan::Plan;
use store::Store;

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let spinner = terminal::spinner("reading the input");
    let plan = Plan::make(arguments);
    spinner.finish_and_clear();
    let plan = plan?;
    plan.remarks.iter().for_each(terminal::warn);
    let spinner = terminal::spinner("loading the model");
    let model = arguments.model.open(true)?;
    spinner.finish_and_clear();
    let settings = settings(arguments, &plan, &model.info)?;
    check_slices(arguments, &plan, &model.info)?;
    let store = Store::open(&arguments.out, arguments.overwrite)?;
    let inputs = manifest::inputs(arguments, &plan, &model, &settings);
    manifest::check_inputs(&store, &inputs)?;
    if !arguments.join.is_empty() {
        let slices: Vec<Store> = arguments.join.iter().map(|folder| Store::of_earlier(folder)).collect();
        let renumbering = Renumbering::new(plan.seeds.last_object() + 1, settings.link_iou);
        join::join(&slices, &plan, &store, &inputs, renumbering)?;
    }
    let interrupt = Interrupt::watch()?;
    let name = model.info.name.clone();
    let mut labeller = Labeller::new(model, settings, plan.seeds.last_object() + 1)?;
    let total = plan.frames.len();
    let bar = terminal::progress(total, "frames");
    let computed = compute::compute(&plan, &store, &mut labeller, !arguments.no_images, &interrupt, &bar);
    bar.finish_and_clear();
    if arguments.slice.is_some() {
        return end_slice(arguments, computed?, total);
    }
    // The data set is made of the frames that are done, also after a failure.
    let done = plan.frames.iter().take_while(|planned| store.has_record(planned.frame)).count();
    let exported = export(arguments, &plan, &store, &inputs, &name, done);
    computed?;
    let masks = exported?;
    if done < total {
        let out = arguments.out.display();
        let message =
            format!("interrupted after {done} of {total} frames, which are in {out}; the same command goes on");
        return Err(Failure::Failed(message.into()));
    }
    terminal::note(format!("{masks} masks on {total} frames in {}", arguments.out.display()));
    terminal::print(arguments.out.join("manifest.json").display());
    Ok(())
}

/// Returns an error if the frames cannot be labelled in slices: a memory follows objects from the first frame on.
fn check_slices(arguments: &Arguments, plan: &Plan, info: &ModelInfo) -> Result<(), Failure> {
    let is_sliced = arguments.slice.is_some() || !arguments.join.is_empty();
    let is_followed = info.memory.is_some() && (arguments.prompts.is_some() || plan.detection_topic.is_some());
    if is_sliced && is_followed {
        let message = format!(
            "{} follows the objects of prompts and detections from frame to frame, so slices would differ from one run: \
             label the whole input, or with --auto alone",
            info.name
        );
        return Err(Failure::Usage(message));
    }
    Ok(())
}

/// Reports the end of a slice. Its data set is made when the slices are joined.
fn end_slice(arguments: &Arguments, done: usize, total: usize) -> Result<(), Failure> {
    let out = arguments.out.display();
    if done < total {
        let message =
            format!("interrupted after {done} of {total} frames, which are in {out}; the same command goes on");
        return Err(Failure::Failed(message.into()));
    }
    terminal::note(format!("{total} frames of the slice in {out}"));
    terminal::print(out);
    Ok(())
}

/// Returns the rules of the stages.
///
/// # Errors
/// A setting is out of its range, or the model does not take the prompts of a stage.
fn settings(arguments: &Arguments, plan: &Plan, info: &ModelInfo) -> Result<Settings, Failure> {
    let objects = &arguments.objects;
    for (name, iou) in [("min-iou", objects.min_iou), ("merge-iou", objects.merge_iou), ("link-iou", objects.link_iou)]
    {
        if !(0.0..=1.0).contains(&iou) {
            return Err(Failure::Usage(format!("--{name} {iou}: expected an IoU from 0 to 1")));
        }
    }
    if plan.detection_topic.is_some() && !info.takes_boxes {
        return Err(format!("{} takes no boxes, which --detections needs; it takes {}", info.name, info.takes()).into());
    }
    let mut everything = None;
    if arguments.auto {
        let mut grid = everything::Settings::for_model(info.grid_defaults);
        grid.points_per_side = arguments.points_per_side.unwrap_or(grid.points_per_side);
        grid.check().map_err(|e| Failure::Usage(e.to_string()))?;
        check_model(info, &grid)?;
        everything = Some(grid);
    }
    if info.memory.is_none() && arguments.prompts.is_some() {
        terminal::warn(format!("{} has no memory, so the prompts label their own frames only", info.name));
    }
    Ok(Settings {
        min_iou: objects.min_iou,
        merge_iou: objects.merge_iou,
        link_iou: objects.link_iou,
        lost_after: objects.lost_after,
        window: objects.window as usize,
        everything,
    })
}

/// Writes the formats and the manifest for the first `done` frames. Returns the number of masks.
fn export(
    arguments: &Arguments,
    plan: &Plan,
    store: &Store,
    inputs: &serde_json::Value,
    model: &str,
    done: usize,
) -> Result<usize, String> {
    let spinner = terminal::spinner("writing the data set");
    let mut counts = manifest::Counts::default();
    let frames = &plan.frames[..done];
    for planned in frames {
        counts.add(&store.record(planned.frame)?.ok_or("a record is gone")?);
    }
    let dataset = Dataset::new(store, frames, &counts.classes(), model, plan.source.has_times());
    let mut remarks = plan.remarks.clone();
    let mut names = Vec::new();
    for format in &arguments.format {
        let of_format = export::write(&dataset, *format)?;
        of_format.iter().for_each(terminal::warn);
        remarks.extend(of_format);
        names.push(format!("{format:?}").to_lowercase());
    }
    let complete = done == plan.frames.len();
    manifest::write(store, inputs, &counts, &dataset.classes, &names, &remarks, complete)?;
    spinner.finish_and_clear();
    Ok(counts.masks())
}
