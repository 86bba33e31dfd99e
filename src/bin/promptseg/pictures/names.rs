//! Names of the results for each picture.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::read::STDIN;
use crate::failure::Failure;

/// Returns the name of a file without its extension, or `stdin` for the standard input.
pub fn stem(path: &Path) -> OsString {
    if path == Path::new(STDIN) { "stdin".into() } else { path.file_stem().unwrap_or_default().to_owned() }
}

/// Returns the name of each picture's results: the name of the file without its extension, or with the extension if
/// two pictures differ in the extension only.
pub fn result_names(pictures: &[PathBuf]) -> Result<Vec<OsString>, Failure> {
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
                "the results of {a} and {b} would have the same name; segment their folders one by one"
            )));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn two_pictures_never_share_a_name() {
        let paths = |list: &[&str]| -> Vec<PathBuf> { list.iter().map(PathBuf::from).collect() };
        let Ok(list) = result_names(&paths(&["a/x.jpg", "a/x.png", "b/y.png"])) else { panic!("refused") };
        assert_eq!(list, ["x.jpg", "x.png", "y"]);
        assert!(matches!(result_names(&paths(&["a/x.jpg", "b/x.jpg"])), Err(Failure::Usage(_))));
    }

    #[test]
    fn names_may_hold_bytes_that_are_not_utf_8() {
        use std::os::unix::ffi::OsStrExt;
        let picture = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let Ok(list) = result_names(&[picture(b"caf\xe9.jpg"), picture(b"caf\xe8.jpg")]) else { panic!("refused") };
        assert_eq!(list, [OsStr::from_bytes(b"caf\xe9"), OsStr::from_bytes(b"caf\xe8")]);
    }
}
