//! Masks leave: PNG, numpy, COCO's run lengths, polygons, JSON.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use promptseg::model::{Candidate, Decoded};
use promptseg::pixels::{Mask, OverlayObject, coco_counts, coco_string, contours, draw_overlay};
use serde_json::{Value, json};

use super::{Answer, Arguments, Origin, pictures};
use crate::files::{Lines, Target, Writer, make_folder, named};
use crate::{Failure, short, terminal};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Grey pictures of the image's size: 255 inside, 0 outside.
    Png,
    /// COCO's compressed run lengths, as pycocotools writes them.
    CocoRle,
    /// Contours along the borders of pixels, as COCO writes them; holes apart.
    Polygon,
    /// Everything: scores, boxes, areas, candidates, times, run lengths.
    Json,
    /// A numpy array of booleans, [masks, height, width].
    Npy,
}

impl Format {
    fn extensions(self) -> &'static [&'static str] {
        match self {
            Format::Png => &["png"],
            Format::Npy => &["npy"],
            _ => &["json", "jsonl"],
        }
    }

    /// One line a picture.
    fn is_text(self) -> bool {
        !matches!(self, Format::Png | Format::Npy)
    }
}

/// What goes where.
pub struct Output {
    format: Format,
    all: bool,
    target: Target,
    /// Folder of the overlays.
    overlay: Option<PathBuf>,
    /// Of the answers, one a picture; empty where no file is named after a picture.
    names: Vec<OsString>,
    /// Number of objects in each picture.
    objects: usize,
    writer: Writer,
    /// The single file of all pictures.
    lines: Lines,
}

impl Output {
    pub fn plan(arguments: &Arguments, pictures: &[PathBuf], objects: usize) -> Result<Output, Failure> {
        let format = arguments.format;
        let out = arguments.out.as_deref();
        let target = Target::of(format.extensions(), format.is_text(), out).map_err(Failure::Usage)?;
        let alone = match format {
            Format::Png => pictures.len() == 1 && objects == 1 && !arguments.all,
            Format::Npy => pictures.len() == 1,
            _ => true,
        };
        if !alone && !matches!(target, Target::Folder(_)) {
            let one = if format == Format::Png { "one mask of one picture" } else { "the masks of one picture" };
            return Err(Failure::Usage(format!("a single file holds {one}; give --out a folder")));
        }
        let folder = target.folder();
        let writer = Writer::new(pictures.iter().chain(&arguments.prompts.mask), arguments.overwrite);
        if let Target::File(file) = &target {
            writer.check(file)?;
        }
        make_folder(&folder)?;
        let named = arguments.overlay || matches!(target, Target::Folder(_));
        Ok(Output {
            format,
            all: arguments.all,
            target,
            overlay: arguments.overlay.then_some(folder),
            names: if named { pictures::names(pictures)? } else { Vec::new() },
            objects,
            writer,
            lines: Lines::default(),
        })
    }

    /// Refuses a picture whose files may not be written, before it is segmented. What `--all` writes is known only then.
    pub fn check(&self, index: usize) -> Result<(), String> {
        let mut files = Vec::new();
        if let Target::Folder(folder) = &self.target {
            let suffixes = match self.format {
                Format::Png if self.all => Vec::new(),
                Format::Png => (1..=self.objects).map(|object| format!("{}.png", self.mask_suffix(object))).collect(),
                Format::Npy => vec!["_mask.npy".to_owned()],
                _ => vec![".json".to_owned()],
            };
            files.extend(suffixes.iter().map(|suffix| named(folder, &self.names[index], suffix)));
        }
        files.extend(self.overlay_file(index));
        files.iter().try_for_each(|file| self.writer.check(file))
    }

    fn overlay_file(&self, index: usize) -> Option<PathBuf> {
        self.overlay.as_ref().map(|folder| named(folder, &self.names[index], "_overlay.png"))
    }

    /// `_mask` of the only object, `_mask_2` of the second of several.
    fn mask_suffix(&self, object: usize) -> String {
        if self.objects > 1 { format!("_mask_{object}") } else { "_mask".to_owned() }
    }

    /// Writes the answer to picture number `index`; what to tell the user comes back, a line a file.
    pub fn write(
        &mut self,
        index: usize,
        path: &Path,
        answer: &Answer,
        origin: &Origin,
    ) -> Result<Vec<String>, String> {
        let mut said = Vec::new();
        match self.format {
            Format::Png => self.write_png(index, answer, &mut said)?,
            Format::Npy => {
                let content = npy(answer)?;
                self.write_bytes(index, "_mask.npy", &content, &mut said)?;
            }
            _ => {
                let line = format!("{}\n", self.line(path, answer, origin));
                match &self.target {
                    Target::Stdout => terminal::write(line.as_bytes()),
                    Target::File(file) => self.lines.push(file, &self.writer, &line)?,
                    Target::Folder(_) => self.write_bytes(index, ".json", line.as_bytes(), &mut said)?,
                }
            }
        }
        if let Some(file) = self.overlay_file(index) {
            self.writer.save(&file, &png(&overlay(answer).into())?)?;
            if !matches!(self.target, Target::Stdout) {
                said.push(file.display().to_string());
            }
        }
        Ok(said)
    }

    /// Names the single file of all pictures.
    pub fn finish(&self) {
        if let (Target::File(file), false) = (&self.target, self.lines.is_empty()) {
            terminal::print(file.display());
        }
    }

    fn write_png(&self, index: usize, answer: &Answer, said: &mut Vec<String>) -> Result<(), String> {
        for (object, decoded) in answer.objects.iter().enumerate() {
            for candidate in Answer::candidates(decoded) {
                let mut suffix = self.mask_suffix(object + 1);
                if self.all {
                    suffix.push_str(&format!("_c{}", candidate.index));
                }
                let mask = &candidate.mask;
                let content = mask_png(mask)?;
                let before = said.len();
                self.write_bytes(index, &format!("{suffix}.png"), &content, said)?;
                if terminal::interactive() {
                    said[before..].iter_mut().for_each(|line| line.push_str(&scores(candidate)));
                }
            }
        }
        Ok(())
    }

    /// Bytes of one picture, into its own file, the only file, or the standard output.
    fn write_bytes(&self, index: usize, suffix: &str, content: &[u8], said: &mut Vec<String>) -> Result<(), String> {
        let file = match &self.target {
            Target::Stdout => {
                terminal::write(content);
                return Ok(());
            }
            Target::File(file) => file.clone(),
            Target::Folder(folder) => named(folder, &self.names[index], suffix),
        };
        self.writer.save(&file, content)?;
        said.push(file.display().to_string());
        Ok(())
    }

    /// One line of JSON.
    fn line(&self, path: &Path, answer: &Answer, origin: &Origin) -> Value {
        let mut masks = Vec::new();
        for (object, decoded) in answer.objects.iter().enumerate() {
            for candidate in Answer::candidates(decoded) {
                masks.push(self.mask(object + 1, decoded, candidate));
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

    fn mask(&self, object: usize, decoded: &Decoded, candidate: &Candidate) -> Value {
        let mask = &candidate.mask;
        let mut value = json!({
            "object": object,
            "candidate": candidate.index,
            "iou": short(candidate.iou),
            "area": mask.area,
            "box": mask.bbox.map(|b| [b.x, b.y, b.width, b.height]),
        });
        if self.format == Format::Polygon {
            let (holes, outer): (Vec<_>, Vec<_>) = contours(mask).into_iter().partition(|contour| contour.hole);
            let flat = |list: Vec<promptseg::pixels::Contour>| -> Vec<Vec<u32>> {
                list.into_iter().map(|c| c.corners.into_iter().flat_map(|(x, y)| [x, y]).collect()).collect()
            };
            value["segmentation"] = json!(flat(outer));
            value["holes"] = json!(flat(holes));
        } else {
            value["segmentation"] = rle(mask);
        }
        if self.format == Format::Json {
            value["best"] = json!(candidate.index == decoded.best.index);
            value["stability"] = json!(short(mask.stability));
            value["candidate_ious"] = json!(decoded.candidate_ious.iter().map(|iou| short(*iou)).collect::<Vec<_>>());
            value["object_score"] = json!(decoded.object_score.map(short));
        }
        value
    }
}

/// Grey: 255 inside, 0 outside.
pub fn mask_png(mask: &Mask) -> Result<Vec<u8>, String> {
    let grey = image::GrayImage::from_raw(mask.width, mask.height, mask.full());
    png(&grey.ok_or("a mask of another size than its image")?.into())
}

pub fn rle(mask: &Mask) -> Value {
    json!({ "size": [mask.height, mask.width], "counts": coco_string(&coco_counts(mask)) })
}

fn scores(candidate: &Candidate) -> String {
    let mask = &candidate.mask;
    let place = mask.bbox.map_or("empty".to_owned(), |b| format!("box {},{} {}x{}", b.x, b.y, b.width, b.height));
    let iou = terminal::bold(format!("IoU {:.3}", candidate.iou));
    format!("  {iou}  stability {:.3}  area {}  {place}", mask.stability, mask.area)
}

fn overlay(answer: &Answer) -> image::RgbImage {
    let mut objects = Vec::new();
    for (i, (decoded, prompt)) in answer.objects.iter().zip(&answer.prompts).enumerate() {
        objects.push(OverlayObject {
            mask: &decoded.best.mask,
            id: i as u32 + 1,
            iou: decoded.best.iou,
            class_id: "",
            points: &prompt.points,
            bbox: prompt.bbox,
        });
    }
    draw_overlay(&answer.image, &objects)
}

pub fn png(image: &image::DynamicImage) -> Result<Vec<u8>, String> {
    let mut content = std::io::Cursor::new(Vec::new());
    image.write_to(&mut content, image::ImageFormat::Png).map_err(|e| e.to_string())?;
    Ok(content.into_inner())
}

/// <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, version 1.0.
fn npy(answer: &Answer) -> Result<Vec<u8>, String> {
    let masks: Vec<&Candidate> = answer.objects.iter().flat_map(Answer::candidates).collect();
    let (width, height) = answer.image.dimensions();
    let shape = format!("({}, {height}, {width})", masks.len());
    let mut header = format!("{{'descr': '|b1', 'fortran_order': False, 'shape': {shape}, }}");
    // Magic, version, length and header together fill whole blocks of 64 bytes.
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| "a numpy header beyond 64 kB")?;
    let mut content = b"\x93NUMPY\x01\x00".to_vec();
    content.extend(length.to_le_bytes());
    content.extend(header.as_bytes());
    for candidate in masks {
        content.extend(candidate.mask.full().iter().map(|v| u8::from(*v != 0)));
    }
    Ok(content)
}
