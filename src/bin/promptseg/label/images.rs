//! The images of a data set in any order, for work after the first pass.

use std::sync::mpsc::sync_channel;

use image::RgbImage;
use promptseg::label::record::FrameRecord;

use super::interrupt::Interrupt;
use super::plan::Plan;
use super::read::read;
use super::store::Store;

/// Images that wait decoded.
const READ_AHEAD: usize = 2;

/// The images of a data set. Images that the data set leaves out are read from the input once, and lie in the folder of the
/// records until the end of the run.
pub struct Images<'a> {
    plan: &'a Plan,
    store: &'a Store,
    interrupt: &'a Interrupt,
    /// Frames whose images may be needed, ascending.
    wanted: Vec<usize>,
}

impl<'a> Images<'a> {
    /// `wanted` are the numbers of the frames whose images may be needed, ascending.
    pub fn new(plan: &'a Plan, store: &'a Store, interrupt: &'a Interrupt, wanted: Vec<usize>) -> Self {
        Images { plan, store, interrupt, wanted }
    }

    /// Returns the image of a frame; none if the run is interrupted while the input is read.
    ///
    /// # Errors
    /// The image is gone or damaged, or the input cannot be read.
    pub fn load(&self, record: &FrameRecord) -> Result<Option<RgbImage>, String> {
        if record.image.is_none() && !self.store.has_kept_image(record.frame) {
            self.fetch()?;
            if self.interrupt.is_set() {
                return Ok(None);
            }
        }
        self.store.image(record).map(Some)
    }

    /// Reads the wanted images that are not there from the input.
    fn fetch(&self) -> Result<(), String> {
        let is_missing = |frame: &usize| !self.store.has_kept_image(*frame);
        let missing: Vec<usize> = self.wanted.iter().copied().filter(is_missing).collect();
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(READ_AHEAD);
            let missing = &missing;
            scope.spawn(move || read(&self.plan.source, missing, true, &sender));
            for content in &receiver {
                let content = content?;
                if let Some((_, file)) = content.file {
                    self.store.keep_image(content.frame, &file)?;
                }
                if self.interrupt.is_set() {
                    break;
                }
            }
            Ok(())
        })
    }
}
