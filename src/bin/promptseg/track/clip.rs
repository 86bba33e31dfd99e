//! The frames of a clip, one after the other: pictures of a folder, or a video through ffmpeg.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use image::RgbImage;

use crate::segment::pictures;
use crate::{Failure, STDIN, display, read_image};

/// Rate of what has none: pictures.
const PICTURES_A_SECOND: f64 = 25.0;
/// Longest side of a frame.
const MAX_SIDE: u32 = 16384;

/// What is tracked in.
pub enum Clip {
    /// In the order of the numbers in their names, with what their answers are called.
    Pictures { list: Vec<PathBuf>, names: Vec<OsString> },
    /// A file, or the standard input for `-`.
    Video(PathBuf),
}

impl Clip {
    pub fn find(given: &[PathBuf]) -> Result<Self, Failure> {
        if let [path] = given
            && (path == Path::new(STDIN) || path.is_file())
            && path.extension().and_then(|e| e.to_str()).is_none_or(|e| !pictures::is_picture(e))
        {
            return Ok(Clip::Video(path.clone()));
        }
        let mut list = pictures::find(given)?;
        if list.is_sorted() {
            // A shell expands frames/* in the order of characters, 10.jpg before 2.jpg. Any other order is meant.
            list.sort_by(|a, b| pictures::by_number(a, b));
        }
        let names = pictures::names(&list)?;
        Ok(Clip::Pictures { list, names })
    }

    /// The files that it is read from.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Clip::Pictures { list, .. } => list,
            Clip::Video(path) => std::slice::from_ref(path),
        }
    }

    /// How many frames, where that is known before they are read.
    pub fn len(&self) -> Option<usize> {
        match self {
            Clip::Pictures { list, .. } => Some(list.len()),
            Clip::Video(_) => None,
        }
    }

    /// Frames a second, for the overlay's video.
    pub fn rate(&self) -> f64 {
        match self {
            Clip::Pictures { .. } => PICTURES_A_SECOND,
            Clip::Video(path) if path == Path::new(STDIN) => PICTURES_A_SECOND,
            Clip::Video(path) => rate_of(path).unwrap_or(PICTURES_A_SECOND),
        }
    }

    /// What answers on a frame are called.
    pub fn name(&self, frame: usize) -> OsString {
        let named = match self {
            Clip::Pictures { names, .. } => names.get(frame).cloned(),
            Clip::Video(_) => None,
        };
        named.unwrap_or_else(|| format!("{frame:06}").into())
    }

    /// The frames in order, from the first; against time the pictures from `last` back.
    pub fn frames(&self, backward_from: Option<usize>) -> Result<Frames, Failure> {
        match (self, backward_from) {
            (Clip::Pictures { list, .. }, None) => Ok(Frames::Pictures(list.clone().into_iter().enumerate().collect())),
            (Clip::Pictures { list, .. }, Some(last)) => {
                let list = list.iter().cloned().enumerate().take(last + 1);
                Ok(Frames::Pictures(list.collect::<Vec<_>>().into_iter().rev().collect()))
            }
            (Clip::Video(path), None) => Ok(Frames::Video(Box::new(Video::open(path)?))),
            (Clip::Video(_), Some(_)) => Err(Failure::Usage(
                "a video is read forward only; make pictures of it (ffmpeg -i VIDEO frames/%06d.png) and give the folder"
                    .to_owned(),
            )),
        }
    }
}

/// Frames as they come, with their numbers.
pub enum Frames {
    Pictures(std::collections::VecDeque<(usize, PathBuf)>),
    Video(Box<Video>),
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
        }
    }
}

/// ffmpeg at work: each frame comes as a PPM picture, which says its size itself.
pub struct Video {
    path: PathBuf,
    child: Child,
    out: BufReader<ChildStdout>,
    /// The last line of its complaints. They are read beside the pictures: when their pipe is full, ffmpeg stops.
    complaint: Option<JoinHandle<Vec<u8>>>,
    number: usize,
}

impl Video {
    fn open(path: &Path) -> Result<Self, String> {
        let from_stdin = path == Path::new(STDIN);
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-i"]).arg(if from_stdin { "pipe:0".into() } else { file_url(path) });
        // Each frame of the file once: without times of their own, ffmpeg doubles and drops frames to reach a constant rate.
        command.args(["-vf", "settb=1/25,setpts=N", "-r", "25", "-f", "image2pipe", "-c:v", "ppm", "-"]);
        command.stdin(if from_stdin { Stdio::inherit() } else { Stdio::null() });
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| {
            format!(
                "{}: not a picture or a folder of them, so a video, which ffmpeg reads; it does not start: {e}. Install \
                 ffmpeg, or give a folder of pictures",
                display(path)
            )
        })?;
        let out = child.stdout.take().ok_or("ffmpeg has no output")?;
        let complaint = child.stderr.take().map(|err| {
            let lines = BufReader::new(err).split(b'\n').map_while(Result::ok);
            std::thread::spawn(move || lines.filter(|line| !line.trim_ascii().is_empty()).last().unwrap_or_default())
        });
        Ok(Video { path: path.to_owned(), child, out: BufReader::with_capacity(1 << 20, out), complaint, number: 0 })
    }

    fn next(&mut self) -> Result<Option<(usize, RgbImage)>, String> {
        match read_ppm(&mut self.out) {
            Ok(Some(image)) => {
                self.number += 1;
                Ok(Some((self.number - 1, image)))
            }
            Ok(None) => self.end().map(|()| None),
            Err(reason) => {
                let reason = format!("{}: {reason}", display(&self.path));
                // Where more is to come, ffmpeg did not end, and waits for somebody who takes it.
                let goes_on = self.out.fill_buf().is_ok_and(|more| !more.is_empty());
                Err(if goes_on { reason } else { self.end().err().unwrap_or(reason) })
            }
        }
    }

    /// What ffmpeg says at its end, where that is not well.
    fn end(&mut self) -> Result<(), String> {
        let status = self.child.wait().map_err(|e| e.to_string())?;
        let said = self.complaint.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let said = if said.is_empty() { "it does not say why" } else { said.trim() };
        match status.success() && self.number > 0 {
            true => Ok(()),
            false if self.number > 0 => {
                Err(format!("{}: ffmpeg ends after {} frames: {said}", display(&self.path), self.number))
            }
            false => Err(format!("{}: neither pictures nor a video that ffmpeg reads: {said}", display(&self.path))),
        }
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        // It may be at its end already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A path as ffmpeg takes it: without `file:` a name with a colon is a protocol, and one that begins with a dash an option.
pub fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// One binary PPM picture of 8 bits (<https://netpbm.sourceforge.net/doc/ppm.html>); none at the end.
fn read_ppm(from: &mut impl Read) -> Result<Option<RgbImage>, String> {
    let mut word = || -> Result<Option<String>, String> {
        let mut word = Vec::new();
        let mut byte = [0];
        while from.read(&mut byte).map_err(|e| e.to_string())? == 1 {
            match byte[0] {
                b if b.is_ascii_whitespace() && word.is_empty() => {}
                b if b.is_ascii_whitespace() => return Ok(Some(String::from_utf8_lossy(&word).into_owned())),
                b if word.len() < 16 => word.push(b),
                _ => return Err("ffmpeg sends no pictures".to_owned()),
            }
        }
        if word.is_empty() { Ok(None) } else { Err("ffmpeg stopped within a picture".to_owned()) }
    };
    let Some(magic) = word()? else { return Ok(None) };
    let mut number = || -> Result<u32, String> {
        let word = word()?.ok_or("ffmpeg stopped within a picture")?;
        word.parse().map_err(|_| format!("'{word}' where a number belongs"))
    };
    let (width, height, most) = (number()?, number()?, number()?);
    if magic != "P6" || most != 255 || !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(format!("ffmpeg sends {magic} {width}x{height} of {most} levels, expected P6 of 255"));
    }
    let mut pixels = vec![0; width as usize * height as usize * 3];
    from.read_exact(&mut pixels).map_err(|_| "ffmpeg stopped within a picture".to_owned())?;
    Ok(RgbImage::from_raw(width, height, pixels))
}

/// From what ffmpeg says of a file: `..., 29.97 fps, ...`.
fn rate_of(path: &Path) -> Option<f64> {
    let said = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-i"])
        .arg(file_url(path))
        .stdin(Stdio::null())
        .output();
    let said = String::from_utf8_lossy(&said.ok()?.stderr).into_owned();
    let before = said.split(" fps").next().filter(|before| before.len() < said.len())?;
    before.rsplit([' ', ',']).next()?.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_one_after_the_other_and_a_broken_one_is_said() {
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
