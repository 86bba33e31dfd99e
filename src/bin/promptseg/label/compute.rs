//! The loop over the frames: each one is labelled, while the images of the next frames are read and the files of the frames
//! before are written.

use std::borrow::Cow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use indicatif::ProgressBar;
use promptseg::label::record::{FrameRecord, ObjectRecord};
use promptseg::label::{Labeller, Previous};
use promptseg::video::Position;

use super::interrupt::Interrupt;
use super::plan::{Plan, PlannedFrame};
use super::read::{FromReader, ReadFrame, read};
use super::store::Store;
use super::text_seeds::TextSeeds;
use super::write::{LabelledFrame, write};
use crate::terminal;

/// Images that wait decoded.
const READ_AHEAD: usize = 2;
/// Frames that are labelled and wait to be written.
const WRITE_BEHIND: usize = 2;

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
    (labeller, text): (&mut Labeller, Option<&mut TextSeeds>),
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
        let (sender, mut receiver) = sync_channel::<FromReader>(READ_AHEAD);
        let (to_writer, labelled) = sync_channel::<LabelledFrame>(WRITE_BEHIND);
        let wanted = &wanted;
        scope.spawn(move || read(&plan.source, wanted, with_images, &sender));
        let writer = scope.spawn(move || write(store, &labelled, bar));
        if let Some((next_object, previous)) = start.state {
            let mut image = None;
            if let Some(index) = resumed {
                let content = receiver.recv().map_err(|_| "the input ended early".to_owned())??;
                image = Some((index as Position, content.image?));
            }
            let image = image.as_ref().map(|(at, image)| (*at, &**image));
            labeller.resume(next_object, previous, image).map_err(|e| e.to_string())?;
        }
        let work = Work { plan, labeller, text, interrupt, bar };
        let outcome = work.label_all(done, &mut receiver, to_writer);
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        outcome.map(|()| done + written)
    })
}

/// What the loop over the frames needs.
struct Work<'a> {
    plan: &'a Plan,
    labeller: &'a mut Labeller,
    /// Objects that phrases name; none without `--text`.
    text: Option<&'a mut TextSeeds>,
    interrupt: &'a Interrupt,
    bar: &'a ProgressBar,
}

impl Work<'_> {
    /// Labels the frames from the index `done` on. Ends early if the run is interrupted or the writer failed.
    fn label_all(
        mut self,
        done: usize,
        receiver: &mut Receiver<FromReader>,
        to_writer: SyncSender<LabelledFrame>,
    ) -> Result<(), String> {
        let plan = self.plan;
        for (at, planned) in plan.frames.iter().enumerate().skip(done) {
            let frames = plan.frames.len();
            let content = receiver.recv().map_err(|_| format!("the input ended after {at} of {frames} frames"))??;
            if content.frame != planned.frame {
                return Err(format!("image {} instead of {}: the input was changed", content.frame, planned.frame));
            }
            let labelled = self.label(planned, at, content)?;
            // The writer returns its own error.
            if to_writer.send(labelled).is_err() || self.interrupt.is_set() {
                break;
            }
        }
        Ok(())
    }

    /// Labels one frame.
    fn label(&mut self, planned: &PlannedFrame, at: usize, content: ReadFrame) -> Result<LabelledFrame, String> {
        let ReadFrame { frame, frame_id, image, file } = content;
        let mut record = FrameRecord {
            frame,
            stamp: (planned.stamp.sec, planned.stamp.nanosec),
            frame_id,
            size: (0, 0),
            image: None,
            picture: self.plan.source.picture(frame),
            split: planned.split,
            fault: None,
            next_object: self.labeller.next_object(),
            objects: Vec::new(),
        };
        let name = record.picture.as_ref().map_or_else(String::new, |picture| format!(" ({picture})"));
        let image = match image {
            Ok(image) => image,
            Err(reason) => {
                self.bar.suspend(|| terminal::warn(format!("image {frame}{name}: {reason}; it is left out")));
                record.fault = Some(reason);
                return Ok(LabelledFrame { record, objects: Vec::new(), file: None });
            }
        };
        let failed = |e: &dyn std::fmt::Display| format!("image {frame}{name}: {e}");
        let mut detections = Cow::Borrowed(planned.detections.as_slice());
        if let Some(text) = &mut self.text {
            detections.to_mut().extend(text.on(at, &image).map_err(|e| failed(&e))?);
        }
        let objects = self.labeller.frame(at as Position, &image, self.plan.seeds.on(frame), &detections);
        let objects = objects.map_err(|e| failed(&e))?;
        let remarks = self.labeller.take_remarks();
        self.bar.suspend(|| {
            let warn = |remark| terminal::warn(format!("image {frame}{name}: {remark}; it is not used"));
            remarks.iter().for_each(warn);
        });
        record.size = image.dimensions();
        record.next_object = self.labeller.next_object();
        Ok(LabelledFrame { record, objects, file })
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
