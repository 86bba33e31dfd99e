//! Writes the masks of each picture in the format that was chosen.

use std::path::{Path, PathBuf};

use promptseg::model::{Candidate, Decoded};
use promptseg::pixels::{Mask, OverlayObject, RunLengths, draw_overlay};
use serde_json::{Value, json};

use super::answer::{Answer, Origin, candidates};
use super::arguments::{Arguments, Format};
use super::in_depth;
use crate::coco::{self, CocoFile};
use crate::failure::Failure;
use crate::files::Target;
use crate::formats::{add_segmentation, mask_png, npy, ply, rounded};
use crate::results::Results;
use crate::terminal;

/// Destination of the results.
pub struct Output {
    format: Format,
    /// Whether every candidate is written.
    all: bool,
    /// Number of objects in each picture; none if each picture has its own.
    objects: Option<usize>,
    results: Results,
    /// Present for the format `coco`.
    coco: Option<CocoFile>,
}

impl Output {
    /// Decides which files the run writes, and creates their folder.
    pub fn plan(arguments: &Arguments, pictures: &[PathBuf], objects: Option<usize>) -> Result<Output, Failure> {
        let format = arguments.format;
        let destination = &arguments.destination;
        let target = Target::from_argument(format.extensions(), format.is_text(), destination.out.as_deref())
            .map_err(Failure::Usage)?;
        let fits_one_file = match format {
            Format::Png => pictures.len() == 1 && objects == Some(1) && !arguments.all,
            Format::Npy | Format::Ply => pictures.len() == 1,
            _ => true,
        };
        if !fits_one_file && !matches!(target, Target::Folder(_)) {
            let most = if format == Format::Png { "one mask of one picture" } else { "the masks of one picture" };
            return Err(Failure::Usage(format!("a single file holds {most}; give --out a folder")));
        }
        let inputs = arguments.prompts.mask.iter().chain(arguments.depth.files());
        let inputs = inputs.chain(arguments.coco.files()).chain(arguments.text.files());
        let results = Results::plan(target, destination, arguments.overlay, pictures, inputs)?;
        let coco = match format {
            Format::Coco => Some(CocoFile::plan(coco::Form::Dataset, &arguments.coco, &results, pictures)?),
            _ => arguments.coco.refuse_unless_used().map(|()| None)?,
        };
        Ok(Output { format, all: arguments.all, objects, results, coco })
    }

    /// Sets the classes of the objects.
    pub fn set_classes(&mut self, classes: Vec<String>) {
        if let Some(coco) = &mut self.coco {
            coco.set_classes(classes);
        }
    }

    /// Refuses a picture whose files must not be written, before the picture is segmented. The files of `--all` and of
    /// `--text` are known only after the picture is segmented.
    pub fn check(&self, index: usize) -> Result<(), String> {
        if let Some(coco) = &self.coco {
            coco.check(index)?;
        }
        let suffixes = match self.format {
            Format::Png if self.all => Vec::new(),
            Format::Png => {
                let objects = 1..=self.objects.unwrap_or(0);
                objects.map(|object| format!("{}.png", self.mask_suffix(object))).collect()
            }
            Format::Npy => vec!["_mask.npy".to_owned()],
            Format::Ply => vec!["_cloud.ply".to_owned()],
            Format::Coco => Vec::new(),
            _ => vec![".json".to_owned()],
        };
        self.results.check(index, &suffixes)
    }

    /// Returns `_mask` for a single object, `_mask_2` for the second of several.
    fn mask_suffix(&self, object: usize) -> String {
        if self.objects == Some(1) { "_mask".to_owned() } else { format!("_mask_{object}") }
    }

    /// Writes the results of picture number `index`. Returns one line for the user for each file.
    pub fn write(
        &mut self,
        index: usize,
        path: &Path,
        answer: &Answer,
        origin: &Origin,
    ) -> Result<Vec<String>, String> {
        let mut messages = Vec::new();
        match self.format {
            Format::Png => self.write_png(index, answer, &mut messages)?,
            Format::Npy => {
                let masks: Vec<&Mask> = answer.objects.iter().flat_map(candidates).map(|c| &c.mask).collect();
                let content = npy(&masks, answer.image.dimensions())?;
                messages.extend(self.results.write(index, "_mask.npy", &content)?);
            }
            Format::Ply => {
                let content = ply(&in_depth::cloud(&answer.in_depth, &answer.image)?);
                messages.extend(self.results.write(index, "_cloud.ply", &content)?);
            }
            Format::Coco => self.write_coco(index, answer, origin)?,
            _ => {
                let line = format!("{}\n", self.line(path, answer, origin));
                messages.extend(self.results.write_line(index, ".json", &line)?);
            }
        }
        messages.extend(self.results.write_overlay(index, || overlay(answer))?);
        Ok(messages)
    }

    /// Completes the files and prints the name of a single file for all pictures.
    pub fn finish(&mut self) -> Result<(), String> {
        self.results.finish();
        self.coco.as_mut().map_or(Ok(()), CocoFile::finish)
    }

    fn write_png(&self, index: usize, answer: &Answer, messages: &mut Vec<String>) -> Result<(), String> {
        for (object, decoded) in answer.objects.iter().enumerate() {
            for candidate in candidates(decoded) {
                let mut suffix = self.mask_suffix(object + 1);
                if self.all {
                    suffix.push_str(&format!("_c{}", candidate.index));
                }
                let content = mask_png(&candidate.mask)?;
                let line = self.results.write(index, &format!("{suffix}.png"), &content)?;
                let class = answer.named.get(object).map(|named| format!("  {}", named.class)).unwrap_or_default();
                let with_scores = |line: String| match terminal::interactive() {
                    true => line + &class + scores(candidate).as_str(),
                    false => line,
                };
                messages.extend(line.map(with_scores));
            }
        }
        Ok(())
    }

    fn write_coco(&mut self, index: usize, answer: &Answer, origin: &Origin) -> Result<(), String> {
        let Some(coco) = &mut self.coco else { return Ok(()) };
        let mut annotations = Vec::new();
        for (object, decoded) in answer.objects.iter().enumerate() {
            for candidate in candidates(decoded) {
                let mask = &candidate.mask;
                let mut annotation = coco::annotation(&RunLengths::of(mask), mask.bbox, candidate.iou);
                annotation["object"] = json!(object + 1);
                annotation["candidate"] = json!(candidate.index);
                if let Some(named) = answer.named.get(object) {
                    annotation["category_id"] = json!(coco.category(&named.class));
                    annotation["detection_score"] = json!(rounded(named.score));
                }
                annotations.push(annotation);
            }
        }
        coco.add(index, answer.image.dimensions(), &origin.model, annotations, self.results.writer())
    }

    /// Returns the line of JSON for a picture.
    fn line(&self, path: &Path, answer: &Answer, origin: &Origin) -> Value {
        let mut masks = Vec::new();
        for (object, decoded) in answer.objects.iter().enumerate() {
            for candidate in candidates(decoded) {
                let mut mask = self.mask(object + 1, decoded, candidate);
                if let Some(named) = answer.named.get(object) {
                    mask["class"] = json!(named.class);
                    mask["detection_score"] = json!(rounded(named.score));
                }
                if let (Format::Json3d, Some(object)) = (self.format, answer.in_depth.get(object)) {
                    mask["metres"] = in_depth::fields(object);
                }
                masks.push(mask);
            }
        }
        let mut line = json!({
            "image": path.to_string_lossy(),
            "size": [answer.image.height(), answer.image.width()],
            "masks": masks,
        });
        if self.format == Format::Json {
            line["model"] = json!(origin.model);
            line["precision"] = json!(origin.encoder.precision);
            line["provider"] = json!(origin.encoder.used);
            let ms = |ms: f64| (ms * 1e3).round() / 1e3;
            line["ms"] = json!({
                "preprocess": ms(answer.encode.preprocess_ms),
                "encode": ms(answer.encode.run_ms),
                "decode": ms(answer.decode.run_ms),
                "postprocess": ms(answer.decode.postprocess_ms),
            });
        }
        line
    }

    /// Returns the JSON of a mask; `object` counts from 1.
    fn mask(&self, object: usize, decoded: &Decoded, candidate: &Candidate) -> Value {
        let mask = &candidate.mask;
        let mut value = json!({
            "object": object,
            "candidate": candidate.index,
            "iou": rounded(candidate.iou),
            "area": mask.area,
            "box": mask.bbox.map(|b| [b.x, b.y, b.width, b.height]),
        });
        add_segmentation(&mut value, mask, self.format == Format::Polygon);
        if self.format == Format::Json {
            value["best"] = json!(candidate.index == decoded.best.index);
            value["stability"] = json!(rounded(mask.stability));
            value["candidate_ious"] = json!(decoded.candidate_ious.iter().map(|iou| rounded(*iou)).collect::<Vec<_>>());
            value["object_score"] = json!(decoded.object_score.map(rounded));
        }
        value
    }
}

/// Describes a mask on a terminal.
fn scores(candidate: &Candidate) -> String {
    let mask = &candidate.mask;
    let place = mask.bbox.map_or("empty".to_owned(), |b| format!("box {},{} {}x{}", b.x, b.y, b.width, b.height));
    let iou = terminal::bold(format!("IoU {:.3}", candidate.iou));
    format!("  {iou}  stability {:.3}  area {}  {place}", mask.stability, mask.area)
}

/// Draws the best masks, the prompts and the scores on the picture.
fn overlay(answer: &Answer) -> image::RgbImage {
    let mut objects = Vec::new();
    for (i, (decoded, prompt)) in answer.objects.iter().zip(&answer.prompts).enumerate() {
        objects.push(OverlayObject {
            mask: &decoded.best.mask,
            id: i as u32 + 1,
            iou: decoded.best.iou,
            class_id: answer.named.get(i).map_or("", |named| named.class.as_str()),
            points: &prompt.points,
            bbox: prompt.bbox,
        });
    }
    draw_overlay(&answer.image, &objects)
}
