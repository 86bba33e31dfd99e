//! The passes after the first: objects are followed backward, then from corrections in both directions.

use std::collections::BTreeMap;

use promptseg::label::record::{FrameRecord, Source};
use promptseg::label::{Anchor, Corrections, Identities, Settings, Span, spans};
use promptseg::model::Model;

use super::corrections::Given;
use super::follow::{Begin, Follower, existing};
use super::images::Images;
use super::interrupt::Interrupt;
use super::passes::Passes;
use super::plan::Plan;
use super::store::{Pass, Store};
use crate::terminal;

/// What the later passes work with.
pub struct LaterPasses<'a> {
    pub plan: &'a Plan,
    pub store: &'a Store,
    pub model: &'a mut Model,
    pub settings: &'a Settings,
    pub interrupt: &'a Interrupt,
    /// Whether objects are followed backward, too.
    pub backward: bool,
    /// Corrections of this run.
    pub given: Given,
}

impl LaterPasses<'_> {
    /// Works on the passes after a whole first one, and adds them to `passes`. Returns false if the run was interrupted.
    ///
    /// # Errors
    /// An image or a record cannot be read, a correction does not fit, the model fails, or a file cannot be written.
    pub fn run(mut self, passes: &mut Passes<'_>) -> Result<bool, String> {
        let anchors = self.anchors()?;
        if self.model.info.memory.is_some() {
            let frames = self.plan.frames.len();
            let of_object = |(object, anchors): (&u32, &Vec<Anchor>)| spans(*object, anchors, frames, self.backward);
            let found: Vec<Span> = anchors.iter().flat_map(of_object).collect();
            // An object begins with its mask of the first pass, if it is on the frame.
            let begin = |record: &FrameRecord, object: u32| record.object(object).cloned();
            if self.follow(Pass::Backward, &found, &begin)?.is_none() {
                return Ok(false);
            }
            passes.add_backward(found)?;
        }
        let mut corrections = self.store.corrections()?;
        if self.correct(&corrections, &anchors, passes)?.is_none() {
            return Ok(false);
        }
        let given = std::mem::take(&mut self.given);
        let new = given.resolve(passes, self.plan, self.store, self.interrupt, self.model)?;
        let Some(new) = new else { return Ok(false) };
        if new.is_empty() {
            return Ok(true);
        }
        let count = new.len();
        new.into_iter().for_each(|correction| corrections.set(correction));
        self.store.write_corrections(&corrections)?;
        let Some(computed) = self.correct(&corrections, &anchors, passes)? else { return Ok(false) };
        terminal::warn(format!(
            "{count} new corrections; {computed} masks of their objects on other frames were computed"
        ));
        Ok(true)
    }

    /// Returns the frames of the first pass on which the mask of an object was given, by object; none without memory.
    fn anchors(&self) -> Result<BTreeMap<u32, Vec<Anchor>>, String> {
        let mut anchors: BTreeMap<u32, Vec<Anchor>> = BTreeMap::new();
        if self.model.info.memory.is_none() {
            return Ok(anchors);
        }
        for (at, planned) in self.plan.frames.iter().enumerate() {
            let record = existing(self.store, planned.frame)?;
            let prompted = self.plan.seeds.on(planned.frame);
            for object in &record.objects {
                let is_given = match object.source {
                    Source::Prompt => prompted.is_some_and(|seeds| seeds.contains_key(&object.object)),
                    Source::Detection => !anchors.contains_key(&object.object),
                    Source::Auto => false,
                };
                if is_given {
                    anchors.entry(object.object).or_default().push(Anchor { at, corrected: false });
                }
            }
        }
        Ok(anchors)
    }

    /// Follows objects from corrections, and adds this pass to `passes`. Returns the number of masks that were computed; none if
    /// the run was interrupted.
    fn correct(
        &mut self,
        corrections: &Corrections,
        anchors: &BTreeMap<u32, Vec<Anchor>>,
        passes: &mut Passes<'_>,
    ) -> Result<Option<usize>, String> {
        let mut computed = Some(0);
        let mut found = Vec::new();
        if self.model.info.memory.is_some() {
            found = self.spans_of(corrections, anchors, passes.identities());
            let begin = |record: &FrameRecord, object: u32| corrections.get(record.frame, object)?.record(record.size);
            computed = self.follow(Pass::Corrections, &found, &begin)?;
        }
        if computed.is_some() {
            passes.add_corrected(corrections.clone(), found);
        }
        Ok(computed)
    }

    /// Returns the spans that begin at corrections. They end half-way to the next frame on which the mask of the object is given.
    fn spans_of(
        &self,
        corrections: &Corrections,
        anchors: &BTreeMap<u32, Vec<Anchor>>,
        identities: &Identities,
    ) -> Vec<Span> {
        let mut corrected: BTreeMap<u32, BTreeMap<usize, bool>> = BTreeMap::new();
        for correction in corrections.iter() {
            if let Some(at) = self.plan.index(correction.frame) {
                corrected.entry(correction.object).or_default().insert(at, true);
            }
        }
        for (object, of_object) in anchors {
            // Objects without corrections stay as they are.
            let Some(known) = corrected.get_mut(&identities.number(*object)) else { continue };
            for anchor in of_object {
                known.entry(anchor.at).or_insert(false);
            }
        }
        let mut found = Vec::new();
        for (object, of_object) in corrected {
            let anchors: Vec<Anchor> =
                of_object.iter().map(|(at, corrected)| Anchor { at: *at, corrected: *corrected }).collect();
            let all = spans(object, &anchors, self.plan.frames.len(), self.backward);
            found.extend(all.into_iter().filter(|span| of_object.get(&span.anchor) == Some(&true)));
        }
        found
    }

    /// Follows spans. Returns the number of masks that were computed; none if the run was interrupted.
    fn follow(&mut self, pass: Pass, found: &[Span], begin: Begin<'_>) -> Result<Option<usize>, String> {
        let mut wanted: Vec<usize> = found.iter().flat_map(|span| span.frames.clone().chain([span.anchor])).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let wanted = wanted.into_iter().map(|at| self.plan.frames[at].frame).collect();
        let mut follower = Follower {
            plan: self.plan,
            store: self.store,
            model: self.model,
            settings: self.settings,
            interrupt: self.interrupt,
            bar: terminal::progress_or_count(None, "frames of the later passes"),
            pass,
            images: Images::new(self.plan, self.store, self.interrupt, wanted),
            spans: found,
            begin,
            computed: 0,
        };
        Ok(follower.run()?.then_some(follower.computed))
    }
}
