//! A bundle: its description, the list of its files, their sizes and hashes.

use std::path::PathBuf;
use std::sync::LazyLock;

use promptseg::model::{Bundle, Manifest};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// In memory where the machine has a folder for that: a run takes microseconds.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = parent.join(format!("promptseg-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of one's own");
    folder
});

pub fn run(data: &[u8]) {
    let Ok(manifest) = Manifest::parse(data, "bundle.json") else { return };
    assert!((16..=8192).contains(&manifest.image_size) && manifest.std.iter().all(|s| *s > 0.0));
    for name in manifest.files.keys() {
        let plain = std::path::Path::new(name).components().count() == 1 && !name.contains(['/', '\\']);
        assert!(plain && !name.starts_with('.'), "{name:?} may leave the folder");
    }
    let text = [&manifest.name, &manifest.family, &manifest.source, &manifest.licence];
    assert!(text.iter().all(|t| !t.contains('\0')), "what goes into messages of ROS ends at a zero: {text:?}");
    for variant in &manifest.variants {
        assert_eq!(manifest.precision_of(&variant.encoder).is_some(), manifest.files.contains_key(&variant.encoder));
    }
    let again = serde_json::to_vec(&manifest).expect("it came from JSON");
    let again = Manifest::parse(&again, "bundle.json").expect("it was one");
    assert_eq!(format!("{manifest:?}"), format!("{again:?}"));
    on_disk(data, &manifest);
}

/// The files are there, with the right size and hash, or with wrong ones.
fn on_disk(data: &[u8], manifest: &Manifest) {
    let Ok(mut description) = serde_json::from_slice::<Value>(data) else { return };
    for (i, (name, entry)) in manifest.files.iter().enumerate() {
        let content = vec![i as u8; (entry.bytes % 512) as usize + 1];
        // One in three as it says, if that is no wonder.
        let right = !entry.bytes.is_multiple_of(3);
        if right {
            let hash = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect::<String>();
            description["files"][name] = json!({ "bytes": content.len(), "sha256": hash });
        }
        if std::fs::write(FOLDER.join(name), content).is_err() {
            return; // a name that the file system does not take
        }
    }
    std::fs::write(FOLDER.join("bundle.json"), description.to_string()).expect("room for a kilobyte");
    match Bundle::open(&FOLDER) {
        Ok(bundle) => {
            for name in bundle.manifest.files.keys() {
                let said = bundle.verify(name).map_err(|e| e.to_string());
                assert_eq!(said.is_ok(), bundle.read(name).is_ok(), "{said:?}");
            }
        }
        Err(error) => assert!(error.to_string().contains(&*FOLDER.to_string_lossy()), "{error}"),
    }
    for name in manifest.files.keys() {
        let _ = std::fs::remove_file(FOLDER.join(name));
    }
}
