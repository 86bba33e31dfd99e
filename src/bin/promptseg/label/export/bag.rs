//! A bag with the results: masks, labels and detections at the stamps of the images.

use promptseg::bag::results::{ObjectResult, detections, labels, masks};
use promptseg::bag::{ResultTopic, ResultWriter};
use promptseg::engine::Header;
use promptseg::label::record::{FrameRecord, ObjectRecord};

use super::dataset::Dataset;

const FOLDER: &str = "bag";
const FILE: &str = "bag_0.mcap";

/// Writes the bag, in the order of the frames.
pub fn write(dataset: &Dataset<'_>) -> Result<(), String> {
    let mut file = dataset.store.create(&format!("{FOLDER}/{FILE}"))?;
    let mut writer = ResultWriter::new(file.content()?, &ResultTopic::ALL[..3])?;
    dataset.records(&mut |record| {
        let header = Header { stamp: record.stamp(), frame_id: record.frame_id.as_str().into() };
        let objects: Vec<ObjectResult> =
            record.objects.iter().map(|object| result(record, object)).collect::<Result<_, _>>()?;
        let messages = [
            (ResultTopic::Masks, masks(&header, record.size, &dataset.model, &objects)),
            (ResultTopic::Labels, labels(&header, record.size, &objects)),
            (ResultTopic::Detections, detections(&header, &objects)),
        ];
        // A stamp before 1970 counts as 0.
        writer.write(u64::try_from(header.stamp.nanoseconds()).unwrap_or(0), &messages)
    })?;
    let metadata = writer.finish(FILE)?;
    file.finish()?;
    dataset.store.write(&format!("{FOLDER}/metadata.yaml"), metadata.as_bytes())
}

fn result(record: &FrameRecord, object: &ObjectRecord) -> Result<ObjectResult, String> {
    let mut mask = record.run_lengths(object)?.to_mask();
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
