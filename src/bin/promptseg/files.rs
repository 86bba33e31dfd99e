//! Where results go, and which files a run may write.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What `--out` means.
pub enum Target {
    Folder(PathBuf),
    /// A file, a device or a pipe.
    File(PathBuf),
    Stdout,
}

impl Target {
    /// Where a format goes whose files have one of these extensions; text goes to the standard output by itself.
    ///
    /// # Errors
    /// A file of another kind.
    pub fn of(known: &[&str], is_text: bool, out: Option<&Path>) -> Result<Target, String> {
        let Some(out) = out else {
            return Ok(if is_text { Target::Stdout } else { Target::Folder(PathBuf::new()) });
        };
        if out == Path::new("-") {
            return Ok(Target::Stdout);
        }
        let slash = out.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
        if slash || out.is_dir() {
            return Ok(Target::Folder(out.to_owned()));
        }
        if is_special(out) {
            return Ok(Target::File(out.to_owned()));
        }
        let list = known.iter().map(|e| format!(".{e}")).collect::<Vec<_>>().join(" or ");
        match out.extension() {
            Some(extension) if known.iter().any(|known| extension.eq_ignore_ascii_case(known)) => {
                Ok(Target::File(out.to_owned()))
            }
            Some(_) if !known.is_empty() => Err(format!(
                "--out {}: this format goes into a {list} file, or a folder with / at its end",
                out.display()
            )),
            _ if out.is_file() => Err(format!("--out {}: a file, expected a folder", out.display())),
            _ => Ok(Target::Folder(out.to_owned())),
        }
    }

    /// Folder of the files beside the results, such as overlays: the current one for the standard output and devices.
    pub fn folder(&self) -> PathBuf {
        match self {
            Target::Folder(folder) => folder.clone(),
            Target::File(file) if !is_special(file) => file.parent().map_or_else(PathBuf::new, Path::to_owned),
            Target::File(_) | Target::Stdout => PathBuf::new(),
        }
    }
}

/// Makes a folder with those above it; the empty path is the current folder.
pub fn make_folder(folder: &Path) -> Result<(), String> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))
}

/// A device or a pipe, `/dev/null` for one: it is written to, and nothing is replaced.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// `NAME` and a suffix in a folder. The name may be any bytes.
pub fn named(folder: &Path, name: &OsStr, suffix: &str) -> PathBuf {
    let mut file = name.to_owned();
    file.push(suffix);
    folder.join(file)
}

/// Writes files. A file that was there before the run is replaced only with `--overwrite`, and a file that was given never.
pub struct Writer {
    given: Vec<PathBuf>,
    overwrite: bool,
}

impl Writer {
    pub fn new<'a>(given: impl IntoIterator<Item = &'a PathBuf>, overwrite: bool) -> Self {
        let given = given.into_iter().filter_map(|file| file.canonicalize().ok()).collect();
        Writer { given, overwrite }
    }

    /// Refuses a file that may not be written.
    pub fn check(&self, file: &Path) -> Result<(), String> {
        if file.canonicalize().is_ok_and(|file| self.given.contains(&file)) {
            return Err(format!("{} was given and stays as it is; give another --out", file.display()));
        }
        let is_there = file.symlink_metadata().is_ok();
        if is_there && !is_special(file) && !self.overwrite {
            return Err(format!(
                "{} exists and stays as it is; give another --out, or --overwrite to replace it",
                file.display()
            ));
        }
        Ok(())
    }

    /// Opens a file for writing.
    pub fn create(&self, file: &Path) -> Result<File, String> {
        self.check(file)?;
        let mut options = File::options();
        options.write(true);
        if !is_special(file) {
            // Nobody else's file, even if it appeared a moment ago.
            options.create(true).truncate(self.overwrite).create_new(!self.overwrite);
        }
        options.open(file).map_err(|e| format!("cannot write {}: {e}", file.display()))
    }

    pub fn save(&self, file: &Path, content: &[u8]) -> Result<(), String> {
        self.create(file)?.write_all(content).map_err(|e| format!("cannot write {}: {e}", file.display()))
    }
}

/// A file of lines that grows with the run, so that a run that ends early leaves the lines that it had. It is made with
/// its first line.
#[derive(Default)]
pub struct Lines(Option<File>);

impl Lines {
    pub fn push(&mut self, file: &Path, writer: &Writer, line: &str) -> Result<(), String> {
        let open = match &mut self.0 {
            Some(open) => open,
            none => none.insert(writer.create(file)?),
        };
        open.write_all(line.as_bytes()).map_err(|e| format!("cannot write {}: {e}", file.display()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}
