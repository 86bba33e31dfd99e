//! A machine with a GPU, as far as promptseg can see: the programs run with tests/stub_onnxruntime.

#![allow(dead_code)] // each test program uses only some functions

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::scratch::{Scratch, golden};

/// Options for a small batch, because each opening tries a full batch.
pub const FEW: [&str; 2] = ["--max-objects", "4"];

/// Returns the path of the stub. `cargo test` builds it; `cargo test --test providers` does not, so that it is built here.
pub fn stub() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_promptseg"));
    let library = binary.parent().unwrap().join("examples/libstub_onnxruntime.so");
    let changed = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stub_onnxruntime");
    let sources = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    if changed(&library) < sources.filter_map(|source| changed(&source)).max() {
        let features: &[&str] = if cfg!(feature = "ros") { &[] } else { &["--no-default-features"] };
        let build = ["build", "--example", "stub_onnxruntime"];
        let status = Command::new(env!("CARGO")).args(build).args(features).status().unwrap();
        assert!(status.success(), "the stub does not build");
    }
    library
}

/// Returns the reasons of a line of `bench` why providers and precisions do not run.
pub fn refused(bench: &Value) -> String {
    bench["refused"].to_string()
}

/// A machine with a GPU, and the log of the calls of ONNX Runtime.
pub struct Machine {
    pub scratch: Scratch,
    pub behaviour: String,
    pub variables: Vec<(&'static str, String)>,
    pub nvidia: bool,
}

impl Machine {
    pub fn new(name: &str, behaviour: &str) -> Machine {
        let scratch = Scratch::new(&format!("providers-{name}"));
        let libraries = scratch.0.join("nvidia");
        std::fs::create_dir_all(&libraries).unwrap();
        for library in ["libnvinfer.so.10", "libcuda.so.1"] {
            std::os::unix::fs::symlink(stub(), libraries.join(library)).unwrap();
        }
        Machine { scratch, behaviour: behaviour.to_owned(), variables: Vec::new(), nvidia: true }
    }

    pub fn file(&self, name: &str) -> String {
        self.scratch.0.join(name).display().to_string()
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let _ = std::fs::remove_file(self.file("log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_promptseg"));
        command
            .args(arguments)
            .current_dir(&self.scratch.0)
            .env("STUB_REAL", std::env::var_os("ORT_DYLIB_PATH").expect("ORT_DYLIB_PATH"))
            .env("ORT_DYLIB_PATH", stub())
            .env("STUB_LOG", self.file("log"))
            .env("STUB", &self.behaviour)
            .env("XDG_CACHE_HOME", self.file("caches"))
            .envs(self.variables.iter().cloned());
        if self.nvidia {
            command.env("LD_LIBRARY_PATH", self.file("nvidia"));
        }
        command.output().unwrap()
    }

    /// Returns the line of JSON that `bench` prints.
    pub fn bench(&self, model: &str, arguments: &[&str]) -> Value {
        let model = golden(model).display().to_string();
        let few: &[&str] = if arguments.contains(&"--max-objects") { &[] } else { &FEW };
        let output = self.run(&[&["bench", &model, "--json", "--runs", "1"], arguments, few].concat());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Tracks a click on one frame with a model that has memory. There is no earlier frame for the memory attention.
    pub fn track(&self, providers: &str) {
        let (frame, model) = (golden("video/frames/00.png"), golden("video"));
        let (frame, model) = (frame.to_str().unwrap(), model.to_str().unwrap());
        let click = ["track", frame, "--point", "18,42", "--format", "coco-rle", "--model", model];
        let output = self.run(&[&click[..], &["--providers", providers], &FEW].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn log(&self) -> Vec<String> {
        std::fs::read_to_string(self.file("log")).unwrap_or_default().lines().map(ToOwned::to_owned).collect()
    }

    pub fn lines(&self, start: &str) -> Vec<String> {
        self.log().into_iter().filter(|line| line.starts_with(start)).collect()
    }
}
