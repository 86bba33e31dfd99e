//! Follows the objects from frame to frame.

use std::collections::BTreeMap;
use std::path::Path;

use promptseg::model::network::{MemorySpec, Network};
use promptseg::model::{Embedding, ImageEncoder};
use promptseg::pixels::{MaskInput, SquareMask};
use promptseg::prompt::Prompt;
use promptseg::video::{Direction, Limits, Position, Track, TrackedMask, separate};

use super::arguments::Arguments;
use super::newcomers::{SAME, iou};
use super::output::{ObjectOnFrame, Output};
use super::prompts::{FramePrompt, MAX_OBJECT, Prompts};
use crate::clips::{Clip, Frames};
use crate::pictures::read_mask;
use crate::terminal;
use crate::text::{Named, PeriodicFinder};

/// The objects that were prompted so far.
pub struct Tracker<'a> {
    arguments: &'a Arguments,
    prompts: &'a Prompts,
    clip: &'a Clip,
    spec: MemorySpec,
    limits: Limits,
    /// Memory of each object, by its id.
    tracks: BTreeMap<u32, Track>,
    /// Phrases that named objects, by the id of the object.
    classes: BTreeMap<u32, String>,
    /// Id of the next object that a phrase names.
    next_object: u32,
}

impl<'a> Tracker<'a> {
    /// Creates a tracker without objects for a network with the memory `spec`.
    pub fn new(arguments: &'a Arguments, prompts: &'a Prompts, clip: &'a Clip, spec: MemorySpec) -> Self {
        let limits = Limits {
            recent: usize::from(arguments.memories),
            keep: Some(usize::from(arguments.prompted_frames)),
            length: clip.len(),
            ..Limits::default()
        };
        let next_object = prompts.objects().into_iter().max().unwrap_or(0) + 1;
        let (tracks, classes) = Default::default();
        Tracker { arguments, prompts, clip, spec, limits, tracks, classes, next_object }
    }

    /// Returns the memory of a new object.
    fn new_track(&self) -> Track {
        Track::new(self.limits, self.arguments.fill_holes)
    }

    /// Returns the number of objects so far.
    pub fn objects(&self) -> usize {
        self.tracks.len()
    }

    /// Follows the objects through the frames. Returns the number of the last frame.
    ///
    /// # Errors
    /// A frame cannot be read, followed or written. The results of the frames before it stay.
    pub fn follow(
        &mut self,
        frames: Frames,
        (encoder, network): (&mut ImageEncoder, &mut dyn Network),
        mut finder: Option<PeriodicFinder>,
        output: &mut Output,
        bar: &indicatif::ProgressBar,
    ) -> Result<Option<usize>, String> {
        let mut last_frame = None;
        for (position, frame) in frames.enumerate() {
            let with_progress = |e: String| match position {
                0 => e,
                1 => format!("{e}; the frame before it is done"),
                n => format!("{e}; the {n} frames before it are done"),
            };
            let (number, image) = frame.map_err(with_progress)?;
            last_frame = Some(number);
            bar.inc(1);
            let failed = |e: &dyn std::fmt::Display| {
                with_progress(format!("frame {number} ({}): {e}", self.clip.name(number).display()))
            };
            let mut objects = Vec::new();
            let named = finder.as_mut().map_or(Ok(Vec::new()), |finder| finder.on(number, &image));
            let named = named.map_err(|e| failed(&e))?;
            // Frames before the first object are not encoded.
            if !self.tracks.is_empty() || self.prompts.on(number).next().is_some() || !named.is_empty() {
                let embedding = encoder.encode(&image).map_err(|e| failed(&e))?;
                let prompts: BTreeMap<u32, &FramePrompt> = self.prompts.on(number).collect();
                let position = position as Position;
                objects = self.frame(network, position, &embedding, &prompts).map_err(|e| failed(&e))?;
                self.admit(network, position, &embedding, named, &mut objects).map_err(|e| failed(&e))?;
                if self.arguments.no_overlap {
                    let masks = objects.iter_mut().map(|object| object.low_res.as_mut_slice());
                    separate(&mut masks.collect::<Vec<_>>());
                }
            }
            let warnings = output.write(number, &image, &objects).map_err(with_progress)?;
            bar.suspend(|| warnings.iter().for_each(terminal::warn));
        }
        Ok(last_frame)
    }

    /// Follows all objects on a frame and applies the frame's prompts, by object.
    fn frame(
        &mut self,
        network: &mut dyn Network,
        position: Position,
        frame: &Embedding,
        prompts: &BTreeMap<u32, &FramePrompt>,
    ) -> Result<Vec<ObjectOnFrame>, String> {
        for id in prompts.keys() {
            let track = self.new_track();
            self.tracks.entry(*id).or_insert(track);
        }
        let (width, height) = frame.image_size();
        let mut objects = Vec::new();
        for (id, track) in &mut self.tracks {
            let failed = |e: &dyn std::fmt::Display| format!("object {id}: {e}");
            // The object is followed before its prompt is applied, because a prompt corrects the followed mask.
            let mut tracked: Option<TrackedMask> =
                track.step(network, position, frame, Direction::Forward).map_err(|e| failed(&e))?;
            let mut prompt = Prompt::default();
            if let Some(on_frame) = prompts.get(id) {
                if let Some(file) = &on_frame.mask {
                    let mask = square(file, (width, height), self.spec.image_side)?;
                    tracked = Some(track.mask(network, position, frame, &mask).map_err(|e| failed(&e))?);
                }
                if !on_frame.prompt.points.is_empty() || on_frame.prompt.bbox.is_some() {
                    prompt = on_frame.prompt.check(width, height).map_err(|e| failed(&e))?;
                    tracked = Some(track.prompt(network, position, frame, &prompt).map_err(|e| failed(&e))?);
                }
                track.settle(network, position, frame).map_err(|e| failed(&e))?;
                track.visit(position);
            }
            // An object without a mask has its first prompt on a later frame.
            if let Some(TrackedMask { mask, iou, object_score, .. }) = tracked {
                let class = self.classes.get(id).cloned().unwrap_or_default();
                objects.push(ObjectOnFrame { id: *id, class, iou, object_score, low_res: mask.to_vec(), prompt });
            }
        }
        Ok(objects)
    }

    /// Follows the objects of `named` from this frame on, except those that are among `objects`, whose masks are on this frame.
    fn admit(
        &mut self,
        network: &mut dyn Network,
        position: Position,
        frame: &Embedding,
        named: Vec<Named>,
        objects: &mut Vec<ObjectOnFrame>,
    ) -> Result<(), String> {
        let (width, height) = frame.image_size();
        for Named { class, bbox, mask, .. } in named {
            let prompt = Prompt { bbox: Some(bbox), ..Prompt::default() }.check(width, height);
            let mut track = self.new_track();
            let tracked = match (&mask, &prompt) {
                (Some(own), _) => {
                    let own = &own.best.mask;
                    let square =
                        SquareMask::from_image(&own.full(), (width as usize, height as usize), self.spec.image_side);
                    // A mask without pixels in the encoder's square is no object.
                    let Some(square) = square.filter(|square| !square.is_empty()) else { continue };
                    track.mask(network, position, frame, &square)
                }
                (None, Ok(prompt)) => track.prompt(network, position, frame, prompt),
                // A box that is thinner than the model's prompts is no object.
                (None, Err(_)) => continue,
            };
            let tracked = tracked.map_err(|e| e.to_string())?;
            let prompt = prompt.unwrap_or_default();
            let mask = tracked.mask.to_vec();
            let is_seen = mask.iter().any(|logit| *logit > 0.0);
            if !is_seen {
                continue;
            }
            if let Some(same) = objects.iter_mut().find(|object| iou(&object.low_res, &mask) > SAME) {
                if same.class.is_empty() {
                    same.class.clone_from(&class);
                    self.classes.insert(same.id, class);
                }
                continue;
            }
            let id = self.next_object;
            if id > MAX_OBJECT {
                return Err(format!("more than {MAX_OBJECT} objects, whose numbers have 16 bits"));
            }
            self.next_object += 1;
            track.settle(network, position, frame).map_err(|e| e.to_string())?;
            track.visit(position);
            self.tracks.insert(id, track);
            self.classes.insert(id, class.clone());
            let (iou, object_score) = (tracked.iou, tracked.object_score);
            objects.push(ObjectOnFrame { id, class, iou, object_score, low_res: mask, prompt });
        }
        Ok(())
    }
}

/// Reads a mask file and scales it to the encoder's square.
fn square(file: &Path, (width, height): (u32, u32), side: usize) -> Result<SquareMask, String> {
    let failed = |reason: String| format!("{}: {reason}", file.display());
    let MaskInput::Binary { width: w, height: h, data } = read_mask(file)? else {
        return Err(failed("logits, expected a picture".to_owned()));
    };
    if (w, h) != (width, height) {
        return Err(failed(format!(
            "the mask is {w}x{h} pixels, the frame is {width}x{height}; give a mask of the frame's size"
        )));
    }
    let mask = SquareMask::from_image(&data, (width as usize, height as usize), side);
    let mask = mask.ok_or_else(|| failed("the mask has no pixels".to_owned()))?;
    match mask.is_empty() {
        true => {
            Err(failed(format!("the mask is too small: nothing of it remains at the model's {side}x{side} pixels")))
        }
        false => Ok(mask),
    }
}
