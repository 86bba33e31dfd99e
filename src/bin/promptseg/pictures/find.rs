//! Finds the pictures that files, folders and patterns name.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::names::stem;
use super::natural_order::compare_paths;
use super::read::STDIN;
use crate::failure::Failure;
use crate::terminal;

const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "jpe", "jfif", "png"];
/// Extensions of pictures that the tool does not read. A folder with such files causes a warning.
const OTHER_EXTENSIONS: [&str; 11] = ["avif", "bmp", "gif", "heic", "jp2", "jxl", "pgm", "ppm", "tif", "tiff", "webp"];

/// Returns the pictures in files, folders and patterns, each picture once, in the order of the arguments. Files that do
/// not exist are returned too; the error appears when they are read.
pub fn find(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut pictures: Vec<PathBuf> = Vec::new();
    for path in arguments {
        let pattern = path.to_str().filter(|text| text.contains(['*', '?', '[']));
        let paths = match pattern {
            _ if path == Path::new(STDIN) => vec![path.clone()],
            _ if path.is_dir() => in_folder(path)?,
            Some(pattern) if !path.exists() => matching(pattern)?,
            _ => vec![path.clone()],
        };
        for path in paths {
            if !pictures.contains(&path) {
                pictures.push(path);
            }
        }
    }
    Ok(pictures)
}

/// Returns whether files with this extension are pictures.
pub fn is_picture(extension: &str) -> bool {
    EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}

/// Returns the pictures of a folder, without hidden files and without results of earlier runs.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |e| format!("{}: {e}", folder.display());
    let (mut list, mut others) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_hidden(&path) || !path.is_file() {
            continue;
        }
        match path.extension().and_then(OsStr::to_str) {
            Some(extension) if is_picture(extension) => list.push(path),
            Some(other) if OTHER_EXTENSIONS.contains(&other.to_ascii_lowercase().as_str()) => others.push(path),
            _ => {}
        }
    }
    list.sort_by(|a, b| compare_paths(a, b));
    if let Some(first) = others.first() {
        terminal::warn(format!(
            "{}: left out {} pictures that are neither JPEG nor PNG, such as {}; convert them first",
            folder.display(),
            others.len(),
            first.display()
        ));
    }
    let (pictures, results): (Vec<_>, Vec<_>) = list.iter().cloned().partition(|path| !is_result(path, &list));
    if !results.is_empty() {
        terminal::note(format!(
            "{}: left out {} masks, labels, edges and overlays of other pictures in the folder",
            folder.display(),
            results.len()
        ));
    }
    if pictures.is_empty() {
        return Err(format!("{}: no JPEG or PNG file in this folder", folder.display()));
    }
    Ok(pictures)
}

/// Returns whether a file has the name of an earlier run's result: `NAME_mask.png`, `NAME_mask_2_c1.png` or
/// `NAME_labels.png`, `NAME_edges.png` or `NAME_overlay.png`, for a picture NAME in the same folder, whose files are `siblings`.
fn is_result(path: &Path, siblings: &[PathBuf]) -> bool {
    let lossy_stem = |path: &Path| stem(path).to_string_lossy().into_owned();
    let stem = lossy_stem(path);
    let of_mask = || stem.rsplit_once("_mask").filter(|(_, suffix)| is_mask_number(suffix)).map(|(name, _)| name);
    let of_image = || ["_overlay", "_labels", "_edges"].iter().find_map(|suffix| stem.strip_suffix(suffix));
    let picture = of_image().or_else(of_mask);
    let has_name = |file: &PathBuf, name: &str| lossy_stem(file) == name || file.file_name().is_some_and(|n| n == name);
    path.extension().is_some_and(|e| e == "png")
        && picture.is_some_and(|name| siblings.iter().any(|sibling| has_name(sibling, name)))
}

/// Returns whether a text is `_2` (an object), `_c1` (a candidate), both, or empty.
fn is_mask_number(text: &str) -> bool {
    let mut parts = text.split('_');
    let is_number = |part: &str| {
        let digits = part.strip_prefix('c').unwrap_or(part);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    parts.next() == Some("") && parts.all(is_number)
}

/// Returns the files that match a pattern.
fn matching(pattern: &str) -> Result<Vec<PathBuf>, String> {
    // As in a shell, `*` does not match a leading dot.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let paths = glob::glob_with(pattern, options).map_err(|e| format!("pattern '{pattern}': {e}"))?;
    let list: Result<Vec<PathBuf>, _> = paths.collect();
    let mut list = list.map_err(|e| format!("pattern '{pattern}': {e}"))?;
    list.retain(|path| path.is_file());
    list.sort_by(|a, b| compare_paths(a, b));
    if list.is_empty() {
        return Err(format!("no file matches '{pattern}'"));
    }
    Ok(list)
}

/// Returns whether a name begins with a dot. macOS writes `._a.jpg` beside `a.jpg`.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(list: &[&str]) -> Vec<PathBuf> {
        list.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn results_of_an_earlier_run_are_distinguished_from_pictures() {
        let files = paths(&[
            "a.jpg",
            "a_mask.png",
            "a_mask_2_c1.png",
            "a_overlay.png",
            "a.jpg_mask_1.png",
            "a_labels.png",
            "a_edges.png",
        ]);
        let results: Vec<bool> = files.iter().map(|path| is_result(path, &files)).collect();
        assert_eq!(results, [false, true, true, true, true, true, true]);
        let pictures =
            paths(&["a.jpg", "b_mask.png", "a_masked.png", "a_mask_party.png", "a_mask.jpg", "a_mask_c.png"]);
        for path in &pictures {
            assert!(!is_result(path, &pictures), "{path:?}");
        }
    }
}
