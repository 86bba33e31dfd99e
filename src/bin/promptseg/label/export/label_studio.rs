//! Label Studio (<https://labelstud.io/guide/predictions>): tasks with predictions as brush strokes, and the labelling interface.

use promptseg::label::brush::brush_strokes;
use serde_json::{Value, json};

use super::dataset::{Dataset, image_name, named};
use crate::formats::rounded;
use crate::xml::escaped;

const TASKS: &str = "label_studio.json";
const INTERFACE: &str = "label_studio.xml";
/// Names of the tags in the interface.
const IMAGE_TAG: &str = "image";
const LABEL_TAG: &str = "label";

/// Writes the tasks and the interface. The address of an image is that of Label Studio's local storage, below the folder of the
/// data set.
pub fn write(dataset: &Dataset<'_>) -> Result<(), String> {
    let mut file = dataset.store.create(TASKS)?;
    file.write(b"[")?;
    let mut separator = "\n";
    dataset.records(&mut |record| {
        let (width, height) = record.size;
        let mut results: Vec<Value> = Vec::new();
        for object in &record.objects {
            let mask = record.mask(object)?;
            results.push(json!({
                "id": format!("{}_{}", record.frame, object.object),
                "type": "brushlabels",
                "from_name": LABEL_TAG,
                "to_name": IMAGE_TAG,
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "score": rounded(object.iou),
                "meta": { "object": object.object, "source": object.source },
                "value": { "format": "rle", "rle": brush_strokes(&mask), "brushlabels": [named(&object.class)] },
            }));
        }
        let scores = record.objects.iter().map(|object| object.iou);
        let image = format!("images/{}/{}", record.split.name(), image_name(record));
        let mut data = json!({ "image": format!("/data/local-files/?d={image}"), "frame": record.frame });
        if dataset.has_times {
            data["stamp"] = json!(record.stamp().to_string());
        }
        let task = json!({
            "data": data,
            "predictions": [{
                "model_version": dataset.model,
                "score": rounded(scores.min_by(f32::total_cmp).unwrap_or_default()),
                "result": results,
            }],
        });
        file.write(format!("{separator}{task}").as_bytes())?;
        separator = ",\n";
        Ok(())
    })?;
    file.write(b"\n]\n")?;
    file.finish()?;
    let labels: String =
        dataset.classes.iter().map(|class| format!("    <Label value=\"{}\"/>\n", escaped(class))).collect();
    let interface = format!(
        "<View>\n  <Image name=\"{IMAGE_TAG}\" value=\"$image\" zoom=\"true\"/>\n  <BrushLabels name=\"{LABEL_TAG}\" \
         toName=\"{IMAGE_TAG}\">\n{labels}  </BrushLabels>\n</View>\n"
    );
    dataset.store.write(INTERFACE, interface.as_bytes())
}
