//! The JSON of the data set SA-1B (section "Dataset" of segment_anything/README.md): one document for each image.

use promptseg::everything::GeneratedMask;
use serde_json::{Value, json};

use crate::coco::ImageIds;
use crate::formats::{rounded, run_lengths};

/// Makes the documents of a run.
pub struct Sa1b {
    ids: ImageIds,
    /// Number of annotations in all documents.
    annotations: usize,
}

impl Sa1b {
    pub fn new(ids: ImageIds) -> Self {
        Sa1b { ids, annotations: 0 }
    }

    /// Refuses a picture that has no id in the file of `--image-ids`.
    pub fn check(&self, index: usize) -> Result<(), String> {
        self.ids.of(index).map(|_| ())
    }

    /// Returns the document of picture number `index`. As in the reference, a box is one pixel less wide and high than its
    /// mask.
    pub fn document(
        &mut self,
        index: usize,
        (width, height): (u32, u32),
        masks: &[GeneratedMask],
    ) -> Result<Value, String> {
        let (image_id, file_name) = self.ids.of(index)?;
        let first_id = self.annotations + 1;
        let mut annotations = Vec::with_capacity(masks.len());
        for found in masks {
            self.annotations += 1;
            let crop = [found.crop.x, found.crop.y, found.crop.width, found.crop.height];
            let mut annotation = json!({
                "id": self.annotations,
                "segmentation": run_lengths(&found.mask),
                "bbox": found.bbox.xywh().map(f64::from),
                "area": found.area,
                "predicted_iou": rounded(found.predicted_iou),
                "stability_score": rounded(found.stability_score),
                "point_coords": [found.point],
                "crop_box": crop.map(f64::from),
            });
            if let Some(whole) = found.part_of {
                annotation["part_of"] = json!(first_id + whole);
            }
            annotations.push(annotation);
        }
        Ok(json!({
            "image": { "image_id": image_id, "width": width, "height": height, "file_name": file_name },
            "annotations": annotations,
        }))
    }
}
