//! The frames that a run reads: the images of a bag, pictures, or a video.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use promptseg::bag::{Bag, CdrError, read_frames};
use promptseg::engine::{Frame, FramePixels, Header, Stamp};

use crate::clips::video::Video;
use crate::pictures::read_file;

/// Takes a frame: its number, and its content or why it cannot be read.
pub type Take<'a> = &'a mut dyn FnMut(usize, Result<Frame, String>) -> ControlFlow<()>;

/// Where frames come from.
pub enum Source {
    /// A topic of images in a bag.
    Bag { bag: Bag, topic: String },
    /// Pictures, and the pictures a second that the user named.
    Pictures { list: Vec<PathBuf>, rate: Option<f64> },
    /// A video of `count` frames.
    Video { path: PathBuf, count: usize, rate: f64 },
}

impl Source {
    /// Returns the name in messages.
    pub fn name(&self) -> String {
        match self {
            Source::Bag { topic, .. } => topic.clone(),
            Source::Pictures { list, .. } => format!("{} pictures", list.len()),
            Source::Video { path, .. } => path.display().to_string(),
        }
    }

    /// Returns whether the stamps are times. Pictures without a rate have the order alone.
    pub fn has_times(&self) -> bool {
        !matches!(self, Source::Pictures { rate: None, .. })
    }

    /// Returns the stamps of pictures or a video, from 0 s on; pictures without a rate count as one a second. The stamps of a
    /// bag are those of its messages: none here.
    pub fn made_stamps(&self) -> Vec<Option<Stamp>> {
        let (count, rate) = match self {
            Source::Bag { .. } => return Vec::new(),
            Source::Pictures { list, rate } => (list.len(), rate.unwrap_or(1.0)),
            Source::Video { count, rate, .. } => (*count, *rate),
        };
        (0..count).map(|frame| Some(stamp_at(frame, rate))).collect()
    }

    /// Returns the file name of a picture; none for other sources.
    pub fn picture(&self, frame: usize) -> Option<String> {
        let Source::Pictures { list, .. } = self else { return None };
        Some(list.get(frame)?.file_name()?.to_string_lossy().into_owned())
    }

    /// Reads frames, whose numbers ascend.
    ///
    /// # Errors
    /// The bag or the video cannot be read at all.
    pub fn read(&self, frames: &[usize], take: Take<'_>) -> Result<(), String> {
        match self {
            Source::Bag { bag, topic } => {
                let mut take_message = |frame, content: Result<Frame, CdrError>| take(frame, content.map_err(to_text));
                // Damage of the bag is known from its overview.
                read_frames(bag, topic, frames, &mut take_message).map(drop).map_err(to_text)
            }
            Source::Pictures { list, .. } => {
                for frame in frames {
                    let path = list.get(*frame).map_or(Path::new(""), PathBuf::as_path);
                    if take(*frame, read_file(path).map(picture_frame)).is_break() {
                        break;
                    }
                }
                Ok(())
            }
            Source::Video { path, .. } => read_video(path, frames, take),
        }
    }
}

fn to_text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn picture_frame(data: Vec<u8>) -> Frame {
    Frame { header: Header::default(), pixels: FramePixels::Compressed { format: "file".to_owned(), data } }
}

/// Returns the time of a frame at a constant rate.
fn stamp_at(frame: usize, rate: f64) -> Stamp {
    let nanoseconds = (frame as f64 * 1e9 / rate).round() as u64;
    let seconds = i32::try_from(nanoseconds / 1_000_000_000).unwrap_or(i32::MAX);
    Stamp { sec: seconds, nanosec: (nanoseconds % 1_000_000_000) as u32 }
}

/// Reads frames of a video. Of a damaged video the frames before the damage are read; the others are passed on with the
/// reason.
fn read_video(path: &Path, frames: &[usize], take: Take<'_>) -> Result<(), String> {
    let mut video = Video::open(path)?;
    let mut wanted = frames.iter().copied().peekable();
    let end = loop {
        let Some(next) = wanted.peek().copied() else { return Ok(()) };
        match video.next() {
            Ok(Some((number, image))) if number == next => {
                wanted.next();
                let frame = Frame { header: Header::default(), pixels: FramePixels::Rgb(Arc::new(image)) };
                if take(number, Ok(frame)).is_break() {
                    return Ok(());
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => break format!("the video ends after {} frames", video.frames()),
            Err(reason) => break reason,
        }
    };
    if video.frames() == 0 {
        return Err(end);
    }
    for frame in wanted {
        if take(frame, Err(end.clone())).is_break() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_those_of_the_rate_and_do_not_drift() {
        let rate = 30_000.0 / 1001.0;
        assert_eq!(stamp_at(0, rate), Stamp::NONE);
        assert_eq!(stamp_at(1, rate), Stamp { sec: 0, nanosec: 33_366_667 });
        // An hour at 29.97 frames a second.
        assert_eq!(stamp_at(30_000 * 3600 / 1001, rate).sec, 3599);
        assert_eq!(stamp_at(30_000, rate), Stamp { sec: 1001, nanosec: 0 });
        let pictures = Source::Pictures { list: vec![PathBuf::from("a/x.png"); 3], rate: None };
        assert_eq!(pictures.made_stamps()[2], Some(Stamp { sec: 2, nanosec: 0 }));
        assert!(!pictures.has_times());
        assert_eq!(pictures.picture(0).as_deref(), Some("x.png"));
    }
}
