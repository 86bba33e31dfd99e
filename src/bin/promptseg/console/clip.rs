//! The pictures of the timeline: files, or the frames of a video, in any order.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;

use crate::failure::Failure;
use crate::pictures::{self, read_image};
use crate::track::video::{Video, frame_count, frame_rate};

/// Frames of a video that are kept, so that a step back does not read the video again.
const KEPT_FRAMES: usize = 32;
/// Frames a second of a video that does not tell.
const DEFAULT_RATE: f64 = 25.0;

/// The pictures of the timeline.
pub enum Clip {
    Pictures { list: Vec<PathBuf>, names: Vec<OsString> },
    Video(VideoClip),
}

/// A video, read from its start up to the frame that is wanted.
pub struct VideoClip {
    path: PathBuf,
    count: usize,
    rate: f64,
    reader: Option<Video>,
    /// The frames that were read last, with their numbers.
    kept: VecDeque<(usize, Arc<RgbImage>)>,
}

impl Clip {
    /// Finds the pictures or the video that the arguments name.
    pub fn find(arguments: &[PathBuf]) -> Result<Self, Failure> {
        if let [path] = arguments
            && path.is_file()
            && path.extension().and_then(|e| e.to_str()).is_none_or(|e| !pictures::is_picture(e))
        {
            let (count, rate) = (frame_count(path)?, frame_rate(path).unwrap_or(DEFAULT_RATE));
            let (path, reader, kept) = (path.clone(), None, VecDeque::new());
            return Ok(Clip::Video(VideoClip { path, count, rate, reader, kept }));
        }
        let list = pictures::find(arguments)?;
        let names = pictures::result_names(&list)?;
        Ok(Clip::Pictures { list, names })
    }

    /// Returns the files that are read.
    pub fn inputs(&self) -> &[PathBuf] {
        match self {
            Clip::Pictures { list, .. } => list,
            Clip::Video(video) => std::slice::from_ref(&video.path),
        }
    }

    pub fn count(&self) -> usize {
        match self {
            Clip::Pictures { list, .. } => list.len(),
            Clip::Video(video) => video.count,
        }
    }

    /// Returns the frames a second of a video.
    pub fn rate(&self) -> Option<f64> {
        match self {
            Clip::Pictures { .. } => None,
            Clip::Video(video) => Some(video.rate),
        }
    }

    /// Returns the file of a picture.
    pub fn path(&self, index: usize) -> &Path {
        match self {
            Clip::Pictures { list, .. } => list.get(index).map_or(Path::new(""), PathBuf::as_path),
            Clip::Video(video) => &video.path,
        }
    }

    /// Returns the name of a picture's results.
    pub fn name(&self, index: usize) -> OsString {
        match self {
            Clip::Pictures { names, .. } => names.get(index).cloned().unwrap_or_default(),
            Clip::Video(video) => {
                let mut name = video.path.file_stem().unwrap_or_default().to_owned();
                name.push(format!("_{index:06}"));
                name
            }
        }
    }

    /// Reads a picture.
    ///
    /// # Errors
    /// There is no such picture, or it cannot be read.
    pub fn read(&mut self, index: usize) -> Result<Arc<RgbImage>, String> {
        let count = self.count();
        if index >= count {
            return Err(format!("picture {} of {count}: expected 1 to {count}", index + 1));
        }
        match self {
            Clip::Pictures { list, .. } => read_image(&list[index]).map(Arc::new),
            Clip::Video(video) => video.read(index),
        }
    }
}

impl VideoClip {
    fn read(&mut self, index: usize) -> Result<Arc<RgbImage>, String> {
        if let Some((_, image)) = self.kept.iter().find(|(number, _)| *number == index) {
            return Ok(Arc::clone(image));
        }
        let mut reader = match self.reader.take().filter(|reader| reader.frames() <= index) {
            Some(reader) => reader,
            None => {
                self.kept.clear();
                Video::open(&self.path)?
            }
        };
        while let Some((number, image)) = reader.next()? {
            let image = Arc::new(image);
            self.kept.push_back((number, Arc::clone(&image)));
            if self.kept.len() > KEPT_FRAMES {
                self.kept.pop_front();
            }
            if number == index {
                self.reader = Some(reader);
                return Ok(image);
            }
        }
        Err(format!("{}: the video ends before frame {index}", self.path.display()))
    }
}
