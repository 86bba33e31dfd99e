//! Timings of a model on the providers of a machine, on disk beside the engines. The fastest provider of each graph follows
//! from the timings.
//!
//! Each model has a file for each set of options. The file also holds what the timings were taken with: timings of another
//! processor or another version of a library are taken again.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cpu::Cpu;
use super::library;
use super::options::SessionOptions;
use super::per_graph::PerGraph;
use crate::model::bundle::hash;
use crate::model::provider::Provider;
use crate::native;

/// Folder of the files below the engine cache.
const FOLDER: &str = "choices";

/// Timings of the graphs of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GraphTimings {
    /// Median time of a run on each provider, ms.
    pub timings: PerGraph<Vec<(Provider, f64)>>,
    /// Providers that could not run a graph, with the reason.
    pub failed: PerGraph<Vec<(Provider, String)>>,
}

/// The file with the timings of a model.
pub struct ChoiceFile {
    path: PathBuf,
    key: BTreeMap<String, String>,
}

/// Content of the file.
#[derive(Serialize, Deserialize)]
struct Content {
    key: BTreeMap<String, String>,
    #[serde(flatten)]
    measured: GraphTimings,
}

impl ChoiceFile {
    /// Names the file of a model with the hash `model`, opened with `options`, below the engine cache `cache`.
    ///
    /// # Errors
    /// The reason in words, if ONNX Runtime cannot be loaded.
    pub fn new(cache: &Path, model: &str, options: &SessionOptions, candidates: &[Provider]) -> Result<Self, String> {
        let unknown = || "unknown".to_owned();
        let cpu = format!("{}, {} threads", Cpu::of_this_machine().name, options.session_threads());
        let openvino = library::folder().and_then(|folder| native::openvino::version_in(&folder));
        let providers = candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let key = [
            ("model", model.to_owned()),
            ("providers", providers),
            ("CPU", cpu),
            ("GPU", native::gpu::name(options.gpu.device_id).unwrap_or_else(unknown)),
            ("ONNX Runtime", library::version().map_err(|e| e.to_string())?),
            ("OpenVINO", openvino.unwrap_or_else(unknown)),
            ("TensorRT", native::gpu::tensorrt_version().unwrap_or_else(unknown)),
        ];
        let key = key.map(|(name, value)| (name.to_owned(), value)).into();
        let name = format!("{}-{}.json", model.get(..16).unwrap_or(model), &options_hash(options)[..8]);
        Ok(ChoiceFile { path: cache.join(FOLDER).join(name), key })
    }

    /// Reads the timings. Returns none if there is no file.
    ///
    /// # Errors
    /// The reason in words, if the timings are for another machine or the file is damaged.
    pub fn read(&self) -> Result<Option<GraphTimings>, String> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(e) => return Err(format!("{}: {e}", self.path.display())),
        };
        let content: Content =
            serde_json::from_str(&text).map_err(|_| format!("{} is damaged", self.path.display()))?;
        match self.key.iter().find(|(name, value)| content.key.get(*name) != Some(*value)) {
            Some((name, now)) => {
                let before = content.key.get(name).map_or("nothing", String::as_str);
                Err(format!("they are for {name} {before}, this is {now}"))
            }
            None => Ok(Some(content.measured)),
        }
    }

    /// Writes the timings.
    ///
    /// # Errors
    /// The reason in words, if the file cannot be written.
    pub fn write(&self, measured: &GraphTimings) -> Result<(), String> {
        let failed = |e: String| format!("{}: {e}", self.path.display());
        let content = Content { key: self.key.clone(), measured: measured.clone() };
        let text = serde_json::to_string_pretty(&content).map_err(|e| failed(e.to_string()))?;
        let partial = self.path.with_extension(format!("{}", std::process::id()));
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let written = fs::create_dir_all(folder)
            .and_then(|()| fs::write(&partial, text))
            .and_then(|()| fs::rename(&partial, &self.path));
        written.map_err(|e| failed(e.to_string()))
    }
}

/// Returns the hash of the options that change how long a graph takes.
fn options_hash(options: &SessionOptions) -> String {
    let mut options = options.clone();
    (options.providers, options.gpu.engine_cache, options.gpu.self_check) = (Vec::new(), None, true);
    hash::hash_content(format!("{options:?}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_of_another_machine_are_not_used() {
        let cache = std::env::temp_dir().join(format!("promptseg-choices-{}", std::process::id()));
        let options = SessionOptions::default();
        let file = |options: &SessionOptions| {
            ChoiceFile::new(&cache, "0123456789abcdef0123", options, &[Provider::OpenVino, Provider::Cpu]).unwrap()
        };
        assert_eq!(file(&options).read(), Ok(None));
        let mut measured = GraphTimings::default();
        *measured.timings.get_mut("encoder") = vec![(Provider::OpenVino, 142.5), (Provider::Cpu, 331.25)];
        *measured.failed.get_mut("decoder") = vec![(Provider::OpenVino, "no kernel".to_owned())];
        file(&options).write(&measured).unwrap();
        assert_eq!(file(&options).read(), Ok(Some(measured.clone())));
        // Options that change the speed have a file of their own; the folder of the engines does not matter.
        let other = SessionOptions { threads: 7, ..options.clone() };
        assert_eq!(file(&other).read(), Ok(None));
        let mut elsewhere = options.clone();
        elsewhere.gpu.engine_cache = Some("/elsewhere".into());
        assert_eq!(file(&elsewhere).read(), Ok(Some(measured)));

        let path = file(&options).path;
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(&Cpu::of_this_machine().name, "Z80")).unwrap();
        let why = file(&options).read().unwrap_err();
        assert!(why.starts_with("they are for CPU Z80, ") && why.contains(", this is "), "{why}");
        fs::write(&path, "{").unwrap();
        assert!(file(&options).read().unwrap_err().ends_with(".json is damaged"));
        fs::remove_dir_all(&cache).unwrap();
        fs::write(&cache, "a file").unwrap();
        assert!(file(&options).write(&GraphTimings::default()).is_err());
        fs::remove_file(&cache).unwrap();
    }
}
