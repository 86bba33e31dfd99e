//! The frames of a clip in order: pictures of a folder, a video, or a topic of a bag.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use image::RgbImage;

use super::inputs::Inputs;
use super::recording::Recording;
use super::video::{Video, frame_rate};
use crate::failure::Failure;
use crate::pictures::{self, STDIN, read_image};

/// Frames a second of clips without a frame rate.
const DEFAULT_RATE: f64 = 25.0;

/// Source of the frames.
pub enum Clip {
    /// Pictures, ordered by the numbers in their names, with the names of their results.
    Pictures { list: Vec<PathBuf>, names: Vec<OsString> },
    /// A file, or standard input for `-`.
    Video(PathBuf),
    /// A topic of images in a bag.
    Bag(Recording),
}

impl Clip {
    /// Finds the clip that the arguments name. `topic` is the topic of the images in a bag.
    pub fn find(arguments: &[PathBuf], topic: Option<&str>) -> Result<Self, Failure> {
        Self::of(Inputs::find(arguments)?, topic)
    }

    /// Opens a clip. `topic` is the topic of the images in a bag.
    pub fn of(inputs: Inputs, topic: Option<&str>) -> Result<Self, Failure> {
        if topic.is_some() && !matches!(inputs, Inputs::Bag(_)) {
            return Err(Failure::Usage("--image is the topic of a bag; expected a bag as the clip".to_owned()));
        }
        Ok(match inputs {
            Inputs::Bag(path) => Clip::Bag(Recording::open(&path, topic)?),
            Inputs::Video(path) => Clip::Video(path),
            Inputs::Pictures(list) => Clip::Pictures { names: pictures::result_names(&list)?, list },
        })
    }

    /// Returns the files of the clip.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Clip::Pictures { list, .. } => list,
            Clip::Video(path) => std::slice::from_ref(path),
            Clip::Bag(recording) => recording.files(),
        }
    }

    /// Returns the number of frames, or none for a video, whose length is unknown before it is read.
    pub fn len(&self) -> Option<usize> {
        match self {
            Clip::Pictures { list, .. } => Some(list.len()),
            Clip::Video(_) => None,
            Clip::Bag(recording) => Some(recording.len()),
        }
    }

    /// Returns the frames a second of the overlay's video.
    pub fn rate(&self) -> f64 {
        match self {
            Clip::Pictures { .. } => DEFAULT_RATE,
            Clip::Video(path) if path == Path::new(STDIN) => DEFAULT_RATE,
            Clip::Video(path) => frame_rate(path).unwrap_or(DEFAULT_RATE),
            Clip::Bag(recording) => recording.rate().unwrap_or(DEFAULT_RATE),
        }
    }

    /// Returns the name of a frame's results.
    pub fn name(&self, frame: usize) -> OsString {
        let picture_name = match self {
            Clip::Pictures { names, .. } => names.get(frame).cloned(),
            Clip::Video(_) | Clip::Bag(_) => None,
        };
        picture_name.unwrap_or_else(|| format!("{frame:06}").into())
    }

    /// Returns the frames from the first on, or the pictures from `backward_from` back to the first.
    pub fn frames(&self, backward_from: Option<usize>) -> Result<Frames, Failure> {
        match (self, backward_from) {
            (Clip::Pictures { list, .. }, None) => Ok(Frames::Pictures(list.clone().into_iter().enumerate().collect())),
            (Clip::Pictures { list, .. }, Some(last)) => {
                let list = list.iter().cloned().enumerate().take(last + 1);
                Ok(Frames::Pictures(list.collect::<Vec<_>>().into_iter().rev().collect()))
            }
            (Clip::Video(path), None) => Ok(Frames::Video(Box::new(Video::open(path)?))),
            (Clip::Bag(recording), None) => Ok(Frames::Bag(recording.frames())),
            (Clip::Video(_), Some(_)) => Err(Failure::Usage(
                "a video is read forward only; extract its frames (ffmpeg -i VIDEO frames/%06d.png) and give the folder"
                    .to_owned(),
            )),
            (Clip::Bag(_), Some(_)) => Err(Failure::Usage(
                "a bag is read forward only; write its images with promptseg label and give the folder".to_owned(),
            )),
        }
    }
}

/// Frames with their numbers, read one at a time.
pub enum Frames {
    Pictures(VecDeque<(usize, PathBuf)>),
    Video(Box<Video>),
    Bag(Receiver<Result<(usize, RgbImage), String>>),
}

impl Iterator for Frames {
    type Item = Result<(usize, RgbImage), String>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Frames::Pictures(list) => {
                let (number, path) = list.pop_front()?;
                Some(read_image(&path).map(|image| (number, image)))
            }
            Frames::Video(video) => video.next().transpose(),
            Frames::Bag(frames) => frames.recv().ok(),
        }
    }
}
