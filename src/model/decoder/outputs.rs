//! Outputs of the mask decoder's graph, split by object.

use std::borrow::Cow;

use ort::session::SessionOutputs;

use crate::model::candidates::WantedMask;
use crate::model::error::Error;
use crate::model::info::ModelInfo;
use crate::model::layout::DecoderLayout;
use crate::model::provider::Provider;
use crate::model::runtime::failure::run_failed;
use crate::model::runtime::tensor::float_values;

/// Outputs of one run for one object.
pub struct RawOutput {
    /// Low-resolution logits of the masks that the graph computed, `[M, side, side]`.
    pub low_res: Vec<f32>,
    /// Indices of those masks among all masks of the decoder.
    pub indices: Vec<usize>,
    /// Predicted IoU of all masks of the decoder.
    pub ious: Vec<f32>,
    /// Logit of the object's presence.
    pub object_score: Option<f32>,
    /// Object pointers of the masks in `indices`, `[M, C]`. Empty if the graph computes none.
    pub pointers: Vec<f32>,
}

impl RawOutput {
    /// Returns the low-resolution logits of one of the decoder's masks.
    pub fn mask(&self, index: usize) -> &[f32] {
        let area = self.low_res.len() / self.indices.len().max(1);
        let at = self.indices.iter().position(|i| *i == index).unwrap_or_default();
        &self.low_res[at * area..(at + 1) * area]
    }

    /// Returns the object pointer of one of the decoder's masks.
    pub fn pointer(&self, index: usize) -> Option<&[f32]> {
        let size = self.pointers.len() / self.indices.len().max(1);
        let at = self.indices.iter().position(|i| *i == index)?;
        self.pointers.get(at * size..(at + 1) * size).filter(|pointer| !pointer.is_empty())
    }
}

/// Splits the outputs of a run by object. `rows` are the wanted masks of each object.
///
/// # Errors
/// [`Error::Tensor`] if an output has another shape than the model, [`Error::Session`] if an output is missing.
pub fn split(
    outputs: &SessionOutputs<'_>,
    layout: &DecoderLayout,
    info: &ModelInfo,
    provider: Provider,
    rows: &[&[WantedMask]],
) -> Result<Vec<RawOutput>, Error> {
    let (file, side) = (&info.decoder.file, info.low_res_size);
    let values = |name: &str| {
        let value = outputs.get(name).ok_or_else(|| ort::Error::new(format!("no output `{name}`")));
        value.and_then(float_values).map_err(|e| run_failed(file, provider, &e))
    };
    let optional = |name: &Option<String>| match name {
        Some(name) => Ok(values(name)?.1),
        None => Ok::<_, Error>(Cow::default()),
    };
    let (shape, low_res) = values(&layout.low_res)?;
    let (_, ious) = values(&layout.iou)?;
    let scores = optional(&layout.object_score)?;
    let pointers = optional(&layout.pointers)?;
    let objects = rows.len();
    // `[B, M, side, side]`, in some graphs with a batch of one image in front.
    let masks = ious.len() / objects;
    let computed = if layout.selects { rows[0].len() } else { masks };
    let square = shape.ends_with(&[side as i64, side as i64]);
    if !square || masks == 0 || ious.len() != objects * masks || low_res.len() != objects * computed * side * side {
        return Err(Error::Tensor {
            file: file.clone(),
            tensor: layout.low_res.clone(),
            found: format!("{shape:?} with {} predicted IoUs", ious.len()),
            expected: format!("[{objects}, {computed}, {side}, {side}] with an IoU for each mask"),
        });
    }
    let channels = info.embedding_shape[1];
    if layout.pointers.is_some() && pointers.len() != objects * computed * channels {
        return Err(Error::Tensor {
            file: file.clone(),
            tensor: "object_pointers".to_owned(),
            found: format!("{} numbers", pointers.len()),
            expected: format!("[{objects}, {computed}, {channels}]"),
        });
    }
    let object = |i: usize| {
        let part = |values: &[f32], size: usize| values[i * size..(i + 1) * size].to_vec();
        let ious = part(&ious, masks);
        let indices = match layout.selects {
            true => rows[i].iter().map(|row| row.index(&ious)).collect(),
            false => (0..masks).collect(),
        };
        RawOutput {
            low_res: part(&low_res, computed * side * side),
            indices,
            ious,
            object_score: scores.get(i).copied(),
            pointers: part(&pointers, pointers.len() / objects),
        }
    };
    Ok((0..objects).map(object).collect())
}
