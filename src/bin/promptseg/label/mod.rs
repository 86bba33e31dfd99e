//! `promptseg label`: a data set from a bag, a video or pictures.

mod arguments;
mod compute;
mod content;
mod corrections;
mod export;
mod follow;
mod images;
mod interrupt;
mod join;
mod later;
mod manifest;
mod passes;
mod plan;
mod read;
mod review;
mod slice;
mod source;
mod store;
mod text_seeds;
mod write;

use clap::ValueEnum;
use promptseg::everything;
use promptseg::label::{Labeller, Renumbering, Settings};
use promptseg::model::ModelInfo;

use crate::failure::Failure;
use crate::generation::check_model;
use crate::terminal;
pub use arguments::Arguments;
use arguments::Follow;
use corrections::Given;
use export::Dataset;
use images::Images;
use interrupt::Interrupt;
use later::LaterPasses;
use passes::Passes;
use plan::Plan;
use store::Store;
use text_seeds::TextSeeds;

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let spinner = terminal::spinner("reading the input");
    let plan = Plan::make(arguments);
    spinner.finish_and_clear();
    let plan = plan?;
    plan.remarks.iter().for_each(terminal::warn);
    let review = arguments.review.review.as_deref();
    review.map_or(Ok(()), review::check_folder)?;
    let given = Given::find(arguments.review.corrections.as_deref(), review)?;
    let spinner = terminal::spinner("loading the model");
    let model = arguments.model.open(true)?;
    spinner.finish_and_clear();
    let settings = settings(arguments, &plan, &model.info)?;
    check_slices(arguments, &plan, &model.info)?;
    let store = Store::open(&arguments.out, arguments.overwrite)?;
    let mut text = TextSeeds::open(arguments, &model.info)?;
    let mut inputs = manifest::inputs(arguments, &plan, &model, &settings);
    if let Some(text) = &text {
        inputs["text"] = text.description();
    }
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
    let computed =
        compute::compute(&plan, &store, (&mut labeller, text.as_mut()), !arguments.no_images, &interrupt, &bar);
    bar.finish_and_clear();
    if arguments.slice.is_some() {
        return end_slice(arguments, computed?, total);
    }
    // The data set is made of the frames that are done, also after a failure.
    let done = plan.frames.iter().take_while(|planned| store.has_record(planned.frame)).count();
    let (mut model, settings) = labeller.into_parts();
    let mut passes = Passes::first(&store, &plan.frames[..done], &settings);
    let has_first_pass = computed.is_ok() && done == total;
    let later = LaterPasses {
        plan: &plan,
        store: &store,
        model: &mut model,
        settings: &settings,
        interrupt: &interrupt,
        backward: arguments.objects.follow == Follow::Both,
        given,
    };
    let is_complete = if has_first_pass { later.run(&mut passes) } else { Ok(false) };
    let exported = export(arguments, &plan, &store, &passes, &inputs, &name, is_complete == Ok(true));
    computed?;
    let is_complete = is_complete?;
    let masks = exported?;
    if !is_complete || !write_review(arguments, &plan, &store, &passes, &interrupt)? {
        let out = arguments.out.display();
        let place = match has_first_pass {
            true => "after the first pass".to_owned(),
            false => format!("after {done} of {total} frames"),
        };
        let message = format!("interrupted {place}; {out} has the frames so far; the same command goes on");
        return Err(Failure::Failed(message.into()));
    }
    store.remove_kept_images()?;
    terminal::note(format!("{masks} masks on {total} frames in {}", arguments.out.display()));
    terminal::print(arguments.out.join("manifest.json").display());
    Ok(())
}

/// Returns an error if the frames cannot be labelled in slices: a memory follows objects from the first frame on.
fn check_slices(arguments: &Arguments, plan: &Plan, info: &ModelInfo) -> Result<(), Failure> {
    let is_sliced = arguments.slice.is_some() || !arguments.join.is_empty();
    let is_prompted = arguments.prompts.is_some() || plan.detection_topic.is_some() || arguments.text.text.is_some();
    let is_followed = info.memory.is_some() && is_prompted;
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

/// Writes the folder of `--review`. Returns false if the run was interrupted.
fn write_review(
    arguments: &Arguments,
    plan: &Plan,
    store: &Store,
    passes: &Passes<'_>,
    interrupt: &Interrupt,
) -> Result<bool, String> {
    let Some(folder) = &arguments.review.review else { return Ok(true) };
    let spinner = terminal::spinner("writing the review");
    let ranks = review::ranks(passes, arguments.review.review_frames)?;
    let wanted = ranks.keys().map(|at| plan.frames[*at].frame).collect();
    let is_whole =
        review::write(folder, passes, &Images::new(plan, store, interrupt, wanted), &ranks, plan.source.has_times());
    spinner.finish_and_clear();
    is_whole
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

/// Writes the formats and the manifest. Returns the number of masks.
fn export(
    arguments: &Arguments,
    plan: &Plan,
    store: &Store,
    passes: &Passes<'_>,
    inputs: &serde_json::Value,
    model: &str,
    is_complete: bool,
) -> Result<usize, String> {
    let spinner = terminal::spinner("writing the data set");
    let mut counts = manifest::Counts::default();
    passes.each(&mut |_, record| {
        counts.add(record);
        Ok(())
    })?;
    let dataset =
        Dataset::new(store, passes, &counts.classes(), model, (!arguments.no_images, plan.source.has_times()));
    let mut remarks = plan.remarks.clone();
    let mut names = Vec::new();
    for format in &arguments.format {
        let of_format = export::write(&dataset, *format)?;
        of_format.iter().for_each(terminal::warn);
        remarks.extend(of_format);
        names.extend(format.to_possible_value().map(|value| value.get_name().to_owned()));
    }
    let follow = arguments.objects.follow;
    let parts =
        manifest::Parts { counts: &counts, classes: &dataset.classes, formats: &names, remarks: &remarks, follow };
    manifest::write(store, inputs, &parts, passes, is_complete)?;
    spinner.finish_and_clear();
    Ok(counts.masks())
}
