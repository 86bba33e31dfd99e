//! Corrections that a run is given: edited pictures of masks, and prompts.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use promptseg::label::indexed::read_numbers;
use promptseg::label::record::{FrameRecord, ObjectRecord};
use promptseg::label::{Correction, Corrections, edited_masks, refine};
use promptseg::model::Model;
use promptseg::pixels::{Mask, MaskInput, PixelError, RunLengths, decode_mask_file};

use super::images::Images;
use super::interrupt::Interrupt;
use super::passes::Passes;
use super::plan::Plan;
use super::review::{self, Review};
use super::store::Store;
use crate::pictures::read_file;
use crate::terminal;

/// Corrections of a run, before they are compared with the masks of the data set.
#[derive(Default)]
pub struct Given {
    entries: Corrections,
    pictures: Vec<Picture>,
}

/// A picture with the masks of a frame.
struct Picture {
    path: PathBuf,
    frame: usize,
    kind: PictureKind,
}

enum PictureKind {
    /// The number of the object on each pixel.
    Numbers {
        /// The masks that the picture was made of; none for a picture that is compared with the masks of the data set.
        before: Option<Vec<(u32, RunLengths)>>,
    },
    /// The mask of one object.
    Object(u32),
}

impl Given {
    /// Finds the corrections of `--corrections`, and those in the folder of an earlier `--review`.
    ///
    /// # Errors
    /// A file cannot be read, or has another form.
    pub fn find(corrections: Option<&Path>, review: Option<&Path>) -> Result<Given, String> {
        let mut given = Given::default();
        match corrections {
            Some(folder) if folder.is_dir() => match Review::read(folder)? {
                Some(review) => given.add_review(folder, review)?,
                None => given.add_folder(folder)?,
            },
            Some(file) => given.entries = read_entries(file)?,
            None => {}
        }
        if let Some(folder) = review
            && corrections != Some(folder)
            && let Some(review) = Review::read(folder)?
        {
            given.add_review(folder, review)?;
        }
        Ok(given)
    }

    /// Adds the pictures and prompts of a folder of an earlier review.
    fn add_review(&mut self, folder: &Path, review: Review) -> Result<(), String> {
        for frame in review.frames {
            let path = folder.join(&frame.masks);
            if !path.is_file() {
                continue;
            }
            let before = Some(frame.masks().map_err(|e| format!("{}: {e}", folder.join(review::INDEX).display()))?);
            self.pictures.push(Picture { path, frame: frame.frame, kind: PictureKind::Numbers { before } });
        }
        let prompts = folder.join(review::PROMPTS);
        if prompts.is_file() {
            read_entries(&prompts)?.iter().for_each(|entry| self.entries.set(entry.clone()));
        }
        Ok(())
    }

    /// Adds the pictures of a folder: `000030.png` with the numbers of all objects, `000030_2.png` with the mask of object 2.
    fn add_folder(&mut self, folder: &Path) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
            .map_err(failed)?
            .map(|e| Ok(e?.path()))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        paths.sort();
        for path in paths {
            let Some((frame, kind)) = named(&path) else {
                let name = path.display();
                terminal::warn(format!("{name} is not used; expected names as 000030.png or 000030_2.png"));
                continue;
            };
            self.pictures.push(Picture { path, frame, kind });
        }
        Ok(())
    }

    /// Returns the corrections that the data set does not have yet, prompts decoded. None if the run was interrupted.
    ///
    /// # Errors
    /// A picture cannot be read or has another size than its frame, a prompt does not fit, or the model fails.
    pub fn resolve(
        self,
        passes: &Passes<'_>,
        plan: &Plan,
        store: &Store,
        interrupt: &Interrupt,
        model: &mut Model,
    ) -> Result<Option<Vec<Correction>>, String> {
        let frames: BTreeSet<usize> =
            self.entries.iter().map(|entry| entry.frame).chain(self.pictures.iter().map(|p| p.frame)).collect();
        if frames.is_empty() {
            return Ok(Some(Vec::new()));
        }
        for missing in frames.iter().filter(|frame| plan.index(**frame).is_none()) {
            terminal::warn(format!("the corrections of frame {missing} are not used: the run does not have the frame"));
        }
        let classes = classes(passes)?;
        let prompted = self.entries.iter().filter(|entry| !entry.has_mask()).map(|entry| entry.frame);
        let images = Images::new(plan, store, interrupt, BTreeSet::from_iter(prompted).into_iter().collect());
        let mut resolver = Resolver { known: passes.corrections(), classes, images, model, new: Vec::new() };
        let mut is_whole = true;
        passes.each(&mut |_, record| {
            if !frames.contains(&record.frame) || !is_whole {
                return Ok(());
            }
            if record.fault.is_some() {
                terminal::warn(format!("the corrections of frame {} are not used: it has no image", record.frame));
                return Ok(());
            }
            for picture in self.pictures.iter().filter(|picture| picture.frame == record.frame) {
                let failed = |e: String| format!("{}: {e}", picture.path.display());
                resolver.picture(record, picture).map_err(failed)?;
            }
            for entry in self.entries.on(record.frame) {
                let failed =
                    |e: String| format!("the correction of object {} on frame {}: {e}", entry.object, entry.frame);
                is_whole &= resolver.entry(record, entry).map_err(failed)?;
            }
            Ok(())
        })?;
        Ok(is_whole.then_some(resolver.new))
    }
}

/// Compares corrections with the masks of the data set.
struct Resolver<'a> {
    known: &'a Corrections,
    /// Class of each object.
    classes: BTreeMap<u32, String>,
    images: Images<'a>,
    model: &'a mut Model,
    new: Vec<Correction>,
}

impl Resolver<'_> {
    fn class(&self, record: &FrameRecord, object: u32) -> String {
        let here = record.object(object).map(|known| &known.class);
        here.filter(|class| !class.is_empty()).or_else(|| self.classes.get(&object)).cloned().unwrap_or_default()
    }

    /// Takes an entry of a file. Returns false if the run was interrupted.
    fn entry(&mut self, record: &FrameRecord, entry: &Correction) -> Result<bool, String> {
        let known = self.known.get(entry.frame, entry.object);
        let mut correction = entry.clone();
        if correction.class.is_empty() {
            correction.class = self.class(record, entry.object);
        }
        if entry.has_mask() {
            let (width, height) = record.size;
            if entry.run_lengths(record.size).is_none() {
                let [mask_height, mask_width] = entry.mask_size().unwrap_or_default();
                return Err(format!("a mask of {mask_width}x{mask_height} pixels, expected {width}x{height}"));
            }
        } else if known.is_some_and(|known| known.has_prompt_of(entry)) {
            // An earlier run decoded the prompt.
            return Ok(true);
        } else {
            let Some(image) = self.images.load(record)? else { return Ok(false) };
            let before = record.object(entry.object).map(|object| record.mask(object)).transpose()?;
            let refined = refine(self.model, &image, &entry.prompt()?, before.as_ref());
            let (mask, iou) = refined.map_err(|e| e.to_string())?;
            correction = correction.decoded(&mask, iou);
        }
        if known != Some(&correction) {
            self.new.push(correction);
        }
        Ok(true)
    }

    /// Takes the masks that a person changed in a picture.
    fn picture(&mut self, record: &FrameRecord, picture: &Picture) -> Result<(), String> {
        let content = std::fs::read(&picture.path).map_err(|e| e.to_string())?;
        let masks = match &picture.kind {
            PictureKind::Object(object) => {
                let mask = object_mask(&content, record.size)?;
                let before = record.object(*object).map(|known| record.run_lengths(known)).transpose()?;
                let is_same = before.is_some_and(|before| before == RunLengths::of(&mask));
                if is_same { Vec::new() } else { vec![(*object, mask)] }
            }
            PictureKind::Numbers { before } => {
                let edited = read_numbers(&content)?;
                check_size((edited.width, edited.height), record.size)?;
                let before: Vec<(u32, Mask)> = match before {
                    Some(before) => before.iter().map(|(object, runs)| (*object, runs.to_mask())).collect(),
                    None => {
                        let mask = |object: &ObjectRecord| Ok((object.object, record.mask(object)?));
                        record.objects.iter().map(mask).collect::<Result<_, String>>()?
                    }
                };
                edited_masks(&before.iter().map(|(object, mask)| (*object, mask)).collect::<Vec<_>>(), &edited)
            }
        };
        for (object, mask) in masks {
            let known = self.known.get(record.frame, object).and_then(|known| known.run_lengths(record.size));
            if known != Some(RunLengths::of(&mask)) {
                let class = self.class(record, object);
                self.new.push(Correction::of_mask(record.frame, object, class, &mask));
            }
        }
        Ok(())
    }
}

fn read_entries(file: &Path) -> Result<Corrections, String> {
    let failed = |e: String| format!("{}: {e}", file.display());
    let text = String::from_utf8(read_file(file)?).map_err(|e| failed(e.to_string()))?;
    Corrections::parse(&text).map_err(failed)
}

/// Returns frame and kind of a picture by its name; none for other names.
fn named(path: &Path) -> Option<(usize, PictureKind)> {
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    let stem = path.file_stem().and_then(OsStr::to_str).filter(|_| is_png)?;
    match stem.split_once('_') {
        None => Some((stem.parse().ok()?, PictureKind::Numbers { before: None })),
        Some((frame, object)) => Some((frame.parse().ok()?, PictureKind::Object(object.parse().ok()?))),
    }
}

/// Reads the mask of one object; a picture without any pixel inside is an empty mask.
fn object_mask(content: &[u8], size: (u32, u32)) -> Result<Mask, String> {
    match decode_mask_file(content) {
        Ok(MaskInput::Binary { width, height, data }) => {
            check_size((width, height), size)?;
            Mask::from_data(width, height, &data).ok_or_else(|| "no mask".to_owned())
        }
        Ok(MaskInput::Logits { .. }) => Err("logits, expected a picture".to_owned()),
        Err(PixelError::EmptyMask { .. }) => Ok(Mask::empty(size.0, size.1)),
        Err(e) => Err(e.to_string()),
    }
}

fn check_size(found: (u32, u32), expected: (u32, u32)) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{}x{} pixels, expected {}x{}", found.0, found.1, expected.0, expected.1))
}

/// Returns the class of each object: the first that is not empty.
fn classes(passes: &Passes<'_>) -> Result<BTreeMap<u32, String>, String> {
    let mut classes = BTreeMap::new();
    passes.each(&mut |_, record| {
        for object in record.objects.iter().filter(|object| !object.class.is_empty()) {
            classes.entry(object.object).or_insert_with(|| object.class.clone());
        }
        Ok(())
    })?;
    Ok(classes)
}
