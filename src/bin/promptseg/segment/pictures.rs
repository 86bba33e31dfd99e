//! Which files are meant, and what their answers are called.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::{Failure, terminal};

const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// The pictures in files, folders and patterns, each once, in the order given. Names that are not there come back too:
/// reading them says what is wrong.
pub fn find(given: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in given {
        let pattern = path.to_str().filter(|text| text.contains(['*', '?', '[']));
        let more = match pattern {
            _ if path.is_dir() => in_folder(path)?,
            Some(pattern) if !path.exists() => matching(pattern)?,
            _ => vec![path.clone()],
        };
        for path in more {
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Whether files of this extension are pictures.
pub fn is_picture(extension: &str) -> bool {
    EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |e| format!("{}: {e}", folder.display());
    let mut list = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.extension().and_then(OsStr::to_str).is_some_and(is_picture) {
            list.push(path);
        }
    }
    list.sort();
    let (pictures, ours): (Vec<_>, Vec<_>) = list.iter().cloned().partition(|path| !is_answer(path, &list));
    if !ours.is_empty() {
        terminal::note(format!(
            "{}: {} masks and overlays of pictures beside them left out",
            folder.display(),
            ours.len()
        ));
    }
    if pictures.is_empty() {
        return Err(format!("{}: no JPEG or PNG file in this folder", folder.display()));
    }
    Ok(pictures)
}

/// Whether an earlier run wrote this file: `NAME_mask.png`, `NAME_mask_2_c1.png` or `NAME_overlay.png`, with the picture
/// NAME beside it.
fn is_answer(path: &Path, beside: &[PathBuf]) -> bool {
    let name = stem(path);
    let of_mask = || name.rsplit_once("_mask").filter(|(_, numbers)| are_numbers(numbers)).map(|(of, _)| of);
    let of = name.strip_suffix("_overlay").or_else(of_mask);
    let is_called = |other: &PathBuf, of: &str| stem(other) == of || other.file_name().is_some_and(|name| name == of);
    path.extension().is_some_and(|e| e == "png") && of.is_some_and(|of| beside.iter().any(|other| is_called(other, of)))
}

/// `_2` of an object, `_c1` of a candidate, both, or nothing.
fn are_numbers(text: &str) -> bool {
    let mut parts = text.split('_');
    let is_number = |part: &str| {
        let digits = part.strip_prefix('c').unwrap_or(part);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    parts.next() == Some("") && parts.all(is_number)
}

fn matching(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let paths = glob::glob(pattern).map_err(|e| format!("pattern '{pattern}': {e}"))?;
    let list: Result<Vec<PathBuf>, _> = paths.collect();
    let mut list = list.map_err(|e| format!("pattern '{pattern}': {e}"))?;
    list.retain(|path| path.is_file());
    if list.is_empty() {
        return Err(format!("no file matches '{pattern}'"));
    }
    Ok(list)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// What the answers are called: the name without its extension, with it where two would be called alike.
pub fn names(pictures: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut stems: BTreeMap<String, usize> = BTreeMap::new();
    for picture in pictures {
        *stems.entry(stem(picture)).or_default() += 1;
    }
    let mut taken: BTreeMap<String, &Path> = BTreeMap::new();
    let mut names = Vec::with_capacity(pictures.len());
    for picture in pictures {
        let mut name = stem(picture);
        if stems[&name] > 1 {
            name = picture.file_name().unwrap_or_default().to_string_lossy().into_owned();
        }
        if let Some(other) = taken.insert(name.clone(), picture) {
            let (a, b) = (other.display(), picture.display());
            return Err(Failure::Usage(format!(
                "the answers to {a} and {b} would have the same name; segment their folders one by one"
            )));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(list: &[&str]) -> Vec<PathBuf> {
        list.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn two_pictures_never_share_a_name() {
        let Ok(list) = names(&paths(&["a/x.jpg", "a/x.png", "b/y.png"])) else { panic!("refused") };
        assert_eq!(list, ["x.jpg", "x.png", "y"]);
        assert!(matches!(names(&paths(&["a/x.jpg", "b/x.jpg"])), Err(Failure::Usage(_))));
    }

    #[test]
    fn answers_of_an_earlier_run_are_told_from_pictures() {
        let beside = paths(&["a.jpg", "a_mask.png", "a_mask_2_c1.png", "a_overlay.png", "a.jpg_mask_1.png"]);
        let ours: Vec<bool> = beside.iter().map(|path| is_answer(path, &beside)).collect();
        assert_eq!(ours, [false, true, true, true, true]);
        let pictures =
            paths(&["a.jpg", "b_mask.png", "a_masked.png", "a_mask_party.png", "a_mask.jpg", "a_mask_c.png"]);
        for path in &pictures {
            assert!(!is_answer(path, &pictures), "{path:?}");
        }
    }
}
