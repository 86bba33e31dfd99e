//! The loop over the pictures of a run.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use crate::failure::Failure;
use crate::terminal;

/// Works on the pictures one after the other. `work` gets the index of a picture, and returns the lines to print, or the
/// reason of the failure with the name of the picture. A failure does not stop the run.
///
/// `bar` has `steps` steps for each picture.
///
/// # Errors
/// At least one picture failed.
pub fn for_each(
    pictures: &[PathBuf],
    bar: &ProgressBar,
    steps: u64,
    mut work: impl FnMut(usize, &Path) -> Result<Vec<String>, String>,
) -> Result<(), Failure> {
    let mut failures = 0;
    for (index, path) in pictures.iter().enumerate() {
        match work(index, path) {
            Ok(lines) => bar.suspend(|| lines.iter().for_each(terminal::print)),
            Err(reason) => {
                failures += 1;
                bar.suspend(|| terminal::warn(&reason));
            }
        }
        bar.set_position((index as u64 + 1) * steps);
    }
    bar.finish_and_clear();
    match failures {
        0 => Ok(()),
        _ if pictures.len() == 1 => Err(Failure::Reported),
        n => Err(Failure::Failed(format!("{n} of {} pictures failed; the others are done", pictures.len()).into())),
    }
}
