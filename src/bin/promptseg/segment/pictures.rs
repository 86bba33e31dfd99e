//! Which files are meant, and what their answers are called.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::{Failure, STDIN, terminal};

const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "jpe", "jfif", "png"];
/// Pictures that are not read, so that a folder of them is not passed over in silence.
const OTHER_EXTENSIONS: [&str; 11] = ["avif", "bmp", "gif", "heic", "jp2", "jxl", "pgm", "ppm", "tif", "tiff", "webp"];

/// The pictures in files, folders and patterns, each once, in the order given. Names that are not there come back too:
/// reading them says what is wrong.
pub fn find(given: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in given {
        let pattern = path.to_str().filter(|text| text.contains(['*', '?', '[']));
        let more = match pattern {
            _ if path == Path::new(STDIN) => vec![path.clone()],
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
    list.sort_by(|a, b| by_number(a, b));
    if let Some(first) = others.first() {
        terminal::warn(format!(
            "{}: {} pictures that are neither JPEG nor PNG left out, such as {}; convert them first",
            folder.display(),
            others.len(),
            first.display()
        ));
    }
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
    let lossy = |path: &Path| stem(path).to_string_lossy().into_owned();
    let name = lossy(path);
    let of_mask = || name.rsplit_once("_mask").filter(|(_, numbers)| are_numbers(numbers)).map(|(of, _)| of);
    let of = name.strip_suffix("_overlay").or_else(of_mask);
    let is_called = |other: &PathBuf, of: &str| lossy(other) == of || other.file_name().is_some_and(|name| name == of);
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
    // As in a shell: `*` does not stand for a leading dot.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let paths = glob::glob_with(pattern, options).map_err(|e| format!("pattern '{pattern}': {e}"))?;
    let list: Result<Vec<PathBuf>, _> = paths.collect();
    let mut list = list.map_err(|e| format!("pattern '{pattern}': {e}"))?;
    list.retain(|path| path.is_file());
    list.sort_by(|a, b| by_number(a, b));
    if list.is_empty() {
        return Err(format!("no file matches '{pattern}'"));
    }
    Ok(list)
}

/// Whether a name begins with a dot: such files are not there, as for `ls`. macOS writes `._a.jpg` beside `a.jpg`.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// The order of folders, and within a folder of file names, where digits are numbers: `2.jpg` before `10.jpg`.
pub fn by_number(a: &Path, b: &Path) -> Ordering {
    let name = |path: &Path| path.file_name().unwrap_or_default().as_encoded_bytes().to_owned();
    a.parent().cmp(&b.parent()).then_with(|| natural(&name(a), &name(b))).then_with(|| a.cmp(b))
}

fn natural(mut a: &[u8], mut b: &[u8]) -> Ordering {
    // A number without leading zeros, and what follows it.
    let number = |text: &[u8]| {
        let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
        let zeros = text[..end].iter().take_while(|c| **c == b'0').count();
        (zeros, end)
    };
    loop {
        let (Some(first), Some(second)) = (a.first(), b.first()) else { return a.len().cmp(&b.len()) };
        if first.is_ascii_digit() && second.is_ascii_digit() {
            let ((from_a, to_a), (from_b, to_b)) = (number(a), number(b));
            let (in_a, in_b) = (&a[from_a..to_a], &b[from_b..to_b]);
            let order = in_a.len().cmp(&in_b.len()).then_with(|| in_a.cmp(in_b));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[to_a..], &b[to_b..]);
        } else if first != second {
            return first.cmp(second);
        } else {
            (a, b) = (&a[1..], &b[1..]);
        }
    }
}

fn stem(path: &Path) -> OsString {
    if path == Path::new(STDIN) { "stdin".into() } else { path.file_stem().unwrap_or_default().to_owned() }
}

/// What the answers are called: the name without its extension, with it where two would be called alike.
pub fn names(pictures: &[PathBuf]) -> Result<Vec<OsString>, Failure> {
    let mut stems: BTreeMap<OsString, usize> = BTreeMap::new();
    for picture in pictures {
        *stems.entry(stem(picture)).or_default() += 1;
    }
    let mut taken: BTreeMap<OsString, &Path> = BTreeMap::new();
    let mut names = Vec::with_capacity(pictures.len());
    for picture in pictures {
        let mut name = stem(picture);
        if stems[&name] > 1 {
            name = picture.file_name().unwrap_or_default().to_owned();
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
    fn numbers_in_names_are_numbers() {
        let sorted =
            ["a/10.jpg", "b/1.jpg", "b/2.jpg", "b/010.jpg", "b/10.jpg", "b/11.jpg", "b/f2_1.png", "b/f10_0.png"];
        let mut mixed = paths(&sorted);
        mixed.reverse();
        mixed.sort_by(|a, b| by_number(a, b));
        assert_eq!(mixed, paths(&sorted));
    }

    #[test]
    fn names_that_are_not_utf_8_are_names() {
        use std::os::unix::ffi::OsStrExt;
        let picture = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let Ok(list) = names(&[picture(b"caf\xe9.jpg"), picture(b"caf\xe8.jpg")]) else { panic!("refused") };
        assert_eq!(list, [OsStr::from_bytes(b"caf\xe9"), OsStr::from_bytes(b"caf\xe8")]);
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
