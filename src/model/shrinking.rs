//! When a session gives memory back. Its arena keeps what the largest batch took; giving it back after each run would
//! cost a page fault for every page of the next.

use ort::session::RunOptions;

use super::{Arena, Provider, SessionOptions};

/// Small runs in a row after which a large batch is taken for gone.
const SMALL_RUNS: u32 = 30;
/// A run of less than this part of the largest is small.
const SMALL: usize = 4;

pub(super) struct Shrinking {
    /// Options of a run that gives back what it no longer needs; none where nothing is kept anyway.
    options: Option<RunOptions>,
    largest: usize,
    small_runs: u32,
}

impl Shrinking {
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

    /// The next run gives back what it can: the largest batch was a trial.
    pub fn soon(&mut self) {
        (self.largest, self.small_runs) = (usize::MAX, SMALL_RUNS);
    }

    /// Options of a run for this many objects, where it is time to give memory back.
    pub fn options(&mut self, objects: usize) -> Option<&RunOptions> {
        if self.due(objects) { self.options.as_ref() } else { None }
    }

    fn due(&mut self, objects: usize) -> bool {
        if objects >= self.largest / SMALL {
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
    fn memory_of_a_large_batch_is_given_back_when_only_small_ones_follow() {
        let mut shrinking = Shrinking { options: None, largest: 0, small_runs: 0 };
        assert!(![1, 64, 20, 64].into_iter().any(|n| shrinking.due(n)));
        assert_eq!((0..100).filter(|_| shrinking.due(1)).count(), 1, "once, not again and again");
        assert!((0..100).all(|i| !shrinking.due(if i % 10 == 0 { 64 } else { 1 })), "batches come regularly");
        shrinking.soon();
        assert!(shrinking.due(1) && !shrinking.due(1));
    }
}
