//! A JSON document that grows with each picture.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::files::{Target, Writer, is_special};
use crate::results::single_file;
use crate::terminal;

/// A head, items with commas between them, and a tail.
///
/// A file is a whole document after each picture: the next picture overwrites the tail, so a run that is killed leaves the
/// pictures before. Standard output, devices and pipes get the tail at the end of the run.
pub struct Document {
    /// None for standard output.
    path: Option<PathBuf>,
    /// The open file, and the position of the tail in bytes.
    file: Option<(File, u64)>,
    /// Whether the head is written.
    begun: bool,
    has_items: bool,
    /// Tail that is not written yet.
    tail: String,
}

impl Document {
    /// Decides where the document goes; `name` is its name in a folder.
    ///
    /// # Errors
    /// The file must not be written.
    pub fn plan(target: &Target, name: &str, writer: &Writer) -> Result<Document, String> {
        let path = single_file(target, name);
        if let Some(path) = &path {
            writer.check(path)?;
        }
        Ok(Document { path, file: None, begun: false, has_items: false, tail: String::new() })
    }

    /// Appends items. `head` is written once.
    pub fn append(&mut self, head: &str, items: &[String], tail: String, writer: &Writer) -> Result<(), String> {
        let mut content = if self.begun { String::new() } else { head.to_owned() };
        for item in items {
            if self.has_items {
                content.push_str(",\n");
            }
            content.push_str(item);
            self.has_items = true;
        }
        self.begun = true;
        let Some(path) = &self.path else {
            self.tail = tail;
            terminal::write(content.as_bytes());
            return Ok(());
        };
        let (file, tail_at) = match &mut self.file {
            Some(open) => open,
            none => none.insert((writer.create(path)?, 0)),
        };
        let end = *tail_at + content.len() as u64;
        if is_special(path) {
            self.tail = tail;
        } else {
            file.seek(SeekFrom::Start(*tail_at)).map_err(failed(path))?;
            content.push_str(&tail);
        }
        file.write_all(content.as_bytes()).map_err(failed(path))?;
        *tail_at = end;
        Ok(())
    }

    /// Completes the document. Returns its file, if one was written.
    pub fn finish(&mut self) -> Result<Option<&Path>, String> {
        let tail = std::mem::take(&mut self.tail);
        match (&self.path, &mut self.file) {
            (Some(path), Some((file, _))) => {
                file.write_all(tail.as_bytes()).map_err(failed(path))?;
                Ok(Some(path))
            }
            (Some(_), None) => Ok(None),
            (None, _) => {
                terminal::write(tail.as_bytes());
                Ok(None)
            }
        }
    }
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> String {
    move |e| format!("cannot write {}: {e}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_after_each_picture() {
        let folder = std::env::temp_dir().join(format!("promptseg-document-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("d.json");
        let _ = std::fs::remove_file(&path);
        let writer = Writer::new([], false);
        let mut document = Document::plan(&Target::File(path.clone()), "unused", &writer).unwrap();
        let mut whole = Vec::new();
        for (items, tail) in [(vec!["1", "2"], "],\"n\":1}"), (vec![], "],\"n\":10}"), (vec!["3"], "],\"n\":100}")] {
            let items: Vec<String> = items.into_iter().map(str::to_owned).collect();
            document.append("{\"a\":[", &items, tail.to_owned(), &writer).unwrap();
            whole.push(std::fs::read_to_string(&path).unwrap());
        }
        let values: Vec<serde_json::Value> = whole.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        assert_eq!(values[0], serde_json::json!({ "a": [1, 2], "n": 1 }));
        assert_eq!(values[1], serde_json::json!({ "a": [1, 2], "n": 10 }));
        assert_eq!(values[2], serde_json::json!({ "a": [1, 2, 3], "n": 100 }));
        assert_eq!(document.finish().unwrap(), Some(path.as_path()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole[2]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
