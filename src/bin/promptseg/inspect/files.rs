//! The files of a model, compared with its description.

use promptseg::model::Bundle;
use serde_json::{Value, json};

use crate::terminal;

/// A file of the model.
pub struct FileStatus {
    pub name: String,
    pub bytes: u64,
    /// Difference to the size or hash in the bundle.
    pub fault: Option<String>,
}

impl FileStatus {
    /// Prints the file. `fine` describes a file without a fault.
    pub fn print(&self, fine: &str) {
        let status = self.fault.as_deref().unwrap_or(fine);
        terminal::print(format!("{:<12}{:<34} {:>12} bytes  {status}", "file", self.name, self.bytes));
    }

    pub fn as_json(&self) -> Value {
        json!({ "name": self.name, "bytes": self.bytes, "ok": self.fault.is_none(), "wrong": self.fault })
    }
}

/// Compares every file of a bundle with its size and hash.
pub fn files_of_bundle(bundle: &Bundle) -> Vec<FileStatus> {
    let status = |name: &String, bytes: u64| FileStatus {
        name: name.clone(),
        bytes,
        fault: bundle.verify(name).err().map(|e| e.to_string()),
    };
    bundle.manifest.files.iter().map(|(name, entry)| status(name, entry.bytes)).collect()
}
