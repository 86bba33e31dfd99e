//! Masks leave: PNG, numpy, COCO's run lengths, polygons, JSON.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use promptseg::model::{Candidate, Decoded};
use promptseg::pixels::{Mask, OverlayObject, coco_counts, coco_string, contours, draw_overlay};
use serde_json::{Value, json};

use super::{Answer, Arguments, Origin, pictures};
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

pub enum Target {
    Folder(PathBuf),
    File(PathBuf),
    Stdout,
}

/// Files that were given, which are never written over.
pub struct Given(Vec<PathBuf>);

impl Given {
    pub fn of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Given(files.into_iter().filter_map(|file| file.canonicalize().ok()).collect())
    }

    pub fn check(&self, file: &Path) -> Result<(), String> {
        match file.canonicalize().is_ok_and(|file| self.0.contains(&file)) {
            true => Err(format!("{} was given and stays as it is; give another --out", file.display())),
            false => Ok(()),
        }
    }

    /// Writes a file that was not given.
    pub fn save(&self, file: &Path, content: &[u8]) -> Result<(), String> {
        self.check(file)?;
        std::fs::write(file, content).map_err(|e| format!("cannot write {}: {e}", file.display()))
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
    names: Vec<String>,
    given: Given,
    /// The text of a single file, which is written whole or not at all.
    text: RefCell<String>,
}

impl Output {
    pub fn plan(arguments: &Arguments, pictures: &[PathBuf], objects: usize) -> Result<Output, Failure> {
        let format = arguments.format;
        let target = target(format.extensions(), format.is_text(), arguments.out.as_deref()).map_err(Failure::Usage)?;
        let alone = match format {
            Format::Png => pictures.len() == 1 && objects == 1 && !arguments.all,
            Format::Npy => pictures.len() == 1,
            _ => true,
        };
        if !alone && !matches!(target, Target::Folder(_)) {
            let one = if format == Format::Png { "one mask of one picture" } else { "the masks of one picture" };
            return Err(Failure::Usage(format!("a single file holds {one}; give --out a folder")));
        }
        let folder = match &target {
            Target::Folder(folder) => folder.clone(),
            Target::File(file) => file.parent().map_or_else(PathBuf::new, Path::to_owned),
            Target::Stdout => PathBuf::new(),
        };
        let writes = arguments.overlay || !matches!(target, Target::Stdout);
        if writes && !folder.as_os_str().is_empty() {
            std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let named = arguments.overlay || matches!(target, Target::Folder(_));
        Ok(Output {
            format,
            all: arguments.all,
            target,
            overlay: arguments.overlay.then_some(folder),
            names: if named { pictures::names(pictures)? } else { Vec::new() },
            given: Given::of(pictures.iter().chain(&arguments.prompts.mask)),
            text: RefCell::default(),
        })
    }

    /// Writes the answer to picture number `index`; what to tell the user comes back, a line a file.
    pub fn write(&self, index: usize, path: &Path, answer: &Answer, origin: &Origin) -> Result<Vec<String>, String> {
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
                    Target::File(_) => self.text.borrow_mut().push_str(&line),
                    Target::Folder(_) => self.write_bytes(index, ".json", line.as_bytes(), &mut said)?,
                }
            }
        }
        if let Some(folder) = &self.overlay {
            let file = folder.join(format!("{}_overlay.png", self.names[index]));
            self.given.save(&file, &png(&overlay(answer).into())?)?;
            if !matches!(self.target, Target::Stdout) {
                said.push(file.display().to_string());
            }
        }
        Ok(said)
    }

    /// The single file of all pictures.
    pub fn finish(&self) -> Result<(), String> {
        let text = self.text.borrow();
        match &self.target {
            Target::File(file) if self.format.is_text() && !text.is_empty() => {
                self.given.save(file, text.as_bytes())?;
                terminal::print(file.display());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn write_png(&self, index: usize, answer: &Answer, said: &mut Vec<String>) -> Result<(), String> {
        for (object, decoded) in answer.objects.iter().enumerate() {
            for candidate in Answer::candidates(decoded) {
                let mut suffix = "_mask".to_owned();
                if answer.objects.len() > 1 {
                    suffix.push_str(&format!("_{}", object + 1));
                }
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
            Target::Folder(folder) => folder.join(format!("{}{suffix}", self.names[index])),
        };
        self.given.save(&file, content)?;
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
            "image": path,
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

/// Where a format goes whose files have one of these extensions; text goes to the standard output by itself.
pub fn target(known: &[&str], is_text: bool, out: Option<&Path>) -> Result<Target, String> {
    let Some(out) = out else {
        return Ok(if is_text { Target::Stdout } else { Target::Folder(PathBuf::new()) });
    };
    if out.as_os_str() == "-" {
        return Ok(Target::Stdout);
    }
    let slash = out.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
    match out.extension() {
        Some(extension) if !slash && !out.is_dir() && !known.is_empty() => {
            if known.iter().any(|known| extension.eq_ignore_ascii_case(known)) {
                return Ok(Target::File(out.to_owned()));
            }
            let list = known.iter().map(|e| format!(".{e}")).collect::<Vec<_>>().join(" or ");
            Err(format!("--out {}: this format goes into a {list} file, or a folder with / at its end", out.display()))
        }
        _ => Ok(Target::Folder(out.to_owned())),
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
