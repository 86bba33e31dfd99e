//! The records of a data set: those of the first pass, with the objects that later passes follow, and corrections.

use std::collections::{BTreeMap, BTreeSet};

use promptseg::label::record::{FrameRecord, ObjectRecord};
use promptseg::label::{Corrections, Identities, Presence, Replacement, Settings, Span, replace_objects};

use super::plan::PlannedFrame;
use super::store::{Pass, Store};

/// The records of all passes, read in the order of the frames.
pub struct Passes<'a> {
    store: &'a Store,
    /// Frames that have a record.
    frames: &'a [PlannedFrame],
    /// Frames of a window.
    window: usize,
    /// Two masks of a frame with an IoU above this are the same object.
    merge_iou: f32,
    /// Where objects are followed backward; empty before that pass.
    backward: Vec<Span>,
    identities: Identities,
    corrections: Corrections,
    /// Where objects are followed from corrections; empty before that pass.
    corrected: Vec<Span>,
}

/// The objects that a pass found in one window, by object, anchor and frame.
#[derive(Default)]
struct Window {
    number: Option<usize>,
    sightings: BTreeMap<(u32, usize, usize), ObjectRecord>,
}

impl<'a> Passes<'a> {
    /// Makes the records of the first pass.
    pub fn first(store: &'a Store, frames: &'a [PlannedFrame], settings: &Settings) -> Self {
        Passes {
            store,
            frames,
            window: settings.window,
            merge_iou: settings.merge_iou,
            backward: Vec::new(),
            identities: Identities::default(),
            corrections: Corrections::default(),
            corrected: Vec::new(),
        }
    }

    /// Adds the pass that followed objects backward.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn add_backward(&mut self, spans: Vec<Span>) -> Result<(), String> {
        self.backward = spans;
        let mut meetings = BTreeSet::new();
        let windows = if self.backward.is_empty() { 0 } else { self.frames.len().div_ceil(self.window) };
        for number in 0..windows {
            let tracklets = self.store.tracklets(Pass::Backward, number, true)?;
            meetings.extend(tracklets.iter().filter_map(|t| Some((t.beginning.object, t.met?))));
        }
        if meetings.is_empty() {
            return Ok(());
        }
        let mut presence = Presence::default();
        self.each(&mut |at, record| {
            presence.add(at, record);
            Ok(())
        })?;
        self.identities = Identities::of(&meetings, presence);
        Ok(())
    }

    /// Adds the pass that followed objects from corrections.
    pub fn add_corrected(&mut self, corrections: Corrections, spans: Vec<Span>) {
        (self.corrections, self.corrected) = (corrections, spans);
    }

    /// Returns the frames that have a record.
    pub fn frames(&self) -> &'a [PlannedFrame] {
        self.frames
    }

    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    pub fn corrections(&self) -> &Corrections {
        &self.corrections
    }

    /// Calls `visit` with the index and the record of each frame.
    ///
    /// # Errors
    /// Errors of `visit`; an error if a record cannot be read.
    pub fn each(&self, visit: &mut dyn FnMut(usize, &FrameRecord) -> Result<(), String>) -> Result<(), String> {
        let (mut backward, mut corrected) = (Window::default(), Window::default());
        for (at, planned) in self.frames.iter().enumerate() {
            let record = self.store.record(planned.frame)?;
            let mut record = record.ok_or_else(|| format!("the record of image {} is gone", planned.frame))?;
            if record.fault.is_none() {
                let followed = self.replacements(Pass::Backward, &self.backward, at, &mut backward)?;
                replace_objects(&mut record, followed, self.merge_iou)?;
                self.identities.apply(&mut record);
                let mut replacements = self.replacements(Pass::Corrections, &self.corrected, at, &mut corrected)?;
                replacements.extend(self.corrections.on(record.frame).map(|correction| Replacement {
                    object: correction.object,
                    record: correction.record(record.size),
                }));
                replace_objects(&mut record, replacements, self.merge_iou)?;
            }
            visit(at, &record)?;
        }
        Ok(())
    }

    /// Returns the objects of a pass on a frame. `window` is that of the frame before.
    fn replacements(
        &self,
        pass: Pass,
        spans: &[Span],
        at: usize,
        window: &mut Window,
    ) -> Result<Vec<Replacement>, String> {
        let spans: Vec<&Span> = spans.iter().filter(|span| span.frames.contains(&at)).collect();
        let number = at / self.window;
        if !spans.is_empty() && window.number != Some(number) {
            let mut sightings = BTreeMap::new();
            for backward in [true, false] {
                for tracklet in self.store.tracklets(pass, number, backward)? {
                    let (object, anchor) = (tracklet.beginning.object, tracklet.beginning.anchor);
                    sightings.extend(tracklet.sightings.into_iter().map(|s| ((object, anchor, s.at), s.object)));
                }
            }
            *window = Window { number: Some(number), sightings };
        }
        let record = |span: &Span| window.sightings.get(&(span.object, span.anchor, at)).cloned();
        Ok(spans.into_iter().map(|span| Replacement { object: span.object, record: record(span) }).collect())
    }
}
