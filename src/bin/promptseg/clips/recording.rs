//! The images of a topic of a bag.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use image::RgbImage;
use promptseg::bag::{Bag, Overview, read_frames};

use crate::failure::Failure;
use crate::terminal;

/// Images that wait decoded.
const READ_AHEAD: usize = 2;

/// A topic of images in a bag.
pub struct Recording {
    bag: Bag,
    topic: String,
    frames: usize,
    /// Images a second; none for fewer than two stamps.
    rate: Option<f64>,
}

impl Recording {
    /// Reads the stamps of a topic: the one that `topic` names, or the only one.
    pub fn open(path: &Path, topic: Option<&str>) -> Result<Recording, Failure> {
        let bag = Bag::open(path)?;
        let overview = Overview::of(&bag)?;
        bag.remarks().iter().chain(&overview.damage).for_each(terminal::warn);
        let (name, content) = overview.image_topic(topic)?;
        let times: Vec<f64> = content.stamps.iter().flatten().map(|stamp| stamp.seconds()).collect();
        let duration = times.last().zip(times.first()).map_or(0.0, |(last, first)| last - first);
        let rate = (duration > 0.0).then(|| (times.len() - 1) as f64 / duration);
        Ok(Recording { topic: name.to_owned(), frames: content.stamps.len(), rate, bag })
    }

    pub fn files(&self) -> &[PathBuf] {
        self.bag.files()
    }

    /// Returns the number of images.
    pub fn len(&self) -> usize {
        self.frames
    }

    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// Reads the images on a thread of its own, which ends with the receiver.
    pub fn frames(&self) -> Receiver<Result<(usize, RgbImage), String>> {
        let (sender, receiver) = sync_channel(READ_AHEAD);
        let (bag, topic, all) = (self.bag.clone(), self.topic.clone(), (0..self.frames).collect::<Vec<_>>());
        std::thread::spawn(move || {
            let read = read_frames(&bag, &topic, &all, &mut |number, content| {
                let image =
                    content.map_err(|e| e.to_string()).and_then(|frame| frame.into_rgb().map_err(|e| e.to_string()));
                let image = image.map(|image| (number, Arc::unwrap_or_clone(image)));
                let image = image.map_err(|e| format!("image {number} of {topic}: {e}"));
                match sender.send(image) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            });
            if let Err(e) = read {
                // The receiver may be gone, which ends the run anyway.
                let _ = sender.send(Err(e.to_string()));
            }
        });
        receiver
    }
}
