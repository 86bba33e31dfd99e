//! Videos, read by ffmpeg: each frame arrives as a PPM picture, which holds its size.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use image::RgbImage;

use crate::pictures::{STDIN, display};

/// Longest side of a frame in pixels.
const MAX_SIDE: u32 = 16384;

/// A running ffmpeg that decodes a video.
pub struct Video {
    path: PathBuf,
    child: Child,
    out: BufReader<ChildStdout>,
    /// Thread that reads ffmpeg's error output and returns the last line. Without the thread a full pipe would stop
    /// ffmpeg.
    last_error: Option<JoinHandle<Vec<u8>>>,
    /// Number of frames that were read.
    frames: usize,
}

impl Video {
    /// Starts ffmpeg.
    pub fn open(path: &Path) -> Result<Self, String> {
        let from_stdin = path == Path::new(STDIN);
        let mut command = Command::new("ffmpeg");
        // Every frame gets the same duration, by the first `-r`, and a time of its own, by the filter: otherwise ffmpeg repeats
        // and drops frames to reach a constant rate. ffmpeg 9 needs the duration, older versions the time.
        command.args(["-v", "error", "-nostdin", "-r", "25", "-i"]);
        command.arg(if from_stdin { "pipe:0".into() } else { file_url(path) });
        command.args(["-vf", "settb=1/25,setpts=N", "-r", "25", "-f", "image2pipe", "-c:v", "ppm", "-"]);
        command.stdin(if from_stdin { Stdio::inherit() } else { Stdio::null() });
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| {
            format!(
                "{}: neither a picture nor a folder, so it is read as a video, but ffmpeg does not start: {e}. Install \
                 ffmpeg, or give a folder of pictures",
                display(path)
            )
        })?;
        let out = child.stdout.take().ok_or("ffmpeg has no output")?;
        let last_error = child.stderr.take().map(|err| {
            let lines = BufReader::new(err).split(b'\n').map_while(Result::ok);
            std::thread::spawn(move || lines.filter(|line| !line.trim_ascii().is_empty()).last().unwrap_or_default())
        });
        Ok(Video { path: path.to_owned(), child, out: BufReader::with_capacity(1 << 20, out), last_error, frames: 0 })
    }

    /// Returns the next frame with its number, or none at the end of the video.
    pub fn next(&mut self) -> Result<Option<(usize, RgbImage)>, String> {
        match read_ppm(&mut self.out) {
            Ok(Some(image)) => {
                self.frames += 1;
                Ok(Some((self.frames - 1, image)))
            }
            Ok(None) => self.end().map(|()| None),
            Err(reason) => {
                let reason = format!("{}: {reason}", display(&self.path));
                // If more output follows, ffmpeg still runs, and waiting for its end would block.
                let still_runs = self.out.fill_buf().is_ok_and(|more| !more.is_empty());
                Err(if still_runs { reason } else { self.end().err().unwrap_or(reason) })
            }
        }
    }

    /// Returns the number of frames that were read.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Waits for the end of ffmpeg.
    ///
    /// # Errors
    /// ffmpeg failed or decoded no frame; the error holds the last line of its error output.
    fn end(&mut self) -> Result<(), String> {
        let status = self.child.wait().map_err(|e| e.to_string())?;
        let reason = self.last_error.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        let reason = String::from_utf8_lossy(&reason);
        let reason = if reason.is_empty() { "ffmpeg gave no reason" } else { reason.trim() };
        match status.success() && self.frames > 0 {
            true => Ok(()),
            false if self.frames > 0 => {
                Err(format!("{}: ffmpeg ended after {} frames: {reason}", display(&self.path), self.frames))
            }
            false => Err(format!("{}: neither pictures nor a video that ffmpeg reads: {reason}", display(&self.path))),
        }
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        // An error means that the process ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a path as a URL for ffmpeg. Without `file:`, ffmpeg takes a name with a colon for a protocol, and a name with a
/// leading dash for an option.
pub fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// Reads a binary PPM picture of 8 bits (<https://netpbm.sourceforge.net/doc/ppm.html>), or returns none at the end.
fn read_ppm(from: &mut impl Read) -> Result<Option<RgbImage>, String> {
    let mut word = || -> Result<Option<String>, String> {
        let mut word = Vec::new();
        let mut byte = [0];
        while from.read(&mut byte).map_err(|e| e.to_string())? == 1 {
            match byte[0] {
                b if b.is_ascii_whitespace() && word.is_empty() => {}
                b if b.is_ascii_whitespace() => return Ok(Some(String::from_utf8_lossy(&word).into_owned())),
                b if word.len() < 16 => word.push(b),
                _ => return Err("ffmpeg's output is not a PPM picture".to_owned()),
            }
        }
        if word.is_empty() { Ok(None) } else { Err("ffmpeg stopped in the middle of a picture".to_owned()) }
    };
    let Some(magic) = word()? else { return Ok(None) };
    let mut number = || -> Result<u32, String> {
        let word = word()?.ok_or("ffmpeg stopped in the middle of a picture")?;
        word.parse().map_err(|_| format!("'{word}' in the header of a PPM picture, expected a number"))
    };
    let (width, height, max_level) = (number()?, number()?, number()?);
    if magic != "P6" || max_level != 255 || !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(format!(
            "ffmpeg's picture is {magic}, {width}x{height}, levels to {max_level}; expected P6, sides of 1 to {MAX_SIDE}, levels to 255"
        ));
    }
    let mut pixels = vec![0; width as usize * height as usize * 3];
    from.read_exact(&mut pixels).map_err(|_| "ffmpeg stopped in the middle of a picture".to_owned())?;
    Ok(RgbImage::from_raw(width, height, pixels))
}

/// Returns the number of frames of a video file, from its packets: nothing is decoded.
///
/// # Errors
/// ffmpeg does not start, or the file has no video.
pub fn frame_count(path: &Path) -> Result<usize, String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-i"]).arg(file_url(path));
    command.args(["-map", "0:v:0", "-c", "copy", "-f", "null", "-"]).stdin(Stdio::null());
    let failed = |reason: String| format!("{}: neither a picture nor a video: {reason}", display(path));
    let output = command.output().map_err(|e| failed(format!("ffmpeg does not start: {e}")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text.rsplit("frame=").next().and_then(|rest| rest.split_whitespace().next());
    let count = count.and_then(|count| count.parse::<usize>().ok()).filter(|count| *count > 0);
    count.ok_or_else(|| failed(text.lines().last().unwrap_or("ffmpeg gave no reason").to_owned()))
}

/// Returns the frames a second of a video file, from ffmpeg's description: `..., 29.97 fps, ...`.
pub fn frame_rate(path: &Path) -> Option<f64> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-i"])
        .arg(file_url(path))
        .stdin(Stdio::null())
        .output();
    let text = String::from_utf8_lossy(&output.ok()?.stderr).into_owned();
    let (before, _) = text.split_once(" fps")?;
    before.rsplit([' ', ',']).next()?.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_read_one_after_the_other_and_a_broken_one_is_an_error() {
        let mut stream = b"P6\n2 1\n255\n\x01\x02\x03\x04\x05\x06P6 1 1 255\n\x0a\x20\x0d".as_slice();
        let first = read_ppm(&mut stream).unwrap().unwrap();
        assert_eq!((first.dimensions(), first.get_pixel(1, 0).0), ((2, 1), [4, 5, 6]));
        assert_eq!(read_ppm(&mut stream).unwrap().unwrap().get_pixel(0, 0).0, [0x0a, 0x20, 0x0d]);
        assert!(read_ppm(&mut stream).unwrap().is_none());
        for broken in [
            &b"P6\n2 1\n255\n\x01"[..],
            b"P6\n2",
            b"P5\n2 1\n255\n12",
            b"P6 99999 1 255\n",
            b"nonsense and more of it ",
        ] {
            assert!(read_ppm(&mut &*broken).is_err(), "{broken:?}");
        }
    }
}
