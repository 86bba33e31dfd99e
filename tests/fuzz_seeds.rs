//! What fuzzing found, and what it began with, through the bodies of the fuzz targets (see fuzz/README.md).

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;
use std::sync::Mutex;

use targets::TARGETS;

/// What panicked, on whichever thread.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn seeds_and_findings_pass() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut folders: Vec<_> = std::fs::read_dir(&seeds).unwrap().map(|f| f.unwrap().file_name()).collect();
    folders.sort();
    assert_eq!(folders, TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "a folder of seeds for each target");
    std::panic::set_hook(Box::new(|what| {
        PANICS.lock().unwrap().push(what.to_string());
    }));
    let mut failed = Vec::new();
    for (name, run) in TARGETS {
        let mut files: Vec<_> = std::fs::read_dir(seeds.join(name)).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        if files.is_empty() {
            failed.push(format!("{name}: no seeds"));
        }
        for file in files {
            let data = std::fs::read(&file).unwrap();
            let done = std::panic::catch_unwind(|| run(&data)).is_ok();
            let panics = std::mem::take(&mut *PANICS.lock().unwrap());
            if !done || !panics.is_empty() {
                failed.push(format!("{}: {}", file.display(), panics.join("; ")));
            }
        }
    }
    let _ = std::panic::take_hook();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
