//! What is written of each frame: masks, lines of JSON, overlays.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use image::RgbImage;
use promptseg::pixels::{Geometry, LastUpscaler, Mask, OverlayObject, Resize, draw_overlay};
use promptseg::prompt::Prompt;
use serde_json::json;

use super::Arguments;
use super::clip::{Clip, file_url};
use crate::files::{Lines, Target, Writer, make_folder, named};
use crate::segment::output::{mask_png, png, rle};
use crate::{Failure, short, terminal};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Grey pictures of the frame's size: 255 inside, 0 outside.
    Png,
    /// COCO's compressed run lengths, as pycocotools writes them.
    CocoRle,
}

/// One object on one frame.
pub struct Seen {
    pub id: u32,
    pub iou: f32,
    pub object_score: f32,
    pub low_res: Vec<f32>,
    /// What was said of it here.
    pub prompt: Prompt,
}

/// Where overlays go.
enum Overlay {
    /// ffmpeg is started with the first frame, whose size is the video's.
    Video {
        file: PathBuf,
        rate: f64,
        running: Option<(Child, (u32, u32))>,
    },
    Pictures(PathBuf),
}

pub struct Output<'a> {
    clip: &'a Clip,
    format: Format,
    target: Target,
    writer: Writer,
    /// The only file.
    lines: Lines,
    overlay: Option<Overlay>,
    upscaler: LastUpscaler,
    frames: usize,
}

impl<'a> Output<'a> {
    pub fn plan(arguments: &Arguments, clip: &'a Clip) -> Result<Self, Failure> {
        let (format, extensions): (_, &[&str]) = match arguments.format {
            Format::Png => (Format::Png, &[]),
            Format::CocoRle => (Format::CocoRle, &["json", "jsonl"]),
        };
        let text = format == Format::CocoRle;
        let target = Target::of(extensions, text, arguments.out.as_deref()).map_err(Failure::Usage)?;
        if !text && !matches!(target, Target::Folder(_)) {
            return Err(Failure::Usage(
                "many masks do not go into one file or the standard output; give --out a folder".to_owned(),
            ));
        }
        let writer = Writer::new(clip.files().iter().chain(arguments.prompts.files()), arguments.overwrite);
        if let Target::File(file) = &target {
            writer.check(file)?;
        }
        let folder = target.folder();
        make_folder(&folder)?;
        let has_ffmpeg = || {
            let mut asked = Command::new("ffmpeg");
            asked.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            asked.status().is_ok_and(|status| status.success())
        };
        let video = folder.join("overlay.mp4");
        let has_ffmpeg = arguments.overlay && has_ffmpeg();
        if has_ffmpeg {
            // ffmpeg asks nobody.
            writer.check(&video)?;
        }
        let overlay = arguments.overlay.then(|| match has_ffmpeg {
            true => Overlay::Video { file: video, rate: clip.rate(), running: None },
            false => {
                terminal::note("no ffmpeg, so that overlays are pictures");
                Overlay::Pictures(folder)
            }
        });
        let (lines, upscaler) = Default::default();
        Ok(Output { clip, format, target, writer, lines, overlay, upscaler, frames: 0 })
    }

    /// Writes one frame; complaints come back.
    pub fn write(&mut self, number: usize, image: &RgbImage, seen: &[Seen]) -> Result<Vec<String>, String> {
        self.frames += 1;
        let (name, mut said) = (self.clip.name(number), Vec::new());
        let masks: Vec<Mask> = seen.iter().map(|s| self.mask(image, &s.low_res)).collect();
        match self.format {
            Format::Png => {
                let Target::Folder(folder) = &self.target else { return Err("--out is not a folder".to_owned()) };
                for (seen, mask) in seen.iter().zip(&masks) {
                    let file = named(folder, &name, &format!("_mask_{}.png", seen.id));
                    self.writer.save(&file, &mask_png(mask)?)?;
                }
            }
            Format::CocoRle => {
                let line = format!("{}\n", line(number, &name, image, seen, &masks));
                match &self.target {
                    Target::Stdout => terminal::write(line.as_bytes()),
                    Target::File(file) => self.lines.push(file, &self.writer, &line)?,
                    Target::Folder(folder) => self.writer.save(&named(folder, &name, ".json"), line.as_bytes())?,
                }
            }
        }
        if self.overlay.is_some() {
            let drawn = overlay(image, seen, &masks);
            self.show(&name, &drawn, &mut said)?;
        }
        Ok(said)
    }

    fn mask(&mut self, image: &RgbImage, low_res: &[f32]) -> Mask {
        let side = low_res.len().isqrt();
        let geometry = Geometry::new(image.width(), image.height(), side as u32, Resize::Stretch);
        self.upscaler.get(side, &geometry).mask(low_res, 0.0, 1.0)
    }

    fn show(&mut self, name: &OsStr, drawn: &RgbImage, said: &mut Vec<String>) -> Result<(), String> {
        match &mut self.overlay {
            Some(Overlay::Pictures(folder)) => {
                let file = named(folder, name, "_overlay.png");
                self.writer.save(&file, &png(&drawn.clone().into())?)
            }
            Some(Overlay::Video { file, rate, running }) => {
                let (child, size) = match running {
                    Some(running) => running,
                    None => running.insert((start_video(file, *rate, drawn.dimensions())?, drawn.dimensions())),
                };
                if drawn.dimensions() != *size {
                    // One size for all of a video.
                    let ((w, h), (width, height)) = (drawn.dimensions(), *size);
                    let name = name.display();
                    said.push(format!("{name}: {w}x{h}, not in the overlay's video of {width}x{height}"));
                    return Ok(());
                }
                let pipe = child.stdin.as_mut().ok_or("ffmpeg takes no pictures")?;
                pipe.write_all(drawn.as_raw()).map_err(|e| format!("{}: ffmpeg stopped: {e}", file.display()))
            }
            None => Ok(()),
        }
    }

    /// Ends what is open, and says where everything is.
    pub fn finish(&mut self, objects: usize) -> Result<(), String> {
        if let (Target::File(file), false) = (&self.target, self.lines.is_empty()) {
            terminal::print(file.display());
        }
        if let (Target::Folder(folder), 1..) = (&self.target, self.frames) {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            terminal::note(format!("{objects} objects on {} frames in {}", self.frames, folder.display()));
        }
        if let Some(Overlay::Video { file, running: Some((child, _)), .. }) = &mut self.overlay {
            drop(child.stdin.take());
            let status = child.wait().map_err(|e| e.to_string())?;
            if !status.success() {
                return Err(format!("{}: ffmpeg ends with {status}", file.display()));
            }
            match &self.target {
                Target::Stdout => terminal::note(file.display()),
                _ => terminal::print(file.display()),
            }
        }
        Ok(())
    }
}

fn start_video(file: &Path, rate: f64, (width, height): (u32, u32)) -> Result<Child, String> {
    let (size, rate) = (format!("{width}x{height}"), rate.to_string());
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", &size, "-r", &rate, "-i", "-"]);
    // Players want even sides and this kind of colours.
    command.args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"]).arg(file_url(file));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(|e| format!("ffmpeg does not start: {e}"))
}

fn line(number: usize, name: &OsStr, image: &RgbImage, seen: &[Seen], masks: &[Mask]) -> serde_json::Value {
    let one = |(seen, mask): (&Seen, &Mask)| {
        json!({
            "object": seen.id,
            "iou": short(seen.iou),
            "object_score": short(seen.object_score),
            "area": mask.area,
            "box": mask.bbox.map(|b| [b.x, b.y, b.width, b.height]),
            "segmentation": rle(mask),
        })
    };
    let masks: Vec<_> = seen.iter().zip(masks).map(one).collect();
    json!({ "frame": number, "name": name.to_string_lossy(), "size": [image.height(), image.width()], "masks": masks })
}

fn overlay(image: &RgbImage, seen: &[Seen], masks: &[Mask]) -> RgbImage {
    let objects: Vec<_> = seen
        .iter()
        .zip(masks)
        .map(|(seen, mask)| OverlayObject {
            mask,
            id: seen.id,
            iou: seen.iou,
            class_id: "",
            points: &seen.prompt.points,
            bbox: seen.prompt.bbox,
        })
        .collect();
    draw_overlay(image, &objects)
}
