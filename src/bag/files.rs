//! Finds the files of a bag: those that metadata.yaml lists, or those in the folder.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use yaml_rust2::{Yaml, YamlLoader};

use super::error::BagError;

/// Most bytes of a metadata.yaml: a bag of 100 000 files has 20 MB.
const MAX_METADATA: u64 = 64 << 20;
const METADATA: &str = "metadata.yaml";

/// The files of a bag in the order of recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BagFiles {
    pub files: Vec<PathBuf>,
    /// Whether each message is compressed with zstd (`compression_mode: MESSAGE`).
    pub messages_compressed: bool,
    /// What is wrong with metadata.yaml, as sentences for people.
    pub remarks: Vec<String>,
}

/// Finds the files of a bag. `path` is a folder with or without metadata.yaml, or one file.
///
/// # Errors
/// There is no file of a bag, a file is compressed as a whole, or the folder cannot be read.
pub fn find(path: &Path) -> Result<BagFiles, BagError> {
    let io = |source| BagError::Io { path: path.to_owned(), source };
    let kind = path.metadata().map_err(io)?;
    let mut found = BagFiles::default();
    if kind.is_dir() {
        match listed(path, &mut found) {
            Ok(true) => {}
            Ok(false) => found.files = in_folder(path).map_err(io)?,
            Err(reason) => {
                let metadata = path.join(METADATA);
                found.remarks.push(format!("{}: {reason}; the files in the folder are read", metadata.display()));
                found.files = in_folder(path).map_err(io)?;
            }
        }
        if found.files.is_empty() {
            return Err(BagError::NotABag { path: path.to_owned(), found: "a folder without such files".to_owned() });
        }
    } else {
        found.files.push(path.to_owned());
    }
    for file in &found.files {
        match file.extension().and_then(OsStr::to_str) {
            Some("mcap" | "db3") => {}
            Some("zstd" | "zst") => return Err(BagError::CompressedFile { path: file.clone() }),
            Some(other) => {
                return Err(BagError::NotABag {
                    path: file.clone(),
                    found: format!("a file with the extension .{other}"),
                });
            }
            None => {
                return Err(BagError::NotABag { path: file.clone(), found: "a file without an extension".to_owned() });
            }
        }
    }
    Ok(found)
}

/// Returns whether a path looks like a bag: a file with the extension of a bag, compressed or not, or a folder with such a
/// file or with the metadata.yaml of a bag.
pub fn is_bag(path: &Path) -> bool {
    if path.is_dir() {
        let is_listed = listed(path, &mut BagFiles::default()).is_ok_and(|listed| listed);
        return is_listed || in_folder(path).is_ok_and(|files| !files.is_empty());
    }
    matches!(path.extension().and_then(OsStr::to_str), Some("mcap" | "db3" | "zstd" | "zst"))
}

/// Reads the list of metadata.yaml. Returns false if there is no such file.
fn listed(folder: &Path, found: &mut BagFiles) -> Result<bool, String> {
    let file = match File::open(folder.join(METADATA)) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e.to_string()),
    };
    let mut text = String::new();
    file.take(MAX_METADATA).read_to_string(&mut text).map_err(|e| e.to_string())?;
    let documents = YamlLoader::load_from_str(&text).map_err(|e| format!("not YAML: {e}"))?;
    let information = &documents.first().unwrap_or(&Yaml::BadValue)["rosbag2_bagfile_information"];
    let Some(paths) = information["relative_file_paths"].as_vec() else {
        return Err("no list `relative_file_paths` below `rosbag2_bagfile_information`".to_owned());
    };
    let mut files = Vec::new();
    for path in paths {
        let path = path.as_str().ok_or("`relative_file_paths` has an entry that is not a text")?;
        // Bags of Dashing and of renamed folders have paths that begin with the name of the folder.
        let direct = folder.join(path);
        let beside = Path::new(path).file_name().map(|name| folder.join(name));
        files.push(if direct.exists() { direct } else { beside.filter(|path| path.exists()).unwrap_or(direct) });
    }
    if files.is_empty() {
        return Err("`relative_file_paths` is empty".to_owned());
    }
    let mode = information["compression_mode"].as_str().unwrap_or_default();
    found.messages_compressed = mode.eq_ignore_ascii_case("message");
    let format = information["compression_format"].as_str().unwrap_or_default();
    if found.messages_compressed && format != "zstd" {
        return Err(format!("messages compressed with \"{format}\", expected \"zstd\""));
    }
    found.files = files;
    Ok(true)
}

/// Returns the files of a folder that belong to a bag, in the order of the numbers that rosbag2 gives them.
fn in_folder(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_of_a_bag = [".mcap", ".db3", ".mcap.zstd", ".db3.zstd"].iter().any(|end| name.ends_with(end));
        if is_of_a_bag && !name.starts_with('.') && path.is_file() {
            files.push(path);
        }
    }
    files.sort_by_key(|path| (number(path), path.clone()));
    Ok(files)
}

/// Returns the number at the end of a file's name: 12 for `drive_12.mcap`.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let stem = name.split('.').next()?;
    stem.rsplit('_').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("promptseg-bag-files-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, content) in files {
            std::fs::write(folder.join(name), content).unwrap();
        }
        folder
    }

    fn names(found: &BagFiles) -> Vec<String> {
        found.files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn files_come_from_the_metadata_or_from_the_folder_in_the_order_of_their_numbers() {
        let bags = [("b_10.mcap", ""), ("b_2.mcap", ""), ("b_0.mcap", ""), (".b_1.mcap", ""), ("note.txt", "")];
        let without = folder("without", &bags);
        assert_eq!(names(&find(&without).unwrap()), ["b_0.mcap", "b_2.mcap", "b_10.mcap"]);
        let metadata = "rosbag2_bagfile_information:\n  relative_file_paths: [b_2.mcap, old_name/b_0.mcap]\n  \
                        compression_format: zstd\n  compression_mode: MESSAGE\n";
        let with = folder("with", &[&bags[..], &[("metadata.yaml", metadata)]].concat());
        let found = find(&with).unwrap();
        assert_eq!((names(&found), found.messages_compressed), (vec!["b_2.mcap".into(), "b_0.mcap".into()], true));
        assert!(is_bag(&with) && is_bag(&without) && !is_bag(&with.join("note.txt")));
        for damaged in ["[", "a: 1", "rosbag2_bagfile_information:\n  relative_file_paths: []\n"] {
            std::fs::write(with.join("metadata.yaml"), damaged).unwrap();
            let found = find(&with).unwrap();
            assert_eq!((found.files.len(), found.remarks.len()), (3, 1), "{damaged}");
        }
        [with, without].iter().for_each(|folder| std::fs::remove_dir_all(folder).unwrap());
    }

    #[test]
    fn other_files_and_compressed_files_are_refused_with_what_was_found() {
        let bag = folder("other", &[("a.db3.zstd", ""), ("b.txt", "")]);
        assert!(find(&bag).unwrap_err().to_string().contains("zstd -d"));
        let text = find(&bag.join("b.txt")).unwrap_err().to_string();
        assert!(text.contains(".txt") && text.contains("expected"), "{text}");
        std::fs::remove_file(bag.join("a.db3.zstd")).unwrap();
        assert!(matches!(find(&bag), Err(BagError::NotABag { .. })));
        assert!(matches!(find(&bag.join("nothing")), Err(BagError::Io { .. })));
        std::fs::remove_dir_all(bag).unwrap();
    }
}
