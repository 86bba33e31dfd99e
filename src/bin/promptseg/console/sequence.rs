//! The pictures of the timeline: files, the frames of a video or the images of a bag, in any order.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;

use crate::clips::video::frame_count;
use crate::clips::{Clip, Frames, Inputs};
use crate::failure::Failure;
use crate::pictures::read_image;

/// Frames of a video or a bag that are kept, so that a step back does not read the file again.
const KEPT_FRAMES: usize = 32;

/// The pictures of the timeline.
pub struct Sequence {
    clip: Clip,
    /// The video or the bag; empty for pictures.
    path: PathBuf,
    count: usize,
    /// Frames a second; none for single pictures.
    rate: Option<f64>,
    /// A video or a bag, read up to the frame of that number.
    reader: Option<(Frames, usize)>,
    /// The frames that were read last, with their numbers.
    kept: VecDeque<(usize, Arc<RgbImage>)>,
}

impl Sequence {
    /// Finds the pictures, the video or the bag that the arguments name. `topic` is the topic of the images in a bag. With
    /// `is_recording` pictures are the frames of a recording, through which objects live on.
    pub fn find(arguments: &[PathBuf], topic: Option<&str>, is_recording: bool) -> Result<Self, Failure> {
        let inputs = Inputs::find_files(arguments)?;
        let path = match &inputs {
            Inputs::Bag(path) | Inputs::Video(path) => path.clone(),
            Inputs::Pictures(_) => PathBuf::new(),
        };
        let is_video = matches!(inputs, Inputs::Video(_));
        let clip = Clip::of(inputs, topic)?;
        let count = if is_video { frame_count(&path)? } else { clip.len().unwrap_or_default() };
        if count == 0 {
            return Err(format!("{}: no images", path.display()).into());
        }
        let are_single = matches!(clip, Clip::Pictures { .. }) && !is_recording;
        let rate = (!are_single).then(|| clip.rate());
        Ok(Sequence { clip, path, count, rate, reader: None, kept: VecDeque::new() })
    }

    /// Returns the files that are read.
    pub fn inputs(&self) -> &[PathBuf] {
        self.clip.files()
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the frames a second; none for single pictures.
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// Returns the file of a picture, the video or the bag.
    pub fn path(&self, index: usize) -> &Path {
        match &self.clip {
            Clip::Pictures { list, .. } => list.get(index).map_or(Path::new(""), PathBuf::as_path),
            Clip::Video(_) | Clip::Bag(_) => &self.path,
        }
    }

    /// Returns the name of a picture's results.
    pub fn name(&self, index: usize) -> OsString {
        let name = self.clip.name(index);
        if matches!(self.clip, Clip::Pictures { .. }) {
            return name;
        }
        let mut whole = self.path.file_stem().unwrap_or_default().to_owned();
        whole.push("_");
        whole.push(name);
        whole
    }

    /// Reads a picture.
    ///
    /// # Errors
    /// There is no such picture, or it cannot be read.
    pub fn read(&mut self, index: usize) -> Result<Arc<RgbImage>, String> {
        let count = self.count;
        if index >= count {
            return Err(format!("picture {} of {count}: expected 1 to {count}", index + 1));
        }
        match &self.clip {
            Clip::Pictures { list, .. } => read_image(&list[index]).map(Arc::new),
            Clip::Video(_) | Clip::Bag(_) => self.read_on(index),
        }
    }

    /// Reads a video or a bag up to a frame.
    fn read_on(&mut self, index: usize) -> Result<Arc<RgbImage>, String> {
        if let Some((_, image)) = self.kept.iter().find(|(number, _)| *number == index) {
            return Ok(Arc::clone(image));
        }
        let (mut frames, mut next) = match self.reader.take().filter(|(_, next)| *next <= index) {
            Some(reader) => reader,
            None => {
                self.kept.clear();
                let frames = self.clip.frames(None).map_err(|failure| match failure {
                    Failure::Failed(e) => e.to_string(),
                    _ => format!("{} cannot be read", self.path.display()),
                })?;
                (frames, 0)
            }
        };
        while next <= index {
            let Some(frame) = frames.next() else {
                return Err(format!("{}: ends before frame {index}", self.path.display()));
            };
            next += 1;
            match frame {
                Ok((number, image)) => self.keep(number, Arc::new(image)),
                // An image of a bag that cannot be decoded does not hide the images behind it.
                Err(reason) if next > index => {
                    self.reader = Some((frames, next));
                    return Err(reason);
                }
                Err(_) => {}
            }
        }
        self.reader = Some((frames, next));
        self.kept.back().map(|(_, image)| Arc::clone(image)).ok_or_else(|| format!("frame {index} is gone"))
    }

    fn keep(&mut self, number: usize, image: Arc<RgbImage>) {
        self.kept.push_back((number, image));
        if self.kept.len() > KEPT_FRAMES {
            self.kept.pop_front();
        }
    }
}
