//! Writes the masks of each frame, and draws them on the frame.

use std::ffi::OsStr;
use std::path::Path;

use image::RgbImage;
use promptseg::pixels::{Geometry, LastUpscaler, Mask, OverlayObject, Resize, RunLengths, draw_overlay};
use promptseg::prompt::Prompt;
use serde_json::{Value, json};

use super::arguments::{Arguments, Format};
use super::overlay::OverlayWriter;
use crate::clips::Clip;
use crate::failure::Failure;
use crate::files::{Lines, Target, Writer, file_in, make_folder};
use crate::formats::{mask_png, rounded, run_lengths};
use crate::terminal;

/// Mask of one object on one frame.
pub struct ObjectOnFrame {
    pub id: u32,
    /// The phrase that named the object; empty without one.
    pub class: String,
    pub iou: f32,
    pub object_score: f32,
    /// Low-resolution logits, `[side, side]`.
    pub low_res: Vec<f32>,
    /// Prompt of the object on this frame, without its mask.
    pub prompt: Prompt,
}

/// Destination of the results.
pub struct Output<'a> {
    clip: &'a Clip,
    format: Format,
    target: Target,
    writer: Writer,
    /// The single file for all frames.
    lines: Lines,
    /// None without `--overlay`.
    overlay: Option<OverlayWriter>,
    upscaler: LastUpscaler,
    /// Number of frames that were written.
    frames: usize,
}

impl<'a> Output<'a> {
    /// Decides which files the run writes, and creates their folder.
    pub fn plan(arguments: &Arguments, clip: &'a Clip) -> Result<Self, Failure> {
        let (is_text, extensions): (_, &[&str]) = match arguments.format {
            Format::Png => (false, &[]),
            Format::CocoRle => (true, &["json", "jsonl"]),
        };
        let target =
            Target::from_argument(extensions, is_text, arguments.destination.out.as_deref()).map_err(Failure::Usage)?;
        if !is_text && !matches!(target, Target::Folder(_)) {
            return Err(Failure::Usage(
                "many masks do not fit into one file or standard output; give --out a folder".to_owned(),
            ));
        }
        let writer = Writer::new(
            clip.files().iter().chain(arguments.prompts.files()).chain(arguments.text.files()),
            arguments.destination.overwrite,
        );
        if let Target::File(file) = &target {
            writer.check(file)?;
        }
        let folder = target.folder();
        make_folder(&folder)?;
        let overlay = if arguments.overlay { Some(OverlayWriter::plan(folder, clip.rate(), &writer)?) } else { None };
        let (lines, upscaler) = Default::default();
        Ok(Output { clip, format: arguments.format, target, writer, lines, overlay, upscaler, frames: 0 })
    }

    /// Writes one frame. Returns warnings for the user.
    pub fn write(&mut self, number: usize, image: &RgbImage, objects: &[ObjectOnFrame]) -> Result<Vec<String>, String> {
        self.frames += 1;
        let name = self.clip.name(number);
        let masks: Vec<Mask> = objects.iter().map(|object| self.mask(image, &object.low_res)).collect();
        match self.format {
            Format::Png => {
                let Target::Folder(folder) = &self.target else { return Err("--out is not a folder".to_owned()) };
                for (object, mask) in objects.iter().zip(&masks) {
                    let file = file_in(folder, &name, &format!("_mask_{}.png", object.id));
                    self.writer.save(&file, &mask_png(mask)?)?;
                }
            }
            Format::CocoRle => {
                let line = format!("{}\n", line(number, &name, image, objects, &masks));
                match &self.target {
                    Target::Stdout => terminal::write(line.as_bytes()),
                    Target::File(file) => self.lines.push(file, &self.writer, &line)?,
                    Target::Folder(folder) => self.writer.save(&file_in(folder, &name, ".json"), line.as_bytes())?,
                }
            }
        }
        let Some(overlay) = &mut self.overlay else { return Ok(Vec::new()) };
        let warning = overlay.write(&name, &draw(image, objects, &masks), &self.writer)?;
        Ok(warning.into_iter().collect())
    }

    /// Scales low-resolution logits to a mask of the frame's size.
    fn mask(&mut self, image: &RgbImage, low_res: &[f32]) -> Mask {
        let side = low_res.len().isqrt();
        let geometry = Geometry::new(image.width(), image.height(), side as u32, Resize::Stretch);
        self.upscaler.get(side, &geometry).mask(low_res, 0.0, 1.0)
    }

    /// Completes the files and prints their names.
    pub fn finish(&mut self, objects: usize) -> Result<(), String> {
        if let (Target::File(file), false) = (&self.target, self.lines.is_empty()) {
            terminal::print(file.display());
        }
        if let (Target::Folder(folder), 1..) = (&self.target, self.frames) {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            terminal::note(format!("{objects} objects on {} frames in {}", self.frames, folder.display()));
        }
        if let Some(video) = self.overlay.as_mut().map(OverlayWriter::finish).transpose()?.flatten() {
            match &self.target {
                Target::Stdout => terminal::note(video.display()),
                _ => terminal::print(video.display()),
            }
        }
        Ok(())
    }
}

/// Returns the line of JSON for a frame.
fn line(number: usize, name: &OsStr, image: &RgbImage, objects: &[ObjectOnFrame], masks: &[Mask]) -> Value {
    let object_with_mask = |(object, mask): (&ObjectOnFrame, &Mask)| {
        let mut value = json!({
            "object": object.id,
            "iou": rounded(object.iou),
            "object_score": rounded(object.object_score),
            "area": mask.area,
            "box": mask.bbox.map(|b| [b.x, b.y, b.width, b.height]),
            "segmentation": run_lengths(&RunLengths::of(mask)),
        });
        if !object.class.is_empty() {
            value["class"] = json!(object.class);
        }
        value
    };
    let masks: Vec<_> = objects.iter().zip(masks).map(object_with_mask).collect();
    json!({ "frame": number, "name": name.to_string_lossy(), "size": [image.height(), image.width()], "masks": masks })
}

/// Draws masks, prompts and scores on a frame.
fn draw(image: &RgbImage, objects: &[ObjectOnFrame], masks: &[Mask]) -> RgbImage {
    let objects: Vec<_> = objects
        .iter()
        .zip(masks)
        .map(|(object, mask)| OverlayObject {
            mask,
            id: object.id,
            iou: object.iou,
            class_id: &object.class,
            points: &object.prompt.points,
            bbox: object.prompt.bbox,
        })
        .collect();
    draw_overlay(image, &objects)
}
