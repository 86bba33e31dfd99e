//! Bundles: the description, the list of files, their sizes and hashes.

use std::path::PathBuf;
use std::sync::LazyLock;

use promptseg::model::{Bundle, Manifest};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Folder of the bundle's files, in memory (`/dev/shm`) if possible, so that a run takes microseconds.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = parent.join(format!("promptseg-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the folder can be created");
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
    assert!(text.iter().all(|t| !t.contains('\0')), "strings in ROS messages end at a zero byte: {text:?}");
    for variant in &manifest.variants {
        assert_eq!(manifest.precision_of(&variant.encoder).is_some(), manifest.files.contains_key(&variant.encoder));
    }
    let again = serde_json::to_vec(&manifest).expect("a manifest is valid JSON");
    let again = Manifest::parse(&again, "bundle.json").expect("a written manifest can be parsed");
    assert_eq!(format!("{manifest:?}"), format!("{again:?}"));
    on_disk(data, &manifest);
}

/// Opens the bundle with files of correct or wrong sizes and hashes.
fn on_disk(data: &[u8], manifest: &Manifest) {
    let Ok(mut description) = serde_json::from_slice::<Value>(data) else { return };
    for (i, (name, entry)) in manifest.files.iter().enumerate() {
        let content = vec![i as u8; (entry.bytes % 512) as usize + 1];
        // Two of three files get a correct size and hash.
        let right = !entry.bytes.is_multiple_of(3);
        if right {
            let hash = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect::<String>();
            description["files"][name] = json!({ "bytes": content.len(), "sha256": hash });
        }
        if std::fs::write(FOLDER.join(name), content).is_err() {
            return; // the file system does not allow the name
        }
    }
    std::fs::write(FOLDER.join("bundle.json"), description.to_string()).expect("bundle.json can be written");
    match Bundle::open(&FOLDER) {
        Ok(bundle) => {
            for name in bundle.manifest.files.keys() {
                let verified = bundle.verify(name).map_err(|e| e.to_string());
                assert_eq!(verified.is_ok(), bundle.read(name).is_ok(), "{verified:?}");
            }
        }
        Err(error) => assert!(error.to_string().contains(&*FOLDER.to_string_lossy()), "{error}"),
    }
    for name in manifest.files.keys() {
        let _ = std::fs::remove_file(FOLDER.join(name));
    }
}
