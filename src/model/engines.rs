//! TensorRT's engines on disk. They take minutes to build and fit one graph, one GPU and one version of everything, so
//! each graph has a folder for each set of options with `key.json`: what its engines were built for, and the hash of each
//! file. What does not match is stale or corrupt, is said, and is built again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::bundle::{hash_file, hash_of};
use super::execution::Plan;
use super::runtime;
use crate::native;

const KEY: &str = "key.json";
const LOCK: &str = "lock";
/// Sets of options whose engines of one graph, precision and GPU are kept: those that were wanted last.
const SETS: usize = 8;

/// Where the engines of a graph are, as it was opened with them.
#[derive(Debug)]
pub(super) struct Kept {
    pub folder: PathBuf,
    /// Whether they compute in half precision.
    pub half: bool,
    /// Whether a trial found them good, now or at an earlier start.
    pub checked: bool,
}

/// The engines of one graph.
#[derive(Debug)]
pub(super) struct Engines {
    folder: PathBuf,
    timings: PathBuf,
    key: BTreeMap<String, String>,
    half: bool,
    /// Whether there are engines that fit.
    warm: bool,
    /// Whether they were tried.
    checked: bool,
    /// Why fp16 was refused when these engines were checked.
    pub refused: Option<String>,
    /// One process builds, others wait for it.
    _lock: File,
}

/// `key.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    key: BTreeMap<String, String>,
    /// SHA-256 by name.
    files: BTreeMap<String, String>,
    /// Whether the self-check found nothing wrong with them.
    #[serde(default)]
    checked: bool,
    /// Why the self-check refused them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl Engines {
    /// The engines of a graph with this SHA-256 in the folder `cache`. What was found wrong with them is added to
    /// `notes`, and removed.
    ///
    /// # Errors
    /// The folder cannot be made, read or written.
    pub fn open(
        cache: &Path,
        graph: &str,
        label: &str,
        plan: &Plan<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Self, String> {
        let failed = |e: std::io::Error| format!("engine cache {}: {e}", cache.display());
        let gpu = &plan.options.gpu;
        let precision = if plan.half { "fp16" } else { "fp32" };
        let int8 = if gpu.int8 { "-int8" } else { "" };
        let shapes = format!("{} to {}, best at {}", plan.profile.min, plan.profile.max, plan.profile.opt);
        let workspace = gpu.workspace.to_string();
        let name = format!("{}-{precision}{int8}-gpu{}", graph.get(..16).unwrap_or(graph), gpu.device_id);
        // Who opens the model with other options, to look into it perhaps, leaves these engines alone.
        let options = hash_of(&[shapes.clone(), workspace.clone()]);
        let folder = cache.join(format!("{name}-{}", &options[..8]));
        let timings = cache.join("timings");
        fs::create_dir_all(&folder).and_then(|()| fs::create_dir_all(&timings)).map_err(failed)?;
        // Engines that came with a read-only image serve as they are.
        let lock = folder.join(LOCK);
        let lock = File::create(&lock).or_else(|e| File::open(&lock).map_err(|_| e)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let _ = lock.set_modified(SystemTime::now());
        thin_out(cache, &name);
        let unknown = || "unknown".to_owned();
        let key = [
            ("graph", graph.to_owned()),
            ("ONNX Runtime", runtime::version().map_err(|e| e.to_string())?),
            ("TensorRT", native::gpu::tensorrt_version().unwrap_or_else(unknown)),
            ("GPU", native::gpu::name(gpu.device_id).unwrap_or_else(unknown)),
            ("precision", format!("{precision}{int8}")),
            ("shapes", shapes),
            ("workspace", workspace),
        ];
        let key = key.map(|(name, value)| (name.to_owned(), value)).into();
        let half = plan.half;
        let mut engines =
            Engines { folder, timings, key, half, warm: false, checked: false, refused: None, _lock: lock };
        match engines.check().map_err(failed)? {
            Found::Nothing => {}
            Found::Good(sealed) => {
                (engines.warm, engines.checked, engines.refused) = (true, sealed.checked, sealed.refused);
            }
            Found::Bad(why) => {
                notes.push(format!("the TensorRT engines of {label} are built again: {why}"));
                engines.clear().map_err(failed)?;
            }
        }
        Ok(engines)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where TensorRT's timings are, of all graphs.
    pub fn timings(&self) -> &Path {
        &self.timings
    }

    pub fn warm(&self) -> bool {
        self.warm
    }

    pub fn kept(&self) -> Kept {
        Kept { folder: self.folder.clone(), half: self.half, checked: self.checked }
    }

    /// Forgets engines that TensorRT does not take.
    pub fn discard(&mut self) -> Result<(), String> {
        (self.warm, self.checked) = (false, false);
        self.clear().map_err(|e| format!("engine cache {}: {e}", self.folder.display()))
    }

    /// Writes down what was built. Without a file TensorRT had nothing to build, and nothing is written.
    pub fn seal(&mut self) -> Result<(), String> {
        let files = self.files().map_err(|e| format!("engine cache {}: {e}", self.folder.display()))?;
        if files.is_empty() {
            return Ok(());
        }
        let mut hashes = BTreeMap::new();
        for path in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            hashes.insert(name, hash_file(&path).map_err(|e| e.to_string())?);
        }
        write(&self.folder, &Sealed { key: self.key.clone(), files: hashes, checked: false, refused: None })
    }

    fn check(&self) -> std::io::Result<Found> {
        let files = self.files()?;
        let text = match fs::read_to_string(self.folder.join(KEY)) {
            Ok(text) => text,
            Err(_) if files.is_empty() => return Ok(Found::Nothing),
            Err(_) => return Ok(Found::Bad("the last build was interrupted".to_owned())),
        };
        let Ok(sealed) = serde_json::from_str::<Sealed>(&text) else {
            return Ok(Found::Bad(format!("{KEY} is damaged")));
        };
        let missing = |name: &String| sealed.key.get(name).map_or("nothing", String::as_str).to_owned();
        if let Some((name, now)) = self.key.iter().find(|(name, value)| sealed.key.get(*name) != Some(*value)) {
            return Ok(Found::Bad(format!("they are for {name} {}, this is {now}", missing(name))));
        }
        for (name, hash) in &sealed.files {
            if hash_file(&self.folder.join(name)).ok().as_ref() != Some(hash) {
                return Ok(Found::Bad(format!("{name} is missing or damaged")));
            }
        }
        Ok(Found::Good(sealed))
    }

    /// Everything in the folder that TensorRT wrote.
    fn files(&self) -> std::io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.folder)?.map(|entry| entry.map(|e| e.path()));
        let ours = |path: &PathBuf| path.ends_with(LOCK) || path.ends_with(KEY) || path.is_dir();
        entries.filter(|path| path.as_ref().map_or(true, |path| !ours(path))).collect()
    }

    fn clear(&self) -> std::io::Result<()> {
        for path in self.files()?.into_iter().chain([self.folder.join(KEY)]) {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

enum Found {
    Nothing,
    Good(Sealed),
    Bad(String),
}

/// Remembers with sealed engines that nothing was found wrong with them, so that nobody tries them again.
pub(super) fn pass(folder: &Path) -> Result<(), String> {
    amend(folder, |sealed| sealed.checked = true)
}

/// Remembers with sealed engines that their precision is not good enough, so that nobody builds them again.
pub(super) fn refuse(folder: &Path, reason: &str) -> Result<(), String> {
    amend(folder, |sealed| sealed.refused = Some(reason.to_owned()))
}

fn amend(folder: &Path, change: impl FnOnce(&mut Sealed)) -> Result<(), String> {
    let path = folder.join(KEY);
    let failed = |e: String| format!("engine cache {}: {e}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| failed(e.to_string()))?;
    let mut sealed: Sealed = serde_json::from_str(&text).map_err(|e| failed(e.to_string()))?;
    change(&mut sealed);
    write(folder, &sealed)
}

fn write(folder: &Path, sealed: &Sealed) -> Result<(), String> {
    let text = serde_json::to_string_pretty(sealed).map_err(|e| e.to_string())?;
    let (path, partial) = (folder.join(KEY), folder.join(format!(".{KEY}")));
    let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, &path));
    written.map_err(|e| format!("engine cache {}: {e}", path.display()))
}

/// Removes the engines that belong to `name` and nobody wanted for the longest, beyond [`SETS`]. What cannot be removed
/// stays.
fn thin_out(cache: &Path, name: &str) {
    let of_name = |folder: &Path| {
        let rest = folder.file_name().and_then(|f| f.to_str()).and_then(|f| f.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let folders = fs::read_dir(cache).into_iter().flatten().flatten().map(|entry| entry.path());
    let wanted = |folder: &PathBuf| fs::metadata(folder.join(LOCK)).and_then(|lock| lock.modified()).ok();
    let mut folders: Vec<_> =
        folders.filter(|folder| of_name(folder)).map(|folder| (wanted(&folder), folder)).collect();
    folders.sort();
    let surplus = folders.len().saturating_sub(SETS);
    for (_, folder) in folders.into_iter().take(surplus) {
        // Not while another process builds there.
        if File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_engines_that_nobody_wants_go() {
        let cache = std::env::temp_dir().join(format!("promptseg-engines-{}", std::process::id()));
        let lock = |name: &str, age: u64| {
            let folder = cache.join(name);
            fs::create_dir_all(&folder).unwrap();
            let lock = File::create(folder.join(LOCK)).unwrap();
            lock.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            lock
        };
        let held = lock("abc-fp16-gpu0-held", 1000);
        held.lock().unwrap();
        // Of an earlier version, and of others.
        for (name, age) in [("abc-fp16-gpu0", 900), ("abc-fp16-gpu01", 900), ("abc-fp32-gpu0-x", 900), ("timings", 900)]
        {
            lock(name, age);
        }
        (0..SETS as u64).for_each(|age| drop(lock(&format!("abc-fp16-gpu0-{age}"), age)));
        thin_out(&cache, "abc-fp16-gpu0");
        let has = |name: &str| cache.join(name).exists();
        assert!(!has("abc-fp16-gpu0") && has("abc-fp16-gpu0-held"));
        assert!(["abc-fp16-gpu01", "abc-fp32-gpu0-x", "timings"].into_iter().all(has));
        assert!((0..SETS).all(|age| has(&format!("abc-fp16-gpu0-{age}"))));
        drop(held);
        thin_out(&cache, "abc-fp16-gpu0");
        assert!(!has("abc-fp16-gpu0-held"));
        fs::remove_dir_all(&cache).unwrap();
    }
}
