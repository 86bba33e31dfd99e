//! YOLO's segmentation data sets: a text file with polygons for each image, and data.yaml.

use promptseg::label::Split;
use promptseg::label::yolo::label_line;
use serde_json::json;

use super::dataset::Dataset;
use crate::label::store::frame_name;

/// Writes the label files and data.yaml.
pub fn write(dataset: &Dataset<'_>) -> Result<(), String> {
    dataset.records(&mut |record| {
        let mut text = String::new();
        for object in &record.objects {
            let mask = record.mask(object)?;
            if let Some(line) = label_line(dataset.class(object), &mask) {
                text.push_str(&line);
                text.push('\n');
            }
        }
        let name = format!("labels/{}/{}.txt", record.split.name(), frame_name(record.frame));
        dataset.store.write(&name, text.as_bytes())
    })?;
    // Trainers want a folder for validation.
    let has_val = dataset.frames().iter().any(|planned| planned.split == Split::Val);
    let val = if has_val { "images/val" } else { "images/train" };
    // A JSON string is a YAML string.
    let names: String = dataset.classes.iter().enumerate().map(|(i, n)| format!("  {i}: {}\n", json!(n))).collect();
    let names = if names.is_empty() { " {}\n".to_owned() } else { format!("\n{names}") };
    dataset.store.write("data.yaml", format!("train: images/train\nval: {val}\nnames:{names}").as_bytes())
}
