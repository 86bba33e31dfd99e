//! Writes the frames with their masks: a video, or a picture for each frame if ffmpeg is not installed.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use image::RgbImage;

use crate::clips::video::file_url;
use crate::files::{Writer, file_in};
use crate::formats::png;
use crate::terminal;

/// Destination of the frames with their masks.
pub enum OverlayWriter {
    Video {
        file: PathBuf,
        /// Frames a second.
        rate: f64,
        /// ffmpeg and the size of the video, which is the size of the first frame; none before the first frame.
        encoder: Option<(Child, (u32, u32))>,
    },
    /// Folder of the pictures.
    Pictures(PathBuf),
}

impl OverlayWriter {
    /// Chooses between a video and pictures in a folder.
    ///
    /// # Errors
    /// The video exists and must not be replaced.
    pub fn plan(folder: PathBuf, rate: f64, writer: &Writer) -> Result<Self, String> {
        if !is_ffmpeg_installed() {
            terminal::note("ffmpeg is not installed, so overlays are pictures");
            return Ok(OverlayWriter::Pictures(folder));
        }
        let file = folder.join("overlay.mp4");
        // ffmpeg replaces files without a question.
        writer.check(&file)?;
        Ok(OverlayWriter::Video { file, rate, encoder: None })
    }

    /// Writes one frame. Returns a warning if the frame does not fit into the video.
    pub fn write(&mut self, name: &OsStr, frame: &RgbImage, writer: &Writer) -> Result<Option<String>, String> {
        let (file, rate, encoder) = match self {
            OverlayWriter::Pictures(folder) => {
                let file = file_in(folder, name, "_overlay.png");
                writer.save(&file, &png(&frame.clone().into())?)?;
                return Ok(None);
            }
            OverlayWriter::Video { file, rate, encoder } => (file, rate, encoder),
        };
        let (child, size) = match encoder {
            Some(encoder) => encoder,
            None => encoder.insert((start_encoder(file, *rate, frame.dimensions())?, frame.dimensions())),
        };
        if frame.dimensions() != *size {
            let ((w, h), (width, height)) = (frame.dimensions(), *size);
            let name = name.display();
            return Ok(Some(format!("{name} is {w}x{h}, so it is not in the overlay's video of {width}x{height}")));
        }
        let pipe = child.stdin.as_mut().ok_or("ffmpeg takes no pictures")?;
        pipe.write_all(frame.as_raw()).map_err(|e| format!("{}: ffmpeg stopped: {e}", file.display()))?;
        Ok(None)
    }

    /// Completes the video and returns its path; none if no video was written.
    pub fn finish(&mut self) -> Result<Option<&Path>, String> {
        let OverlayWriter::Video { file, encoder: Some((child, _)), .. } = self else { return Ok(None) };
        drop(child.stdin.take());
        let status = child.wait().map_err(|e| e.to_string())?;
        if !status.success() {
            return Err(format!("{}: ffmpeg ended with {status}", file.display()));
        }
        Ok(Some(file.as_path()))
    }
}

fn is_ffmpeg_installed() -> bool {
    let mut version = Command::new("ffmpeg");
    version.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Starts an ffmpeg that takes pixels on its standard input and writes a video.
fn start_encoder(file: &Path, rate: f64, (width, height): (u32, u32)) -> Result<Child, String> {
    let (size, rate) = (format!("{width}x{height}"), rate.to_string());
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", &size, "-r", &rate, "-i", "-"]);
    // Players need even sides and yuv420p.
    command.args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"]).arg(file_url(file));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(|e| format!("ffmpeg does not start: {e}"))
}
