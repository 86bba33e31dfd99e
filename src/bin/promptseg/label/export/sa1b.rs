//! The JSON of the data set SA-1B (section "Dataset" of segment_anything/README.md): one document for each image.

use serde_json::{Value, json};

use super::dataset::{Dataset, image_id, image_name};
use crate::formats::{rounded, run_lengths};
use crate::label::store::frame_name;

/// Writes a document for each frame. As in the reference, a box is one pixel less wide and high than its mask. The point of a
/// mask is the middle of its box.
pub fn write(dataset: &Dataset<'_>) -> Result<(), String> {
    let mut count = 0;
    dataset.records(&mut |record| {
        let (width, height) = record.size;
        let mut annotations: Vec<Value> = Vec::new();
        for object in &record.objects {
            count += 1;
            let [x, y, w, h] = object.bbox.map(f64::from);
            annotations.push(json!({
                "id": count,
                "segmentation": run_lengths(&record.run_lengths(object)?),
                "bbox": [x, y, w - 1.0, h - 1.0],
                "area": object.area,
                "predicted_iou": rounded(object.iou),
                "stability_score": rounded(object.stability),
                "point_coords": [[x + w / 2.0, y + h / 2.0]],
                "crop_box": [0.0, 0.0, f64::from(width), f64::from(height)],
            }));
        }
        let image = json!({
            "image_id": image_id(record), "width": width, "height": height, "file_name": image_name(record),
        });
        let document = json!({ "image": image, "annotations": annotations });
        let name = format!("sa1b/{}/{}.json", record.split.name(), frame_name(record.frame));
        dataset.store.write(&name, format!("{document}\n").as_bytes())
    })
}
