//! CVAT 1.1 (<https://docs.cvat.ai/docs/manual/advanced/xml_format/>): masks of images, and tracks of polygons in a video.

use std::collections::BTreeMap;

use promptseg::label::yolo::single_outline;
use promptseg::pixels::Mask;

use super::dataset::{Dataset, image_name, named};
use crate::xml::escaped;

const IMAGES: &str = "cvat_images.xml";
const VIDEO: &str = "cvat_video.xml";
/// Shapes that are collected in one reading of the records, so that a long recording fits into memory.
const SHAPES: usize = 20_000;

/// Writes both files.
pub fn write(dataset: &Dataset<'_>) -> Result<(), String> {
    let survey = Survey::of(dataset)?;
    write_images(dataset, &survey)?;
    write_video(dataset, &survey)
}

/// What the heads of the files list.
#[derive(Default)]
struct Survey {
    /// Number of frames.
    frames: usize,
    /// Width and height of the first frame in pixels.
    size: (u32, u32),
    /// Class and number of frames of each object.
    objects: BTreeMap<u32, (String, usize)>,
}

impl Survey {
    fn of(dataset: &Dataset<'_>) -> Result<Survey, String> {
        let mut survey = Survey::default();
        dataset.records(&mut |record| {
            if survey.frames == 0 {
                survey.size = record.size;
            }
            survey.frames += 1;
            for object in &record.objects {
                let (class, count) = survey.objects.entry(object.object).or_default();
                if class.is_empty() {
                    class.clone_from(&object.class);
                }
                *count += 1;
            }
            Ok(())
        })?;
        Ok(survey)
    }
}

/// Returns the head of a file. `shape` is the type of the labels, `mode` that of the task.
fn head(dataset: &Dataset<'_>, survey: &Survey, mode: &str, shape: &str) -> String {
    let (width, height) = survey.size;
    let label = |class: &String| {
        let name = escaped(class);
        format!("        <label><name>{name}</name><type>{shape}</type><attributes></attributes></label>\n")
    };
    let labels: String = dataset.classes.iter().map(label).collect();
    let (count, stop) = (survey.frames, survey.frames.saturating_sub(1));
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n      \
         <size>{count}</size>\n      <mode>{mode}</mode>\n      <start_frame>0</start_frame>\n      \
         <stop_frame>{stop}</stop_frame>\n      <labels>\n{labels}      </labels>\n      <original_size>\n        \
         <width>{width}</width>\n        <height>{height}</height>\n      </original_size>\n    </task>\n  </meta>\n"
    )
}

/// Writes the masks of each image, as run lengths. A mask's group is the number of its object.
fn write_images(dataset: &Dataset<'_>, survey: &Survey) -> Result<(), String> {
    let mut file = dataset.store.create(IMAGES)?;
    file.write(head(dataset, survey, "annotation", "mask").as_bytes())?;
    let mut id = 0;
    dataset.records(&mut |record| {
        let (width, height) = record.size;
        let name = escaped(&format!("{}/{}", record.split.name(), image_name(record)));
        let mut text = format!("  <image id=\"{id}\" name=\"{name}\" width=\"{width}\" height=\"{height}\">\n");
        id += 1;
        for object in &record.objects {
            let mask = record.mask(object)?;
            let [left, top, width, height] = object.bbox;
            text.push_str(&format!(
                "    <mask label=\"{}\" source=\"auto\" occluded=\"0\" rle=\"{}\" left=\"{left}\" top=\"{top}\" \
                 width=\"{width}\" height=\"{height}\" z_order=\"0\" group_id=\"{}\"></mask>\n",
                escaped(named(&object.class)),
                box_runs(&mask),
                object.object,
            ));
        }
        text.push_str("  </image>\n");
        file.write(text.as_bytes())
    })?;
    file.write(b"</annotations>\n")?;
    file.finish()
}

/// Returns the lengths of the runs in the tight box of a mask, row by row, the first outside the mask.
fn box_runs(mask: &Mask) -> String {
    let mut runs: Vec<usize> = mask.cropped.chunk_by(|a, b| a == b).map(<[u8]>::len).collect();
    if mask.cropped.first().is_some_and(|first| *first != 0) {
        runs.insert(0, 0);
    }
    runs.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// A track that is written.
#[derive(Default)]
struct Track {
    text: String,
    /// Last frame with a shape, and its points; none after the object was hidden.
    last: Option<(usize, String)>,
}

impl Track {
    fn shape(&mut self, frame: usize, points: &str, is_outside: bool) {
        let outside = u8::from(is_outside);
        self.text.push_str(&format!(
            "    <polygon frame=\"{frame}\" keyframe=\"1\" outside=\"{outside}\" occluded=\"0\" points=\"{points}\" \
             z_order=\"0\"></polygon>\n"
        ));
    }

    /// Hides the object on the frame after its last one, if it is not on that frame.
    fn hide_before(&mut self, frame: usize) {
        if let Some((last, points)) = self.last.take_if(|(last, _)| *last + 1 < frame) {
            self.shape(last + 1, &points, true);
        }
    }
}

/// Writes a track for each object. A frame is numbered by its place among the images.
fn write_video(dataset: &Dataset<'_>, survey: &Survey) -> Result<(), String> {
    let mut file = dataset.store.create(VIDEO)?;
    file.write(head(dataset, survey, "interpolation", "polygon").as_bytes())?;
    let mut rest: Vec<(&u32, &(String, usize))> = survey.objects.iter().collect();
    while !rest.is_empty() {
        let mut shapes = 0;
        let fitting = rest.iter().take_while(|(_, (_, count))| {
            shapes += count;
            shapes <= SHAPES
        });
        let count = fitting.count().max(1);
        let mut tracks: BTreeMap<u32, Track> = rest[..count].iter().map(|(id, _)| (**id, Track::default())).collect();
        let mut frame = 0;
        dataset.records(&mut |record| {
            for object in &record.objects {
                if let Some(track) = tracks.get_mut(&object.object) {
                    track.hide_before(frame);
                    let points = points(&record.mask(object)?);
                    track.shape(frame, &points, false);
                    track.last = Some((frame, points));
                }
            }
            frame += 1;
            Ok(())
        })?;
        for (id, (class, _)) in rest.drain(..count) {
            let Some(mut track) = tracks.remove(id) else { continue };
            track.hide_before(survey.frames);
            let label = escaped(named(class));
            file.write(format!("  <track id=\"{id}\" label=\"{label}\" source=\"auto\">\n").as_bytes())?;
            file.write(track.text.as_bytes())?;
            file.write(b"  </track>\n")?;
        }
    }
    file.write(b"</annotations>\n")?;
    file.finish()
}

/// Returns the corners of the closed line around a mask.
fn points(mask: &Mask) -> String {
    let corners: Vec<String> = single_outline(mask).iter().map(|(x, y)| format!("{x}.00,{y}.00")).collect();
    corners.join(";")
}
