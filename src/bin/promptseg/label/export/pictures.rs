//! Indexed pictures: the number of the object on each pixel, with the palette of DAVIS.

use promptseg::label::indexed::{MAX_OBJECT, indexed_png};
use promptseg::pixels::Mask;

use super::dataset::Dataset;
use crate::label::store::frame_name;

/// Writes a picture for each frame. Returns a remark if objects are left out.
pub fn write(dataset: &Dataset<'_>) -> Result<Vec<String>, String> {
    let mut left_out = 0;
    dataset.records(&mut |record| {
        let mut masks = Vec::new();
        for object in &record.objects {
            masks.push((object.object, record.mask(object)?));
        }
        left_out += masks.iter().filter(|(id, _)| *id > MAX_OBJECT).count();
        let masks: Vec<(u32, &Mask)> = masks.iter().map(|(id, mask)| (*id, mask)).collect();
        let name = format!("indexed/{}/{}.png", record.split.name(), frame_name(record.frame));
        dataset.store.write(&name, &indexed_png(&masks, record.size)?)
    })?;
    let remark =
        format!("{left_out} masks of objects above {MAX_OBJECT} are not in the indexed pictures, which have 8 bits");
    Ok((left_out > 0).then_some(remark).into_iter().collect())
}
