//! Runs the fuzz targets on their seeds and on inputs that failed in the past (see fuzz/README.md).

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;
use std::sync::Mutex;

use targets::TARGETS;

/// Panics of all threads.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn no_target_panics_on_its_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut folders: Vec<_> = std::fs::read_dir(&seeds).unwrap().map(|f| f.unwrap().file_name()).collect();
    folders.sort();
    assert_eq!(folders, TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "each target has a folder of seeds");
    std::panic::set_hook(Box::new(|panic| {
        PANICS.lock().unwrap().push(panic.to_string());
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
            let returned = std::panic::catch_unwind(|| run(&data)).is_ok();
            let panics = std::mem::take(&mut *PANICS.lock().unwrap());
            if !returned || !panics.is_empty() {
                failed.push(format!("{}: {}", file.display(), panics.join("; ")));
            }
        }
    }
    let _ = std::panic::take_hook();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
