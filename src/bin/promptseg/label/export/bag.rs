//! A bag with the results: masks, labels, detections and overlays at the stamps of the images.

use promptseg::bag::results::{self, ObjectResult, detections, labels, masks};
use promptseg::bag::{ResultTopic, ResultWriter};
use promptseg::engine::Header;
use promptseg::label::overlay;
use promptseg::label::record::{FrameRecord, ObjectRecord};
use promptseg::pixels::encode_jpeg;

use super::dataset::Dataset;

const FOLDER: &str = "bag";
const FILE: &str = "bag_0.mcap";
const WITHOUT_OVERLAY: [ResultTopic; 3] = [ResultTopic::Masks, ResultTopic::Labels, ResultTopic::Detections];
/// Quality of the overlays: the default of the node's `output.overlay_quality`.
const QUALITY: u8 = 85;

/// Writes the bag, in the order of the frames. A data set without images has no overlays.
pub fn write(dataset: &Dataset<'_>) -> Result<(), String> {
    let mut file = dataset.store.create(&format!("{FOLDER}/{FILE}"))?;
    let topics = if dataset.has_images { &ResultTopic::ALL[..] } else { &WITHOUT_OVERLAY[..] };
    let mut writer = ResultWriter::new(file.content()?, topics)?;
    dataset.records(&mut |record| {
        let header = Header { stamp: record.stamp(), frame_id: record.frame_id.as_str().into() };
        let objects: Vec<ObjectResult> =
            record.objects.iter().map(|object| result(record, object)).collect::<Result<_, _>>()?;
        let mut messages = vec![
            (ResultTopic::Masks, masks(&header, record.size, &dataset.model, &objects)),
            (ResultTopic::Labels, labels(&header, record.size, &objects)),
            (ResultTopic::Detections, detections(&header, &objects)),
        ];
        if dataset.has_images {
            let picture = overlay(&dataset.store.image(record)?, record)?;
            let jpeg = encode_jpeg(&picture, QUALITY).map_err(|e| format!("image {}: {e}", record.frame))?;
            messages.push((ResultTopic::Overlay, results::overlay(&header, &jpeg)));
        }
        // A stamp before 1970 counts as 0.
        writer.write(u64::try_from(header.stamp.nanoseconds()).unwrap_or(0), &messages)
    })?;
    let metadata = writer.finish(FILE)?;
    file.finish()?;
    dataset.store.write(&format!("{FOLDER}/metadata.yaml"), metadata.as_bytes())
}

fn result(record: &FrameRecord, object: &ObjectRecord) -> Result<ObjectResult, String> {
    let mut mask = record.mask(object)?;
    mask.stability = object.stability;
    Ok(ObjectResult {
        object: object.object,
        class: object.class.clone(),
        iou: object.iou,
        object_score: object.object_score,
        detection_score: object.detection_score,
        mask,
    })
}
