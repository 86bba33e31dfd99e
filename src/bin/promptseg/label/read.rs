//! Reads the images of a run on a thread of its own, so that the next images are decoded while the model works on one.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use image::RgbImage;
use promptseg::engine::{Frame, FramePixels};

use super::source::Source;
use crate::formats::png;

/// An image of the input.
pub struct ReadFrame {
    /// Number of the image.
    pub frame: usize,
    /// Optical frame of the camera.
    pub frame_id: String,
    /// The pixels, or why they cannot be decoded.
    pub image: Result<Arc<RgbImage>, String>,
    /// Extension and content of the image's file; none without a file.
    pub file: Option<(&'static str, Vec<u8>)>,
}

/// What the reader sends: images, or the reason why the input cannot be read.
pub type FromReader = Result<ReadFrame, String>;

/// Reads images until all are read or the receiver is gone. `with_files`: also makes the files of the images.
pub fn read(source: &Source, frames: &[usize], with_files: bool, sender: &SyncSender<FromReader>) {
    let mut take = |frame: usize, content: Result<Frame, String>| {
        let read = match content {
            Ok(content) => decode(frame, content, with_files),
            Err(reason) => ReadFrame { frame, frame_id: String::new(), image: Err(reason), file: None },
        };
        match sender.send(Ok(read)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    if let Err(reason) = source.read(frames, &mut take) {
        // The receiver may be gone, which ends the run anyway.
        let _ = sender.send(Err(reason));
    }
}

fn decode(frame: usize, content: Frame, with_files: bool) -> ReadFrame {
    let frame_id = content.header.frame_id.to_string();
    // A compressed image stays as it is.
    let mut file = match &content.pixels {
        FramePixels::Compressed { data, .. } if with_files => {
            Some((if data.starts_with(&[0xff, 0xd8]) { "jpg" } else { "png" }, data.clone()))
        }
        _ => None,
    };
    let mut image = content.into_rgb().map_err(|e| e.to_string());
    if let (Ok(pixels), None, true) = (&image, &file, with_files) {
        match png(&RgbImage::clone(pixels).into()) {
            Ok(content) => file = Some(("png", content)),
            Err(e) => image = Err(e),
        }
    }
    let file = file.filter(|_| image.is_ok());
    ReadFrame { frame, frame_id, image, file }
}
