//! The loop over the frames: each one is labelled, and its image and record are written.

use std::sync::mpsc::sync_channel;

use indicatif::ProgressBar;
use promptseg::label::record::{FrameRecord, ObjectRecord};
use promptseg::label::{Labelled, Labeller, Previous};
use promptseg::video::Position;

use super::interrupt::Interrupt;
use super::plan::{Plan, PlannedFrame};
use super::read::{FromReader, ReadFrame, read};
use super::store::{Store, frame_name};
use crate::terminal;

/// Images that wait decoded.
const READ_AHEAD: usize = 2;

/// Where a run begins.
struct Start {
    /// Frames that have a record and are not computed again.
    done: usize,
    /// Number of the next new object, and the objects on the last frame; none at the begin of a data set.
    state: Option<(u32, Vec<Previous>)>,
    /// Index of the last frame that was decoded, whose image a model with memory needs.
    image: Option<usize>,
}

/// Labels the frames of a plan that have no record yet. Returns the number of frames that have one now.
///
/// # Errors
/// The input cannot be read, the model fails, or a file cannot be written. The frames before have their records.
pub fn compute(
    plan: &Plan,
    store: &Store,
    labeller: &mut Labeller,
    with_images: bool,
    interrupt: &Interrupt,
    bar: &ProgressBar,
) -> Result<usize, String> {
    let start = find_start(plan, store, labeller)?;
    let done = start.done;
    bar.set_position(done as u64);
    bar.reset_eta();
    if done == plan.frames.len() {
        return Ok(done);
    }
    let resumed = start.image.filter(|_| labeller.model().info.memory.is_some());
    let mut wanted: Vec<usize> = resumed.iter().map(|index| plan.frames[*index].frame).collect();
    wanted.extend(plan.frames[done..].iter().map(|planned| planned.frame));
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<FromReader>(READ_AHEAD);
        let wanted = &wanted;
        scope.spawn(move || read(&plan.source, wanted, with_images, &sender));
        if let Some((next_object, previous)) = start.state {
            let mut image = None;
            if let Some(index) = resumed {
                let content = receiver.recv().map_err(|_| "the input ended early".to_owned())??;
                image = Some((index as Position, content.image?));
            }
            let image = image.as_ref().map(|(at, image)| (*at, &**image));
            labeller.resume(next_object, previous, image).map_err(|e| e.to_string())?;
        }
        let mut at = done;
        for content in &receiver {
            let (content, planned) = (content?, &plan.frames[at]);
            if content.frame != planned.frame {
                return Err(format!("image {} instead of {}: the input was changed", content.frame, planned.frame));
            }
            let record = label(plan, planned, at, content, store, labeller, bar)?;
            store.write_record(&record)?;
            at += 1;
            bar.inc(1);
            if interrupt.is_set() || at == plan.frames.len() {
                return Ok(at);
            }
        }
        Err(format!("the input ended after {at} of {} frames: it was changed", plan.frames.len()))
    })
}

/// Labels one frame and writes its image. Returns the record.
fn label(
    plan: &Plan,
    planned: &PlannedFrame,
    at: usize,
    content: ReadFrame,
    store: &Store,
    labeller: &mut Labeller,
    bar: &ProgressBar,
) -> Result<FrameRecord, String> {
    let ReadFrame { frame, frame_id, image, file } = content;
    let mut record = FrameRecord {
        frame,
        stamp: (planned.stamp.sec, planned.stamp.nanosec),
        frame_id,
        size: (0, 0),
        image: None,
        picture: plan.source.picture(frame),
        split: planned.split,
        fault: None,
        next_object: labeller.next_object(),
        objects: Vec::new(),
    };
    let name = record.picture.as_ref().map_or_else(String::new, |picture| format!(" ({picture})"));
    let image = match image {
        Ok(image) => image,
        Err(reason) => {
            bar.suspend(|| terminal::warn(format!("image {frame}{name}: {reason}; it is left out")));
            record.fault = Some(reason);
            return Ok(record);
        }
    };
    let objects = labeller
        .frame(at as Position, &image, plan.seeds.on(frame), &planned.detections)
        .map_err(|e| format!("image {frame}{name}: {e}"))?;
    let remarks = labeller.take_remarks();
    bar.suspend(|| {
        remarks.iter().for_each(|remark| terminal::warn(format!("image {frame}{name}: {remark}; it is not used")))
    });
    if let Some((extension, content)) = file {
        let name = format!("{}.{extension}", frame_name(frame));
        store.write(&format!("images/{}/{name}", planned.split.name()), &content)?;
        record.image = Some(name);
    }
    record.size = image.dimensions();
    record.next_object = labeller.next_object();
    record.objects = objects.iter().map(object_record).collect();
    Ok(record)
}

fn object_record(object: &Labelled) -> ObjectRecord {
    let (area, bbox, counts) = ObjectRecord::of_mask(&object.mask);
    ObjectRecord {
        object: object.object,
        class: object.class.clone(),
        source: object.source,
        iou: object.iou,
        stability: object.mask.stability,
        object_score: object.object_score,
        detection_score: object.detection_score,
        area,
        bbox,
        counts,
    }
}

/// Finds the frame to begin with: behind the records of an earlier run, at the start of a window.
fn find_start(plan: &Plan, store: &Store, labeller: &Labeller) -> Result<Start, String> {
    let frames = &plan.frames;
    let have = frames.iter().take_while(|planned| store.has_record(planned.frame)).count();
    let done = if have == frames.len() { have } else { have / labeller.window() * labeller.window() };
    if done == 0 || done == frames.len() {
        return Ok(Start { done, state: None, image: None });
    }
    let mut next_object = None;
    for index in (0..done).rev() {
        let frame = frames[index].frame;
        let record = store.record(frame)?.ok_or_else(|| format!("the record of image {frame} is gone"))?;
        let next = *next_object.get_or_insert(record.next_object);
        if record.fault.is_none() {
            let previous = record.objects.iter().map(|object| previous(&record, object));
            return Ok(Start { done, state: Some((next, previous.collect::<Result<_, _>>()?)), image: Some(index) });
        }
    }
    Ok(Start { done, state: next_object.map(|next| (next, Vec::new())), image: None })
}

fn previous(record: &FrameRecord, object: &ObjectRecord) -> Result<Previous, String> {
    Ok(Previous {
        object: object.object,
        class: object.class.clone(),
        source: object.source,
        detection_score: object.detection_score,
        mask: record.run_lengths(object)?,
    })
}
