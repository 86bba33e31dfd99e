//! The automatic mask generator against Meta's. `export/promptseg_export/golden_everything.py` made the files.

#[path = "support/drawn.rs"]
mod drawn;
#[path = "support/records.rs"]
mod records;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use drawn::{DrawnDecoder, DrawnEncoder};
use image::RgbImage;
use promptseg::everything::{AutomaticMaskGenerator, Error, GeneratedMask, Progress, Settings};
use records::{Changes, Record, compare};
use serde::Deserialize;

/// A file of `tests/golden/everything`.
fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/everything").join(name)).unwrap()
}

#[derive(Deserialize)]
struct Drawn {
    width: u32,
    height: u32,
    side: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    case: String,
    settings: Changes,
    masks: Vec<Record>,
}

fn read() -> Drawn {
    serde_json::from_slice(&golden("drawn.json")).unwrap()
}

fn generate(
    drawn: &Drawn,
    case: &Case,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<GeneratedMask>, Error> {
    let logits = if case.case == "one_pixel" { "one_pixel" } else { "logits" };
    let generator = AutomaticMaskGenerator::new(case.settings.apply(Settings::default())).unwrap();
    let mut decoder = DrawnDecoder::new(&golden("drawn.safetensors"), logits, drawn.side, None);
    let mut encoder = DrawnEncoder { side: drawn.side };
    generator.generate(&mut encoder, &mut decoder, &RgbImage::new(drawn.width, drawn.height), progress)
}

#[test]
fn masks_of_drawn_logits_are_those_of_the_reference() {
    let drawn = read();
    assert_eq!(drawn.cases.len(), 9);
    for case in &drawn.cases {
        let masks = generate(&drawn, case, &mut |_| ControlFlow::Continue(())).unwrap();
        compare(&case.case, &masks, &case.masks, 1.0);
    }
    let count = |name: &str| drawn.cases.iter().find(|case| case.case == name).unwrap().masks.len();
    // The cases reach what they are made for.
    assert!(count("two_crop_layers") > count("defaults") && count("nothing") == 0);
    let of = |name: &str| &drawn.cases.iter().find(|case| case.case == name).unwrap().masks;
    assert!(of("one_pixel").iter().filter(|mask| mask.area == 1).count() >= 10);
    assert!(of("loose").iter().any(|mask| mask.stability_score.is_none()));
    let crops: BTreeSet<[u32; 4]> = of("crops").iter().map(|mask| mask.crop_box).collect();
    assert!(crops.len() == 5, "masks of the whole image and of each crop");
}

#[test]
fn a_generation_reports_its_progress_and_can_be_cancelled() {
    let drawn = read();
    let case = drawn.cases.iter().find(|case| case.case == "small_batches").unwrap();
    let mut seen = Vec::new();
    generate(&drawn, case, &mut |progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(seen.len(), 8, "36 clicks, 5 at a time");
    assert_eq!((seen[0].decoded, seen[7].decoded, seen[7].points), (5, 36, 36));
    let crops = drawn.cases.iter().find(|case| case.case == "two_crop_layers").unwrap();
    let mut batches = 0;
    let cancelled = generate(&drawn, crops, &mut |_| {
        batches += 1;
        if batches == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(cancelled, Err(Error::Cancelled)) && batches == 2);
}
