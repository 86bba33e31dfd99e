//! Cache of TensorRT's engines and of the models that OpenVINO compiled, on disk. Both are called engines here.
//!
//! TensorRT's engines take minutes to build. Engines fit one graph, one device, and one version of each library. So the
//! engines of a graph lie in a folder of their own for each set of options. `key.json` in the folder holds what the engines
//! were built for and the hash of each file. Engines with another key or hash are stale or damaged; they are reported and
//! built again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::library;
use crate::model::bundle::hash;

const KEY_FILE: &str = "key.json";
const LOCK_FILE: &str = "lock";
/// Most sets of options for which the engines of one graph, precision and device are kept. The most recently used sets stay.
const SETS: usize = 8;

/// What the engines of a graph depend on, besides the version of ONNX Runtime.
pub struct EngineKey<'a> {
    /// Name of the engines in messages, for instance `TensorRT engines`.
    pub kind: &'static str,
    /// SHA-256 of the graph and its weights.
    pub graph: &'a str,
    /// Whether the engines compute in a precision below that of the graph.
    pub half: bool,
    /// Precision and device. Together with the start of `graph` the name of the folder.
    pub name: String,
    /// Versions and devices: name and value of each.
    pub machine: Vec<(&'static str, String)>,
    /// Options that need engines of their own, which are kept side by side: name and value of each.
    pub options: Vec<(&'static str, String)>,
}

/// Engines on disk that a session was opened with.
#[derive(Debug, Clone)]
pub struct EngineRecord {
    pub folder: PathBuf,
    /// Whether they compute in a precision below that of the graph.
    pub half: bool,
    /// Whether a trial run at an earlier start accepted them.
    pub checked: bool,
}

/// The engines of one graph, locked against other processes.
#[derive(Debug)]
pub struct EngineCache {
    folder: PathBuf,
    timings: PathBuf,
    key: BTreeMap<String, String>,
    half: bool,
    /// Whether the folder holds engines with the right key.
    warm: bool,
    /// Whether a trial run accepted the engines.
    checked: bool,
    /// Reason why a trial run refused the precision of the engines.
    pub refused: Option<String>,
    /// One process builds engines, all others wait for the lock.
    _lock: File,
}

/// Content of `key.json`.
#[derive(Debug, Serialize, Deserialize)]
struct KeyFile {
    key: BTreeMap<String, String>,
    /// SHA-256 of each file by name.
    files: BTreeMap<String, String>,
    /// Whether the self-check accepted the engines.
    #[serde(default)]
    checked: bool,
    /// Reason why the self-check refused the engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl EngineCache {
    /// Opens the folder of a graph's engines below the folder `cache`, and waits for other processes that use it. Engines
    /// that are stale or damaged are removed, and `notes` receives the reason.
    ///
    /// # Errors
    /// The reason in words, if the folder cannot be created, read or written.
    pub fn open(cache: &Path, key: &EngineKey<'_>, label: &str, notes: &mut Vec<String>) -> Result<Self, String> {
        let failed = |e: std::io::Error| format!("engine cache {}: {e}", cache.display());
        let EngineKey { kind, graph, half, .. } = *key;
        let name = format!("{}-{}", graph.get(..16).unwrap_or(graph), key.name);
        // Opening the model with other options, for instance to inspect it, keeps these engines.
        let options = key.options.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("\n");
        let options = hash::hash_content(options.as_bytes());
        let folder = cache.join(format!("{name}-{}", &options[..8]));
        let timings = cache.join("timings");
        fs::create_dir_all(&folder).and_then(|()| fs::create_dir_all(&timings)).map_err(failed)?;
        // Engines in a read-only image can be used as they are.
        let lock = folder.join(LOCK_FILE);
        let lock = File::create(&lock).or_else(|e| File::open(&lock).map_err(|_| e)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let _ = lock.set_modified(SystemTime::now());
        thin_out(cache, &name);
        let runtime = library::version().map_err(|e| e.to_string())?;
        let common = [("graph", graph.to_owned()), ("ONNX Runtime", runtime)];
        let own = key.machine.iter().chain(&key.options).cloned();
        let key = common.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value)).collect();
        let mut engines =
            EngineCache { folder, timings, key, half, warm: false, checked: false, refused: None, _lock: lock };
        match engines.state().map_err(failed)? {
            CacheState::Empty => {}
            CacheState::Valid(stored) => {
                (engines.warm, engines.checked, engines.refused) = (true, stored.checked, stored.refused);
            }
            CacheState::Stale(why) => {
                notes.push(format!("the {kind} of {label} are built again: {why}"));
                engines.clear().map_err(failed)?;
            }
        }
        Ok(engines)
    }

    /// Returns the folder of the engines.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder of TensorRT's timings, which all graphs share.
    pub fn timings(&self) -> &Path {
        &self.timings
    }

    /// Returns whether the folder holds engines that can be used.
    pub fn warm(&self) -> bool {
        self.warm
    }

    /// Describes the engines for the trial run that follows.
    pub fn record(&self) -> EngineRecord {
        EngineRecord { folder: self.folder.clone(), half: self.half, checked: self.checked }
    }

    /// Removes engines that the provider refuses.
    ///
    /// # Errors
    /// The reason in words, if a file cannot be removed.
    pub fn discard(&mut self) -> Result<(), String> {
        (self.warm, self.checked) = (false, false);
        self.clear().map_err(|e| format!("engine cache {}: {e}", self.folder.display()))
    }

    /// Writes `key.json` for the engines that were built. Without a file the provider had nothing to build, and nothing is
    /// written.
    ///
    /// # Errors
    /// The reason in words, if a file cannot be read or written.
    pub fn seal(&mut self) -> Result<(), String> {
        let files = self.files().map_err(|e| format!("engine cache {}: {e}", self.folder.display()))?;
        if files.is_empty() {
            return Ok(());
        }
        let mut hashes = BTreeMap::new();
        for path in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            hashes.insert(name, hash::hash_file(&path).map_err(|e| e.to_string())?);
        }
        write(&self.folder, &KeyFile { key: self.key.clone(), files: hashes, checked: false, refused: None })
    }

    /// Compares the folder with the key.
    fn state(&self) -> std::io::Result<CacheState> {
        let files = self.files()?;
        let text = match fs::read_to_string(self.folder.join(KEY_FILE)) {
            Ok(text) => text,
            Err(_) if files.is_empty() => return Ok(CacheState::Empty),
            Err(_) => return Ok(CacheState::Stale("the last build was interrupted".to_owned())),
        };
        let Ok(stored) = serde_json::from_str::<KeyFile>(&text) else {
            return Ok(CacheState::Stale(format!("{KEY_FILE} is damaged")));
        };
        let missing = |name: &String| stored.key.get(name).map_or("nothing", String::as_str).to_owned();
        if let Some((name, now)) = self.key.iter().find(|(name, value)| stored.key.get(*name) != Some(*value)) {
            return Ok(CacheState::Stale(format!("they are for {name} {}, this is {now}", missing(name))));
        }
        for (name, hash) in &stored.files {
            if hash::hash_file(&self.folder.join(name)).ok().as_ref() != Some(hash) {
                return Ok(CacheState::Stale(format!("{name} is missing or damaged")));
            }
        }
        Ok(CacheState::Valid(stored))
    }

    /// Returns the files in the folder that the provider wrote.
    fn files(&self) -> std::io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.folder)?.map(|entry| entry.map(|e| e.path()));
        let ours = |path: &PathBuf| path.ends_with(LOCK_FILE) || path.ends_with(KEY_FILE) || path.is_dir();
        entries.filter(|path| path.as_ref().map_or(true, |path| !ours(path))).collect()
    }

    fn clear(&self) -> std::io::Result<()> {
        for path in self.files()?.into_iter().chain([self.folder.join(KEY_FILE)]) {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

/// State of a folder of engines.
enum CacheState {
    Empty,
    Valid(KeyFile),
    /// Engines that are stale or damaged, with the reason.
    Stale(String),
}

/// Writes into `key.json` that a trial run accepted the engines, so that the next start skips the trial run.
///
/// # Errors
/// The reason in words, if the file cannot be read or written.
pub fn accept(folder: &Path) -> Result<(), String> {
    amend(folder, |stored| stored.checked = true)
}

/// Writes into `key.json` that the precision of the engines is not good enough, so that no start builds them again.
///
/// # Errors
/// The reason in words, if the file cannot be read or written.
pub fn refuse(folder: &Path, reason: &str) -> Result<(), String> {
    amend(folder, |stored| stored.refused = Some(reason.to_owned()))
}

fn amend(folder: &Path, change: impl FnOnce(&mut KeyFile)) -> Result<(), String> {
    let path = folder.join(KEY_FILE);
    let failed = |e: String| format!("engine cache {}: {e}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| failed(e.to_string()))?;
    let mut stored: KeyFile = serde_json::from_str(&text).map_err(|e| failed(e.to_string()))?;
    change(&mut stored);
    write(folder, &stored)
}

fn write(folder: &Path, stored: &KeyFile) -> Result<(), String> {
    let text = serde_json::to_string_pretty(stored).map_err(|e| e.to_string())?;
    let (path, partial) = (folder.join(KEY_FILE), folder.join(format!(".{KEY_FILE}")));
    let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, &path));
    written.map_err(|e| format!("engine cache {}: {e}", path.display()))
}

/// Removes the least recently used folders of `name` until [`SETS`] are left. Folders that cannot be removed stay.
fn thin_out(cache: &Path, name: &str) {
    let belongs = |folder: &Path| {
        let rest = folder.file_name().and_then(|f| f.to_str()).and_then(|f| f.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let folders = fs::read_dir(cache).into_iter().flatten().flatten().map(|entry| entry.path());
    let last_use = |folder: &PathBuf| fs::metadata(folder.join(LOCK_FILE)).and_then(|lock| lock.modified()).ok();
    let mut folders: Vec<_> =
        folders.filter(|folder| belongs(folder)).map(|folder| (last_use(&folder), folder)).collect();
    folders.sort();
    let surplus = folders.len().saturating_sub(SETS);
    for (_, folder) in folders.into_iter().take(surplus) {
        // A folder that another process uses stays.
        if File::open(folder.join(LOCK_FILE)).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_least_recently_used_engines_are_removed() {
        let cache = std::env::temp_dir().join(format!("promptseg-engines-{}", std::process::id()));
        let lock = |name: &str, age: u64| {
            let folder = cache.join(name);
            fs::create_dir_all(&folder).unwrap();
            let lock = File::create(folder.join(LOCK_FILE)).unwrap();
            lock.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            lock
        };
        let held = lock("abc-fp16-gpu0-held", 1000);
        held.lock().unwrap();
        // A folder of an earlier version, and folders of other engines.
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
