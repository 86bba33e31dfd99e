//! Destinations of results, and the files that a run may write.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Destination of results.
pub enum Target {
    Folder(PathBuf),
    /// A file, a device or a pipe.
    File(PathBuf),
    Stdout,
}

impl Target {
    /// Returns the destination for the argument of `--out` and a format with these file extensions. Without the
    /// argument, text goes to standard output and files go to the current folder.
    ///
    /// # Errors
    /// The argument names a file with another extension.
    pub fn from_argument(extensions: &[&str], is_text: bool, out: Option<&Path>) -> Result<Target, String> {
        let Some(out) = out else {
            return Ok(if is_text { Target::Stdout } else { Target::Folder(PathBuf::new()) });
        };
        if out == Path::new("-") {
            return Ok(Target::Stdout);
        }
        let ends_with_slash = out.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
        if ends_with_slash || out.is_dir() {
            return Ok(Target::Folder(out.to_owned()));
        }
        if is_special(out) {
            return Ok(Target::File(out.to_owned()));
        }
        let list = extensions.iter().map(|e| format!(".{e}")).collect::<Vec<_>>().join(" or ");
        match out.extension() {
            Some(extension) if extensions.iter().any(|e| extension.eq_ignore_ascii_case(e)) => {
                Ok(Target::File(out.to_owned()))
            }
            Some(_) if !extensions.is_empty() => Err(format!(
                "--out {}: this format goes into a {list} file, or a folder (end its name with /)",
                out.display()
            )),
            _ if out.is_file() => Err(format!("--out {} is a file, expected a folder", out.display())),
            _ => Ok(Target::Folder(out.to_owned())),
        }
    }

    /// Returns the folder for additional files such as overlays: the current folder if results go to standard output or
    /// a device.
    pub fn folder(&self) -> PathBuf {
        match self {
            Target::Folder(folder) => folder.clone(),
            Target::File(file) if !is_special(file) => file.parent().map_or_else(PathBuf::new, Path::to_owned),
            Target::File(_) | Target::Stdout => PathBuf::new(),
        }
    }
}

/// Creates a folder and its parent folders; the empty path is the current folder.
pub fn make_folder(folder: &Path) -> Result<(), String> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))
}

/// Returns the result of an operation on a file or a folder; none if the file is not there.
///
/// # Errors
/// The operation failed for another reason.
pub fn if_there<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Returns whether a folder has no entries, or is not there.
///
/// # Errors
/// The folder cannot be read.
pub fn is_empty(folder: &Path) -> std::io::Result<bool> {
    Ok(if_there(std::fs::read_dir(folder))?.is_none_or(|mut entries| entries.next().is_none()))
}

/// Returns whether a path is a device or a pipe, for instance `/dev/null`. Writing to it replaces no file.
pub fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// Returns the path of the file `NAME` + suffix in a folder. The name may hold bytes that are not UTF-8.
pub fn file_in(folder: &Path, name: &OsStr, suffix: &str) -> PathBuf {
    let mut file = name.to_owned();
    file.push(suffix);
    folder.join(file)
}

/// Writes files. An existing file is replaced with `--overwrite` only, an input file never.
pub struct Writer {
    /// Input files, with absolute paths.
    inputs: Vec<PathBuf>,
    overwrite: bool,
}

impl Writer {
    pub fn new<'a>(inputs: impl IntoIterator<Item = &'a PathBuf>, overwrite: bool) -> Self {
        let inputs = inputs.into_iter().filter_map(|file| file.canonicalize().ok()).collect();
        Writer { inputs, overwrite }
    }

    /// Returns an error if the file must not be written.
    pub fn check(&self, file: &Path) -> Result<(), String> {
        if file.canonicalize().is_ok_and(|file| self.inputs.contains(&file)) {
            return Err(format!("{} is an input and is not replaced; give another --out", file.display()));
        }
        let exists = file.symlink_metadata().is_ok();
        if exists && !is_special(file) && !self.overwrite {
            return Err(format!(
                "{} exists and is not replaced; give another --out, or --overwrite to replace it",
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
            // `create_new` fails if another program created the file since the check.
            options.create(true).truncate(self.overwrite).create_new(!self.overwrite);
        }
        options.open(file).map_err(|e| format!("cannot write {}: {e}", file.display()))
    }

    /// Writes a whole file.
    pub fn save(&self, file: &Path, content: &[u8]) -> Result<(), String> {
        self.create(file)?.write_all(content).map_err(|e| format!("cannot write {}: {e}", file.display()))
    }
}

/// A file of lines, created with its first line. Each line is written at once, so a run that ends early keeps its lines.
#[derive(Default)]
pub struct Lines(Option<File>);

impl Lines {
    /// Appends a line.
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
