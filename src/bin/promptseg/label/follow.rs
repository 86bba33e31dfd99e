//! Follows objects from their anchors to the frames of their spans.
//!
//! Windows are worked on in the order of following, each with all its objects, so that a frame is encoded once for all of
//! them. A tracklet that begins as a stored one is taken from the store: so a run is resumed, and a change computes only what
//! depends on it.

use std::ops::Range;

use indicatif::ProgressBar;
use promptseg::label::record::{FrameRecord, ObjectRecord, Source};
use promptseg::label::{Beginning, Other, Propagation, Settings, Span, Tracklet};
use promptseg::model::Model;

use super::images::Images;
use super::interrupt::Interrupt;
use super::plan::Plan;
use super::store::{Pass, Store};

/// Returns the record of a frame of the first pass.
pub fn existing(store: &Store, frame: usize) -> Result<FrameRecord, String> {
    store.record(frame)?.ok_or_else(|| format!("the record of image {frame} is gone"))
}

/// Returns the object of that number on a frame of the first pass, as it is followed from there; none if it is not there.
pub type Begin<'a> = &'a dyn Fn(&FrameRecord, u32) -> Option<ObjectRecord>;

/// Follows the objects of one pass.
pub struct Follower<'a> {
    pub plan: &'a Plan,
    pub store: &'a Store,
    pub model: &'a mut Model,
    pub settings: &'a Settings,
    pub interrupt: &'a Interrupt,
    pub bar: ProgressBar,
    pub pass: Pass,
    pub images: Images<'a>,
    pub spans: &'a [Span],
    pub begin: Begin<'a>,
    /// Masks that were computed in this run, and not taken from the store.
    pub computed: usize,
}

impl Follower<'_> {
    /// Follows all spans. Returns false if the run was interrupted.
    ///
    /// # Errors
    /// An image or a record cannot be read, the model fails, or a file cannot be written. The windows before are stored.
    pub fn run(&mut self) -> Result<bool, String> {
        let is_whole = self.sweep(true).and_then(|is_whole| Ok(is_whole && self.sweep(false)?));
        self.bar.finish_and_clear();
        is_whole
    }

    /// Follows the spans of one direction, window by window.
    fn sweep(&mut self, backward: bool) -> Result<bool, String> {
        let (frames, window) = (self.plan.frames.len(), self.settings.window);
        let mut numbers: Vec<usize> = (0..frames.div_ceil(window)).collect();
        if backward {
            numbers.reverse();
        }
        let mut before: Vec<Tracklet> = Vec::new();
        let mut last = None;
        for number in numbers {
            let range = number * window..frames.min((number + 1) * window);
            let beginnings = self.beginnings(&range, backward, &before, last)?;
            let Some(followed) = self.window(number, backward, beginnings)? else { return Ok(false) };
            last = if followed.is_empty() { None } else { self.last_image(range, backward)? };
            before = followed;
        }
        Ok(true)
    }

    /// Returns how the objects begin in a window: at their anchors, or as they were on the last frame with an image of the window
    /// before.
    fn beginnings(
        &self,
        range: &Range<usize>,
        backward: bool,
        before: &[Tracklet],
        last: Option<usize>,
    ) -> Result<Vec<Beginning>, String> {
        let mut beginnings = Vec::new();
        for span in self.spans.iter().filter(|span| span.is_backward() == backward) {
            let part = span.frames.start.max(range.start)..span.frames.end.min(range.end);
            if part.is_empty() {
                continue;
            }
            if range.contains(&span.first()) {
                let record = existing(self.store, self.plan.frames[span.anchor].frame)?;
                let object = (self.begin)(&record, span.object);
                beginnings.extend(object.map(|object| Beginning::at_anchor(span.anchor, &object, record.size, part)));
                continue;
            }
            let is_of_span = |t: &&Tracklet| (t.beginning.object, t.beginning.anchor) == (span.object, span.anchor);
            beginnings.extend(before.iter().find(is_of_span).and_then(|tracklet| tracklet.next(part, last)));
        }
        Ok(beginnings)
    }

    /// Returns the last frame of a window, in the order of following, that has an image.
    fn last_image(&self, range: Range<usize>, backward: bool) -> Result<Option<usize>, String> {
        let mut from_the_end: Vec<usize> = range.collect();
        if !backward {
            from_the_end.reverse();
        }
        for at in from_the_end {
            if existing(self.store, self.plan.frames[at].frame)?.fault.is_none() {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Follows the objects of a window, and stores their tracklets. Returns none if the run was interrupted.
    fn window(
        &mut self,
        number: usize,
        backward: bool,
        beginnings: Vec<Beginning>,
    ) -> Result<Option<Vec<Tracklet>>, String> {
        let stored = self.store.tracklets(self.pass, number, backward)?;
        let (mut tracklets, mut missing) = (Vec::new(), Vec::new());
        for beginning in beginnings {
            match stored.iter().find_map(|tracklet| tracklet.part(&beginning)) {
                Some(tracklet) => tracklets.push(tracklet),
                None => missing.push(beginning),
            }
        }
        if !missing.is_empty() {
            let Some(followed) = self.compute(missing)? else { return Ok(None) };
            self.computed += followed.iter().map(|tracklet| tracklet.sightings.len()).sum::<usize>();
            tracklets.extend(followed);
        }
        tracklets.sort_by_key(|tracklet| (tracklet.beginning.object, tracklet.beginning.anchor));
        if tracklets != stored {
            self.store.write_tracklets(self.pass, number, backward, &tracklets)?;
        }
        Ok(Some(tracklets))
    }

    /// Follows objects over the frames of a window. Returns none if the run was interrupted.
    fn compute(&mut self, beginnings: Vec<Beginning>) -> Result<Option<Vec<Tracklet>>, String> {
        let first = beginnings.iter().map(|b| b.at.min(b.frames.start)).min().unwrap_or(0);
        let end = beginnings.iter().map(|b| (b.at + 1).max(b.frames.end)).max().unwrap_or(0);
        let mut order: Vec<usize> = (first..end).collect();
        if beginnings.iter().any(Beginning::is_backward) {
            order.reverse();
        }
        let mut propagation = Propagation::new(self.model, self.settings, beginnings);
        for at in order {
            if !propagation.needs(at) {
                continue;
            }
            let record = existing(self.store, self.plan.frames[at].frame)?;
            if record.fault.is_some() {
                continue;
            }
            if self.interrupt.is_set() {
                return Ok(None);
            }
            let Some(image) = self.images.load(&record)? else { return Ok(None) };
            let failed = |e: &dyn std::fmt::Display| format!("image {}: {e}", record.frame);
            propagation.frame(at, &image, &others(&record)?).map_err(|e| failed(&e))?;
            self.bar.inc(1);
        }
        Ok(Some(propagation.finish()))
    }
}

/// Returns the objects of the first pass on a frame, except those of everything mode.
fn others(record: &FrameRecord) -> Result<Vec<Other>, String> {
    let objects = record.objects.iter().filter(|object| object.source != Source::Auto);
    objects.map(|object| Ok(Other { object: object.object, mask: record.run_lengths(object)? })).collect()
}
