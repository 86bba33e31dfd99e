//! COCO's instances (<https://cocodataset.org/#format-data>): one file for training, one for validation.

use promptseg::label::Split;
use serde_json::{Value, json};

use super::dataset::{Dataset, image_id, image_name};
use crate::coco::annotation;
use crate::formats::rounded;

/// Writes the frames of a split; nothing without frames.
pub fn write(dataset: &Dataset<'_>, split: Split) -> Result<(), String> {
    if dataset.frames().iter().all(|planned| planned.split != split) {
        return Ok(());
    }
    let mut file = dataset.store.create(&format!("annotations/instances_{}.json", split.name()))?;
    file.write(b"{\"annotations\":[")?;
    let (mut images, mut count) = (Vec::new(), 0);
    dataset.records(&mut |record| {
        if record.split != split {
            return Ok(());
        }
        let (width, height) = record.size;
        let mut image = json!({
            "id": image_id(record), "file_name": image_name(record), "width": width, "height": height,
        });
        if dataset.has_times {
            image["stamp"] = json!(record.stamp().to_string());
        }
        if let Some(picture) = &record.picture {
            image["picture"] = json!(picture);
        }
        images.push(image);
        for object in &record.objects {
            count += 1;
            let mut entry = annotation(&record.run_lengths(object)?, Some(object.rect()), object.iou);
            entry["id"] = json!(count);
            entry["image_id"] = json!(image_id(record));
            entry["category_id"] = json!(dataset.class(object) + 1);
            entry["track_id"] = json!(object.object);
            entry["source"] = json!(object.source);
            entry["stability_score"] = json!(rounded(object.stability));
            if let Some(score) = object.detection_score {
                entry["detection_score"] = json!(score);
            }
            let separator = if count == 1 { "\n" } else { ",\n" };
            file.write(format!("{separator}{entry}").as_bytes())?;
        }
        Ok(())
    })?;
    let categories: Vec<Value> = (1..)
        .zip(&dataset.classes)
        .map(|(id, name)| json!({ "id": id, "name": name, "supercategory": "object" }))
        .collect();
    let info = json!({
        "description": format!("masks of {}", dataset.model),
        "version": concat!("promptseg ", env!("CARGO_PKG_VERSION")),
    });
    let rest = [("images", json!(images)), ("categories", json!(categories)), ("info", info), ("licenses", json!([]))];
    let rest: String = rest.iter().map(|(name, value)| format!(",\n\"{name}\":{value}")).collect();
    file.write(format!("\n]{rest}}}\n").as_bytes())?;
    file.finish()
}
