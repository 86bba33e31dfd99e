//! The files that a run on pictures writes: their names, their folder, and one file for all pictures.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use image::RgbImage;

use crate::failure::Failure;
use crate::files::{Lines, Target, Writer, file_in, make_folder};
use crate::formats::png;
use crate::output_arguments::Destination;
use crate::{pictures, terminal};

/// Destination of the results of pictures. Pictures are named by their index in the list of the run.
pub struct Results {
    target: Target,
    /// Folder of the overlays; none without `--overlay`.
    overlay_folder: Option<PathBuf>,
    /// Name of each picture's results.
    names: Vec<OsString>,
    writer: Writer,
    /// The single file for the lines of all pictures.
    lines: Lines,
}

impl Results {
    /// Decides which files the run writes, and creates their folder. `inputs` are files beside the pictures that the run
    /// reads.
    ///
    /// # Errors
    /// The results of two pictures would have the same name, or the single file must not be written.
    pub fn plan<'a>(
        target: Target,
        destination: &Destination,
        overlay: bool,
        pictures: &'a [PathBuf],
        inputs: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Result<Results, Failure> {
        let writer = Writer::new(pictures.iter().chain(inputs), destination.overwrite);
        if let Target::File(file) = &target {
            writer.check(file)?;
        }
        let uses_names = overlay || matches!(target, Target::Folder(_));
        let names = if uses_names { pictures::result_names(pictures)? } else { Vec::new() };
        let folder = target.folder();
        make_folder(&folder)?;
        Ok(Results { target, overlay_folder: overlay.then_some(folder), names, writer, lines: Lines::default() })
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Refuses a picture whose files must not be written. `suffixes` are the ends of the names of its files in the folder.
    pub fn check(&self, index: usize, suffixes: &[String]) -> Result<(), String> {
        let mut files = Vec::new();
        if let Target::Folder(folder) = &self.target {
            files.extend(suffixes.iter().map(|suffix| file_in(folder, &self.names[index], suffix)));
        }
        files.extend(self.overlay_file(index));
        files.iter().try_for_each(|file| self.writer.check(file))
    }

    fn overlay_file(&self, index: usize) -> Option<PathBuf> {
        self.overlay_folder.as_ref().map(|folder| file_in(folder, &self.names[index], "_overlay.png"))
    }

    /// Writes a file of one picture into the folder, the single file, or standard output. Returns the name of the file.
    pub fn write(&self, index: usize, suffix: &str, content: &[u8]) -> Result<Option<String>, String> {
        let file = match &self.target {
            Target::Stdout => {
                terminal::write(content);
                return Ok(None);
            }
            Target::File(file) => file.clone(),
            Target::Folder(folder) => file_in(folder, &self.names[index], suffix),
        };
        self.writer.save(&file, content)?;
        Ok(Some(file.display().to_string()))
    }

    /// Writes the line of one picture: as a file into the folder, to the end of the single file, or to standard output.
    /// Returns the name of a file that is complete.
    pub fn write_line(&mut self, index: usize, suffix: &str, line: &str) -> Result<Option<String>, String> {
        let Target::File(file) = &self.target else { return self.write(index, suffix, line.as_bytes()) };
        self.lines.push(file, &self.writer, line)?;
        Ok(None)
    }

    /// Writes the overlay of one picture, with `--overlay`. Returns the name of the file, except if results go to standard
    /// output.
    pub fn write_overlay(&self, index: usize, draw: impl FnOnce() -> RgbImage) -> Result<Option<String>, String> {
        let Some(file) = self.overlay_file(index) else { return Ok(None) };
        self.writer.save(&file, &png(&draw().into())?)?;
        Ok((!matches!(self.target, Target::Stdout)).then(|| file.display().to_string()))
    }

    /// Prints the name of the single file for the lines of all pictures.
    pub fn finish(&self) {
        if let (Target::File(file), false) = (&self.target, self.lines.is_empty()) {
            terminal::print(file.display());
        }
    }
}

/// Returns the path of the single file with this name in the folder, or of the file that the user named; none for standard
/// output.
pub fn single_file(target: &Target, name: &str) -> Option<PathBuf> {
    match target {
        Target::Stdout => None,
        Target::File(file) => Some(file.clone()),
        Target::Folder(folder) => Some(Path::new(folder).join(name)),
    }
}
