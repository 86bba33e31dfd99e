//! Joins slices: their records and images become those of one run.

use promptseg::label::Renumbering;
use serde_json::{Value, json};

use super::manifest::{differences, stored_inputs};
use super::plan::Plan;
use super::slice::Slice;
use super::store::Store;

/// Takes the frames of slices, one for each part of the plan, into the folder of a run. `inputs` are those of the run.
///
/// # Errors
/// A folder is no slice of the run or is not complete, or a file cannot be read or written.
pub fn join(
    slices: &[Store],
    plan: &Plan,
    store: &Store,
    inputs: &Value,
    mut renumbering: Renumbering,
) -> Result<(), String> {
    let count = slices.len();
    for (number, folder) in (1..).zip(slices) {
        let slice = Slice { number, count };
        check_slice(folder, slice, inputs)?;
        renumbering.begin_part();
        for planned in &plan.frames[slice.range(plan.frames.len())] {
            let record = folder.record(planned.frame)?;
            let unfinished = || {
                let folder = folder.folder().display();
                format!("{folder}: no record of image {}; label --slice {slice} to its end first", planned.frame)
            };
            let mut record = record.ok_or_else(unfinished)?;
            renumbering.frame(&mut record)?;
            if store.has_record(planned.frame) {
                continue;
            }
            if let Some(image) = &record.image {
                store.adopt(folder, &format!("images/{}/{image}", planned.split.name()))?;
            }
            store.write_record(&record)?;
        }
    }
    Ok(())
}

/// Returns an error if a folder is not that slice of a run with these inputs.
fn check_slice(folder: &Store, slice: Slice, inputs: &Value) -> Result<(), String> {
    let name = folder.folder().display();
    let found = stored_inputs(folder)?.ok_or_else(|| format!("{name}: found no slice, expected slice {slice}"))?;
    let mut expected = inputs.clone();
    expected["slice"] = json!(slice.to_string());
    match differences(&found, &expected).as_slice() {
        [] => Ok(()),
        different => Err(format!("{name} is no slice of this run: {}", different.join("; "))),
    }
}
