//! Temporary folders for tests, and copies of bundles that a test may damage.

#![allow(dead_code)] // each test program uses only some functions

use std::path::{Path, PathBuf};
use std::process::Output;

use image::GrayImage;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A temporary folder, removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let folder = std::env::temp_dir().join(format!("promptseg-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Scratch(folder)
    }

    /// Creates a folder with copies of the files in a folder of `tests/golden`.
    pub fn with(name: &str, bundle: &str) -> Scratch {
        let scratch = Scratch::new(name);
        for entry in std::fs::read_dir(golden(bundle)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            std::fs::copy(&path, scratch.file(path.file_name().unwrap())).unwrap();
        }
        scratch
    }

    /// Creates a folder with the picture `cat.png`.
    pub fn with_cat(name: &str) -> Scratch {
        let scratch = Scratch::new(name);
        std::fs::copy(golden("pixels/chelsea_320x213.png"), scratch.file("cat.png")).unwrap();
        scratch
    }

    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Creates a sparse file, which has a size but takes no disk space.
    pub fn sparse(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.file(name);
        std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
        path
    }

    /// Modifies bundle.json.
    pub fn describe(&self, change: impl FnOnce(&mut Value)) {
        let mut description: Value = serde_json::from_slice(&std::fs::read(self.file("bundle.json")).unwrap()).unwrap();
        change(&mut description);
        self.write("bundle.json", description.to_string());
    }

    /// Writes a file and lists its size and hash in bundle.json.
    pub fn put(&self, name: &str, content: &[u8]) {
        self.write(name, content);
        let digest = Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect::<String>();
        self.describe(|d| d["files"][name] = serde_json::json!({ "sha256": digest, "bytes": content.len() }));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Parses the only line of an output, which is JSON.
pub fn line(output: &Output) -> Value {
    let stdout = succeeded(output);
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    serde_json::from_str(&stdout).unwrap()
}

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Returns the path of a model that another exporter wrote.
pub fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).display().to_string()
}

pub fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

/// Converts the output of a program to text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Returns the standard output of a program, after checking that it succeeded without output on standard error.
pub fn succeeded(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    // Without a terminal, programs print no progress and no colours.
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

/// Returns the standard error of a program, after checking its exit code.
pub fn refused(output: &Output, code: i32) -> String {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(!message.contains("panicked") && !message.contains('\x1b'), "{message}");
    message
}

/// Decodes COCO's run lengths, as `rleFrString` and `rleDecode` of maskApi.c do.
pub fn decode_run_lengths(rle: &Value) -> GrayImage {
    let [height, width] = [0, 1].map(|i| rle["size"][i].as_u64().unwrap() as u32);
    let mut counts: Vec<i64> = Vec::new();
    let (mut value, mut shift) = (0_i64, 0);
    for c in rle["counts"].as_str().unwrap().bytes() {
        let group = i64::from(c - 48);
        value |= (group & 0x1f) << shift;
        shift += 5;
        if group & 0x20 == 0 {
            if group & 0x10 != 0 {
                value |= -1 << shift;
            }
            let before = if counts.len() > 2 { counts[counts.len() - 2] } else { 0 };
            counts.push(value + before);
            (value, shift) = (0, 0);
        }
    }
    assert_eq!(counts.iter().sum::<i64>(), i64::from(height) * i64::from(width));
    let mut column_wise = Vec::new();
    for (i, count) in counts.iter().enumerate() {
        column_wise.extend(std::iter::repeat_n(if i % 2 == 1 { 255 } else { 0 }, *count as usize));
    }
    GrayImage::from_fn(width, height, |x, y| image::Luma([column_wise[(x * height + y) as usize]]))
}
