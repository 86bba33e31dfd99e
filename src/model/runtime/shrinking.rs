//! Returning memory of a session's arena to the system.
//!
//! An arena keeps the memory of the largest batch. Returning memory after each run would cost a page fault for every page of
//! the next run, so memory is returned once a large batch has not come for a while.

use ort::session::RunOptions;

use super::options::{Arena, SessionOptions};
use crate::model::provider::Provider;

/// Number of small runs in a row after which memory is returned.
const SMALL_RUNS: u32 = 30;
/// A run is small if it has fewer objects than the largest run divided by this number.
const SMALL_PART: usize = 4;

/// Decides before each run whether the run returns memory.
pub struct Shrinking {
    /// Options of a run that returns memory; none without an arena.
    options: Option<RunOptions>,
    /// Number of objects in the largest recent run.
    largest: usize,
    small_runs: u32,
}

impl Shrinking {
    /// Makes the options for the arena of `provider`.
    ///
    /// # Errors
    /// The error of ONNX Runtime.
    pub fn new(provider: Provider, options: &SessionOptions) -> ort::Result<Self> {
        let run = match options.arena {
            Arena::Off => None,
            _ => {
                let mut run = RunOptions::new()?;
                let gpu = format!("gpu:{}", options.gpu.device_id);
                let arenas = if provider.on_gpu() { gpu.as_str() } else { "cpu:0" };
                run.set("memory.enable_memory_arena_shrinkage", arenas)?;
                Some(run)
            }
        };
        Ok(Shrinking { options: run, largest: 0, small_runs: 0 })
    }

    /// Makes the next run return memory, because the largest batch was a trial run.
    pub fn shrink_next(&mut self) {
        (self.largest, self.small_runs) = (usize::MAX, SMALL_RUNS);
    }

    /// Returns the options of a run with this many objects if the run is to return memory.
    pub fn options(&mut self, objects: usize) -> Option<&RunOptions> {
        if self.due(objects) { self.options.as_ref() } else { None }
    }

    /// Counts a run, and returns whether it is to return memory.
    fn due(&mut self, objects: usize) -> bool {
        if objects >= self.largest / SMALL_PART {
            (self.largest, self.small_runs) = (self.largest.max(objects), 0);
            return false;
        }
        self.small_runs += 1;
        let due = self.small_runs > SMALL_RUNS;
        if due {
            (self.largest, self.small_runs) = (objects, 0);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_large_batch_is_returned_after_many_small_batches() {
        let mut shrinking = Shrinking { options: None, largest: 0, small_runs: 0 };
        assert!(![1, 64, 20, 64].into_iter().any(|n| shrinking.due(n)));
        assert_eq!((0..100).filter(|_| shrinking.due(1)).count(), 1, "once, not again and again");
        assert!((0..100).all(|i| !shrinking.due(if i % 10 == 0 { 64 } else { 1 })), "batches come regularly");
        shrinking.shrink_next();
        assert!(shrinking.due(1) && !shrinking.due(1));
    }
}
