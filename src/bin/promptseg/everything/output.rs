//! Writes the masks of each picture in the format that was chosen.

use std::path::PathBuf;

use image::{DynamicImage, ImageBuffer, Luma, RgbImage};
use promptseg::everything::GeneratedMask;
use promptseg::pixels::{Mask, draw_segments, label_image};
use serde_json::{Value, json};

use super::arguments::{Arguments, Format};
use super::sa1b::Sa1b;
use crate::coco::{self, CocoFile, ImageIds};
use crate::failure::Failure;
use crate::files::Target;
use crate::formats::{png, rounded};
use crate::generation::tight_box;
use crate::results::Results;
use crate::terminal;

/// What a format writes beside the overlay.
enum Writing {
    Labels,
    Sa1b(Sa1b),
    Coco(CocoFile),
}

/// Destination of the results.
pub struct Output {
    results: Results,
    writing: Writing,
}

impl Output {
    /// Decides which files the run writes, and creates their folder.
    pub fn plan(arguments: &Arguments, pictures: &[PathBuf]) -> Result<Output, Failure> {
        let (format, destination) = (arguments.format, &arguments.destination);
        let is_text = format != Format::Png;
        let target = Target::from_argument(format.extensions(), is_text, destination.out.as_deref());
        let target = target.map_err(Failure::Usage)?;
        if format == Format::Png && pictures.len() > 1 && !matches!(target, Target::Folder(_)) {
            let message = "a single file holds the labels of one picture; give --out a folder";
            return Err(Failure::Usage(message.to_owned()));
        }
        let inputs = arguments.coco.files().chain(arguments.generator.files());
        let results = Results::plan(target, destination, arguments.overlay, pictures, inputs)?;
        let coco = |form| CocoFile::plan(form, &arguments.coco, &results, pictures).map(Writing::Coco);
        let writing = match format {
            Format::Png => arguments.coco.refuse_unless_used().map(|()| Writing::Labels)?,
            Format::Sa1b => Writing::Sa1b(Sa1b::new(ImageIds::read(&arguments.coco, pictures)?)),
            Format::Coco => coco(coco::Form::Dataset)?,
            Format::CocoResults => coco(coco::Form::Results)?,
        };
        Ok(Output { results, writing })
    }

    /// Refuses a picture whose files must not be written, before the picture is segmented.
    pub fn check(&self, index: usize) -> Result<(), String> {
        let suffix = match &self.writing {
            Writing::Labels => Some("_labels.png"),
            Writing::Sa1b(sa1b) => sa1b.check(index).map(|()| Some(".json"))?,
            Writing::Coco(file) => file.check(index).map(|()| None)?,
        };
        self.results.check(index, &suffix.map(str::to_owned).into_iter().collect::<Vec<_>>())
    }

    /// Writes the results of picture number `index`. Returns one line for the user for each file.
    pub fn write(
        &mut self,
        index: usize,
        image: &RgbImage,
        masks: &[GeneratedMask],
        model: &str,
    ) -> Result<Vec<String>, String> {
        let decoded: Vec<Mask> = masks.iter().map(|found| found.mask.to_mask()).collect();
        let mut messages = Vec::new();
        match &mut self.writing {
            Writing::Labels => {
                let line = self.results.write(index, "_labels.png", &labels(&decoded, image.dimensions())?)?;
                let count = if terminal::interactive() { count(masks.len()) } else { String::new() };
                messages.extend(line.map(|line| line + &count));
            }
            Writing::Sa1b(sa1b) => {
                let line = format!("{}\n", sa1b.document(index, image.dimensions(), masks)?);
                messages.extend(self.results.write_line(index, ".json", &line)?);
            }
            Writing::Coco(file) => {
                let annotations = annotations(masks, file.next_id());
                file.add(index, image.dimensions(), model, annotations, self.results.writer())?;
            }
        }
        let decoded: Vec<&Mask> = decoded.iter().collect();
        messages.extend(self.results.write_overlay(index, || draw_segments(image, &decoded))?);
        Ok(messages)
    }

    /// Completes the files and prints the name of a single file for all pictures.
    pub fn finish(&mut self) -> Result<(), String> {
        self.results.finish();
        match &mut self.writing {
            Writing::Coco(file) => file.finish(),
            Writing::Labels | Writing::Sa1b(_) => Ok(()),
        }
    }
}

/// Returns the number of masks, for a terminal.
fn count(masks: usize) -> String {
    format!("  {}", terminal::bold(if masks == 1 { "1 mask".to_owned() } else { format!("{masks} masks") }))
}

/// Encodes the numbers of the masks as a grey PNG file of 16 bits.
fn labels(masks: &[Mask], (width, height): (u32, u32)) -> Result<Vec<u8>, String> {
    if masks.len() > usize::from(u16::MAX) {
        return Err(format!("{} masks, at most 65535 have a label; choose another --format", masks.len()));
    }
    let numbered: Vec<(u32, &Mask)> = (1..).zip(masks).collect();
    let pixels = match masks {
        [] => vec![0; width as usize * height as usize],
        _ => label_image(&numbered),
    };
    let image = ImageBuffer::<Luma<u16>, _>::from_raw(width, height, pixels);
    png(&DynamicImage::ImageLuma16(image.ok_or("the masks and their image differ in size")?))
}

/// Returns the annotations of COCO, with what the generator knows about each mask. `first_id` is the id of the first
/// annotation.
fn annotations(masks: &[GeneratedMask], first_id: usize) -> Vec<Value> {
    let annotation = |found: &GeneratedMask| {
        let score = found.predicted_iou * found.stability_score;
        let mut annotation = coco::annotation(&found.mask, tight_box(found), score);
        annotation["predicted_iou"] = json!(rounded(found.predicted_iou));
        annotation["stability_score"] = json!(rounded(found.stability_score));
        annotation["point_coords"] = json!([found.point]);
        if let Some(whole) = found.part_of {
            annotation["part_of"] = json!(first_id + whole);
        }
        annotation
    };
    masks.iter().map(annotation).collect()
}
