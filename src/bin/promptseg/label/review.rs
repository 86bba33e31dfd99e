//! The folder of `--review`: the frames with the worst masks, as pictures, as a page, and as JSON. Masks that a person edits
//! in it are the corrections of the next run.

use std::collections::BTreeMap;
use std::path::Path;

use promptseg::label::indexed::{MAX_OBJECT, indexed_png};
use promptseg::label::overlay;
use promptseg::label::record::{FrameRecord, ObjectRecord, run_lengths};
use promptseg::pixels::{Mask, RunLengths, encode_jpeg};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::images::Images;
use super::passes::Passes;
use super::store::{frame_name, write_whole};
use crate::files::{if_there, is_empty, make_folder};
use crate::formats::rounded;
use crate::xml::escaped;

/// File that lists the frames.
pub const INDEX: &str = "review.json";
/// File of a person's prompts.
pub const PROMPTS: &str = "prompts.json";
const PAGE: &str = "index.html";
const OVERLAYS: &str = "overlays";
const MASKS: &str = "masks";
/// Quality of the overlays.
const QUALITY: u8 = 85;

/// The frames of a review.
#[derive(Deserialize)]
pub struct Review {
    pub frames: Vec<ReviewedFrame>,
}

/// A frame of a review, as far as corrections need it.
#[derive(Deserialize)]
pub struct ReviewedFrame {
    pub frame: usize,
    width: u32,
    height: u32,
    /// Picture with the number of the object on each pixel.
    pub masks: String,
    objects: Vec<ReviewedObject>,
}

#[derive(Deserialize)]
struct ReviewedObject {
    object: u32,
    segmentation: Segmentation,
}

#[derive(Serialize, Deserialize)]
struct Segmentation {
    /// Height and width of the image in pixels.
    size: [u32; 2],
    counts: String,
}

impl Review {
    /// Reads the review of an earlier run; none if the folder has none.
    ///
    /// # Errors
    /// The file cannot be read, or has another form.
    pub fn read(folder: &Path) -> Result<Option<Review>, String> {
        let path = folder.join(INDEX);
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let content = if_there(std::fs::read(&path)).map_err(|e| failed(&e))?;
        content.map(|content| serde_json::from_slice(&content)).transpose().map_err(|e| failed(&e))
    }
}

impl ReviewedFrame {
    /// Returns the masks that the picture was made of.
    ///
    /// # Errors
    /// A mask is no run lengths of the frame's size.
    pub fn masks(&self) -> Result<Vec<(u32, RunLengths)>, String> {
        let mask = |object: &ReviewedObject| {
            let wrong = || format!("frame {}, object {}: no run lengths", self.frame, object.object);
            let runs = run_lengths(&object.segmentation.counts, (self.width, self.height)).ok_or_else(wrong)?;
            Ok((object.object, runs))
        };
        self.objects.iter().map(mask).collect()
    }
}

/// Checks that a folder is empty or that of a review.
///
/// # Errors
/// The folder has other files.
pub fn check_folder(folder: &Path) -> Result<(), String> {
    let is_empty = is_empty(folder).map_err(|e| format!("--review {}: {e}", folder.display()))?;
    if is_empty || folder.join(INDEX).is_file() || folder.join(OVERLAYS).is_dir() {
        return Ok(());
    }
    let folder = folder.display();
    Err(format!("--review {folder}: found other files, expected an empty folder or that of an earlier review"))
}

/// Score of an object: predicted IoU and stability, as the automatic mask generator ranks masks.
fn object_score(object: &ObjectRecord) -> f32 {
    object.iou * object.stability
}

/// Returns the lowest score of a frame's objects; none without objects.
fn frame_score(record: &FrameRecord) -> Option<f32> {
    record.objects.iter().map(object_score).min_by(f32::total_cmp)
}

/// Returns the ranks, from 1, of the frames of a review, by their indices: those with the lowest scores.
///
/// # Errors
/// A record cannot be read.
pub fn ranks(passes: &Passes<'_>, count: usize) -> Result<BTreeMap<usize, usize>, String> {
    let mut scores: Vec<(f32, usize)> = Vec::new();
    passes.each(&mut |at, record| {
        scores.extend(frame_score(record).map(|score| (score, at)));
        Ok(())
    })?;
    scores.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    Ok(scores.into_iter().take(count).zip(1..).map(|((_, at), rank)| (at, rank)).collect())
}

/// Writes a review of the frames with these ranks. The review of an earlier run is replaced. `has_times`: the stamps are times.
/// Returns false if the run was interrupted.
///
/// # Errors
/// A record or an image cannot be read, or a file cannot be written.
pub fn write(
    folder: &Path,
    passes: &Passes<'_>,
    images: &Images<'_>,
    ranks: &BTreeMap<usize, usize>,
    has_times: bool,
) -> Result<bool, String> {
    // First the list: without it, no picture is compared with the masks of an earlier run.
    remove(&folder.join(INDEX), |path| std::fs::remove_file(path))?;
    for part in [OVERLAYS, MASKS] {
        let part = folder.join(part);
        remove(&part, |path| std::fs::remove_dir_all(path))?;
        make_folder(&part)?;
    }
    let mut frames = BTreeMap::new();
    let mut is_whole = true;
    passes.each(&mut |at, record| {
        let Some(rank) = ranks.get(&at).filter(|_| is_whole) else { return Ok(()) };
        let Some(image) = images.load(record)? else {
            is_whole = false;
            return Ok(());
        };
        let picture = overlay(&image, record)?;
        let jpeg = encode_jpeg(&picture, QUALITY).map_err(|e| format!("image {}: {e}", record.frame))?;
        let name = frame_name(record.frame);
        let files = [format!("{OVERLAYS}/{rank:04}_{name}.jpg"), format!("{MASKS}/{name}.png")];
        let mut masks = Vec::new();
        for object in record.objects.iter().filter(|object| object.object <= MAX_OBJECT) {
            masks.push((object.object, record.mask(object)?));
        }
        let masks: Vec<(u32, &Mask)> = masks.iter().map(|(object, mask)| (*object, mask)).collect();
        write_whole(&folder.join(&files[0]), &jpeg)?;
        write_whole(&folder.join(&files[1]), &indexed_png(&masks, record.size)?)?;
        frames.insert(*rank, entry(*rank, record, files, has_times));
        Ok(())
    })?;
    if !is_whole {
        return Ok(false);
    }
    let frames: Vec<serde_json::Value> = frames.into_values().collect();
    write_whole(&folder.join(PAGE), page(&frames).as_bytes())?;
    let text = format!("{:#}\n", json!({ "frames": frames }));
    write_whole(&folder.join(INDEX), text.as_bytes())?;
    Ok(true)
}

/// Removes a part of an earlier review, if there is one.
fn remove(path: &Path, remove: impl Fn(&Path) -> std::io::Result<()>) -> Result<(), String> {
    if_there(remove(path)).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(())
}

/// Describes a frame for the list.
fn entry(rank: usize, record: &FrameRecord, [overlay, masks]: [String; 2], has_times: bool) -> serde_json::Value {
    let (width, height) = record.size;
    let object = |object: &ObjectRecord| {
        json!({
            "object": object.object,
            "class": object.class,
            "source": object.source,
            "score": rounded(object_score(object)),
            "iou": rounded(object.iou),
            "stability": rounded(object.stability),
            "area": object.area,
            "bbox": object.bbox,
            "segmentation": Segmentation { size: [height, width], counts: object.counts.clone() },
        })
    };
    json!({
        "rank": rank,
        "frame": record.frame,
        "stamp": has_times.then(|| record.stamp().to_string()),
        "picture": record.picture,
        "score": rounded(frame_score(record).unwrap_or_default()),
        "width": width,
        "height": height,
        "overlay": overlay,
        "masks": masks,
        "objects": record.objects.iter().map(object).collect::<Vec<_>>(),
    })
}

const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>promptseg: review</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222; }
section { display: flex; flex-wrap: wrap; gap: 1.5em; border-top: 1px solid #ccc; padding: 1em 0; }
img { max-width: 100%; width: 40em; height: auto; }
td, th { text-align: left; padding: 0 1em 0 0; }
</style>
<h1>Frames with the lowest scores</h1>
<p>The score of a mask is its predicted IoU times its stability; the score of a frame is that of its worst mask. To correct a frame,
edit its file of masks: each pixel has the colour of its object's number. Or write points and boxes into prompts.json beside this page. The
next run with the same folder takes the corrections.</p>
";

/// Returns the page for people.
fn page(frames: &[serde_json::Value]) -> String {
    let mut page = HEAD.to_owned();
    let text = |value: &serde_json::Value| escaped(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    for frame in frames {
        let [rank, number, score, picture, masks] =
            ["rank", "frame", "score", "overlay", "masks"].map(|key| text(&frame[key]));
        let place = ["stamp", "picture"].iter().filter(|key| frame[**key].is_string());
        let place: String = place.map(|key| format!("{}. ", text(&frame[*key]))).collect();
        page.push_str(&format!(
            "<section>\n<a href=\"{picture}\"><img loading=\"lazy\" src=\"{picture}\" alt=\"frame {number}\"></a>\n<div>\n\
             <h2>{rank}. Frame {number}: {score}</h2>\n<p>{place}Masks: <a href=\"{masks}\">{masks}</a></p>\n\
             <table>\n<tr><th>Object<th>Class<th>Source<th>Score\n"
        ));
        for object in frame["objects"].as_array().into_iter().flatten() {
            let [number, class, source, score] = ["object", "class", "source", "score"].map(|key| text(&object[key]));
            page.push_str(&format!("<tr><td>{number}<td>{class}<td>{source}<td>{score}\n"));
        }
        page.push_str("</table>\n</div>\n</section>\n");
    }
    page
}
