//! Writes the image and the record of each frame on a thread of its own.

use std::sync::mpsc::Receiver;

use indicatif::ProgressBar;
use promptseg::label::Labelled;
use promptseg::label::record::{FrameRecord, ObjectRecord};

use super::store::{Store, frame_name};

/// A frame that is labelled and not written yet.
pub struct LabelledFrame {
    /// The record without the objects and the name of the image.
    pub record: FrameRecord,
    pub objects: Vec<Labelled>,
    /// Extension and content of the image's file; none without a file.
    pub file: Option<(&'static str, Vec<u8>)>,
}

/// Writes frames until the sender is gone. The record of a frame appears when its image is there. Returns the number of
/// records.
///
/// # Errors
/// A file cannot be written; the sender sees that the receiver is gone.
pub fn write(store: &Store, frames: &Receiver<LabelledFrame>, bar: &ProgressBar) -> Result<usize, String> {
    let mut written = 0;
    for LabelledFrame { mut record, objects, file } in frames {
        if let Some((extension, content)) = file {
            let name = format!("{}.{extension}", frame_name(record.frame));
            store.write(&format!("images/{}/{name}", record.split.name()), &content)?;
            record.image = Some(name);
        }
        record.objects = objects.iter().map(object_record).collect();
        store.write_record(&record)?;
        written += 1;
        bar.inc(1);
    }
    Ok(written)
}

fn object_record(object: &Labelled) -> ObjectRecord {
    let (area, bbox, counts) = ObjectRecord::of_mask(&object.mask);
    ObjectRecord {
        object: object.object,
        class: object.class.clone(),
        source: object.source,
        iou: object.iou,
        stability: object.mask.stability,
        object_score: object.object_score,
        detection_score: object.detection_score,
        area,
        bbox,
        counts,
    }
}
