//! The automatic mask generator against Meta's generators on photos: through our own pixels, sessions and filters.
//! `export/promptseg_export/golden_everything_networks.py` writes the file.
//! `cargo test --test golden_everything_networks -- --nocapture` prints the table.

#[path = "support/records.rs"]
mod records;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use promptseg::everything::{AutomaticMaskGenerator, GeneratedMask, Settings};
use promptseg::model::{Model, SessionOptions};
use records::{Changes, Record, compare};
use serde::Deserialize;

/// Lowest accepted IoU of a mask and the mask of the reference.
const LEAST_IOU: f64 = 0.999;

#[derive(Deserialize)]
struct Case {
    case: String,
    /// Folder of the model, from the root of the repository.
    bundle: String,
    photo: String,
    settings: Changes,
    masks: Vec<Record>,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&std::fs::read(path("tests/golden/everything/networks.json")).unwrap()).unwrap()
}

fn generate(model: &mut Model, case: &Case, change: impl FnOnce(Settings) -> Settings) -> Vec<GeneratedMask> {
    let photo = image::open(path(&format!("tests/golden/{}.png", case.photo))).unwrap().into_rgb8();
    let generator = AutomaticMaskGenerator::new(change(case.settings.apply(Settings::default()))).unwrap();
    generator.generate(&mut model.encoder, &mut model.decoder, &photo, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Compares every case of a bundle; returns the number of masks of each case.
fn run(bundle: &str) -> BTreeMap<String, usize> {
    let mut model = Model::open(&path(bundle), None, &SessionOptions::cpu(2)).unwrap_or_else(|e| panic!("{e}"));
    let mut counts = BTreeMap::new();
    for case in cases().iter().filter(|case| case.bundle == bundle) {
        let masks = generate(&mut model, case, |settings| settings);
        let lowest = compare(&case.case, &masks, &case.masks, LEAST_IOU);
        println!("{:24} {:4} masks, lowest IoU {lowest:.6}", case.case, masks.len());
        counts.insert(case.case.clone(), masks.len());
    }
    counts
}

#[test]
fn masks_of_a_small_sam_are_those_of_its_generator() {
    let counts = run("tests/golden/sam");
    assert_eq!(counts.len(), 5);
    assert!(counts["sam/nothing"] == 0 && counts.iter().all(|(case, count)| *count >= 4 || case == "sam/nothing"));
    let is_nan = |case: &Case| case.masks.iter().any(|mask| mask.stability_score.is_none() && mask.area == 0);
    assert!(cases().iter().any(|case| case.case == "sam/not_a_number" && is_nan(case)));
}

#[test]
fn masks_of_a_small_sam_2_are_those_of_its_generator() {
    let counts = run("tests/golden/sam2");
    assert!(counts.len() == 3 && counts.values().all(|count| *count >= 4), "{counts:?}");
}

#[test]
fn masks_of_the_built_in_model_are_those_of_the_reference() {
    let counts = run("models/tiny");
    assert!(counts.len() == 2 && counts.values().all(|count| *count >= 5), "{counts:?}");
    let is_crop = |mask: &Record| mask.crop_box[2] < 600;
    assert!(cases().iter().any(|case| case.case == "tiny/crops" && case.masks.iter().any(is_crop)));
}

/// The size of a batch changes the order of sums in the decoder, and nothing else.
#[test]
fn masks_do_not_depend_on_the_memory_of_a_batch() {
    let mut model = Model::open(&path("models/tiny"), None, &SessionOptions::cpu(2)).unwrap_or_else(|e| panic!("{e}"));
    let case = cases().into_iter().find(|case| case.case == "tiny/defaults").unwrap();
    let masks = generate(&mut model, &case, |settings| Settings { batch_megabytes: 1, ..settings });
    compare("one click in each run", &masks, &case.masks, LEAST_IOU);
}
