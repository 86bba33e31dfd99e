//! TensorRT's engines on disk. They take minutes to build and fit one graph, one GPU and one version of everything, so
//! each graph has a folder with `key.json`: what its engines were built for, and the hash of each file. What does not
//! match is stale or corrupt, is said, and is built again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bundle::hash_file;
use super::execution::Plan;
use super::runtime;
use crate::native;

const KEY: &str = "key.json";
const LOCK: &str = "lock";

/// The engines of one graph.
#[derive(Debug)]
pub(super) struct Engines {
    folder: PathBuf,
    timings: PathBuf,
    key: BTreeMap<String, String>,
    /// Whether there are engines that fit.
    warm: bool,
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
        let name = format!("{}-{precision}{int8}-gpu{}", graph.get(..16).unwrap_or(graph), gpu.device_id);
        let folder = cache.join(name);
        let timings = cache.join("timings");
        fs::create_dir_all(&folder).and_then(|()| fs::create_dir_all(&timings)).map_err(failed)?;
        // Engines that came with a read-only image serve as they are.
        let lock = folder.join(LOCK);
        let lock = File::create(&lock).or_else(|e| File::open(&lock).map_err(|_| e)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let unknown = || "unknown".to_owned();
        let key = [
            ("graph", graph.to_owned()),
            ("ONNX Runtime", runtime::version().map_err(|e| e.to_string())?),
            ("TensorRT", native::gpu::tensorrt_version().unwrap_or_else(unknown)),
            ("GPU", native::gpu::name(gpu.device_id).unwrap_or_else(unknown)),
            ("precision", format!("{precision}{int8}")),
            ("shapes", format!("{} to {}, best at {}", plan.profile.min, plan.profile.max, plan.profile.opt)),
            ("workspace", gpu.workspace.to_string()),
        ];
        let key = key.map(|(name, value)| (name.to_owned(), value)).into();
        let mut engines = Engines { folder, timings, key, warm: false, refused: None, _lock: lock };
        match engines.check().map_err(failed)? {
            Found::Nothing => {}
            Found::Good(refused) => (engines.warm, engines.refused) = (true, refused),
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

    /// Forgets engines that TensorRT does not take.
    pub fn discard(&mut self) -> Result<(), String> {
        self.warm = false;
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
        self.write(&Sealed { key: self.key.clone(), files: hashes, refused: None })
    }

    fn write(&self, sealed: &Sealed) -> Result<(), String> {
        let text = serde_json::to_string_pretty(sealed).map_err(|e| e.to_string())?;
        let (path, partial) = (self.folder.join(KEY), self.folder.join(format!(".{KEY}")));
        let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, &path));
        written.map_err(|e| format!("engine cache {}: {e}", path.display()))
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
        Ok(Found::Good(sealed.refused))
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
    /// With the reason of the self-check, where it refused them.
    Good(Option<String>),
    Bad(String),
}

/// Remembers with sealed engines that their precision is not good enough, so that nobody builds them again.
pub(super) fn refuse(folder: &Path, reason: &str) -> Result<(), String> {
    let path = folder.join(KEY);
    let failed = |e: String| format!("engine cache {}: {e}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| failed(e.to_string()))?;
    let mut sealed: Sealed = serde_json::from_str(&text).map_err(|e| failed(e.to_string()))?;
    sealed.refused = Some(reason.to_owned());
    let text = serde_json::to_string_pretty(&sealed).map_err(|e| failed(e.to_string()))?;
    fs::write(&path, text).map_err(|e| failed(e.to_string()))
}
