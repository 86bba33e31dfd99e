//! Descriptions of models without a bundle, from the graphs and the rules of the family.

use super::ModelInfo;
use super::rules::{SAM_LOGITS_PER_CELL, SAM_STRIDE, corners_first, prompt_side};
use crate::model::bundle::{MAX_CANDIDATES, MAX_CELLS, MAX_CHANNELS, MAX_LOW_RES};
use crate::model::candidates::DynamicMultimask;
use crate::model::error::Error;
use crate::model::grid_defaults::GridDefaults;
use crate::model::layout::{DecoderLayout, EncoderLayout, Family, PictureForm, Signature};
use crate::pixels::Resize;

/// SAM's normalisation on the scale from 0 to 255: `pixel_mean` and `pixel_std` of segment_anything/build_sam.py.
const SAM_MEAN: [f32; 3] = [123.675, 116.28, 103.53];
const SAM_STD: [f32; 3] = [58.395, 57.12, 57.375];
/// Side of one embedding cell of SAM 3's tracker, in pixels (`Sam3TrackerConfig`).
const SAM3_STRIDE: usize = 14;
/// Mean and standard deviation that map the picture to the range from -1 to 1 (`Sam3ImageProcessor`).
const SAM3_LEVELS: [f32; 3] = [127.5; 3];
/// `dynamic_multimask_via_stability` of SAM 2's configurations.
const SAM2_DYNAMIC: DynamicMultimask = DynamicMultimask { delta: 0.05, threshold: 0.98 };
/// Clamp of the low-resolution logits in SAM 2's predictor.
const SAM2_LOW_RES_LIMIT: f32 = 32.0;

impl ModelInfo {
    /// Describes a model without a bundle. The rules of the family apply where the graphs do not fix a value.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the two graphs do not fit each other or their sizes are too large.
    pub(in crate::model) fn from_graphs(
        name: String,
        bytes: u64,
        (encoder, encoder_layout): (Signature, &EncoderLayout),
        (decoder, layout): (Signature, &DecoderLayout),
    ) -> Result<ModelInfo, Error> {
        let embedding_shape = embedding_shape(&encoder, &decoder, layout)?;
        let cells = embedding_shape[2];
        let image_size = encoder_layout.side.unwrap_or(cells * SAM_STRIDE);
        let sam2 = layout.family == Family::Sam2;
        let sam3 = sam2 && image_size == cells * SAM3_STRIDE;
        let (mean, std) = match (layout.family, sam3) {
            (_, true) => (SAM3_LEVELS, SAM3_LEVELS),
            (Family::EfficientSam, _) => ([0.0; 3], [255.0; 3]),
            _ => (SAM_MEAN, SAM_STD),
        };
        let stretched = sam2 || layout.family == Family::EfficientSam;
        if encoder_layout.form == PictureForm::Unit && layout.family != Family::EfficientSam {
            return Err(Error::Tensor {
                file: encoder.file.clone(),
                tensor: encoder_layout.image.name.clone(),
                found: "a picture of any size from 0 to 1".to_owned(),
                expected: format!("the picture of {}, whose decoder is {}", layout.name, decoder.file),
            });
        }
        let masks = layout.masks.unwrap_or(4);
        let low_res_size = layout.low_res_side.unwrap_or(cells * SAM_LOGITS_PER_CELL);
        if masks > MAX_CANDIDATES + 1 || low_res_size > MAX_LOW_RES {
            return Err(Error::Tensor {
                file: decoder.file.clone(),
                tensor: layout.low_res.clone(),
                found: format!("{masks} masks of {low_res_size} a side"),
                expected: format!("at most {} masks of at most {MAX_LOW_RES} a side", MAX_CANDIDATES + 1),
            });
        }
        let family = if sam3 { "sam3" } else { layout.family.name() };
        Ok(ModelInfo {
            name,
            family: family.to_owned(),
            source: encoder.file.clone(),
            licence: "unknown".to_owned(),
            layout: layout.name,
            image_size,
            resize: if stretched { Resize::Stretch } else { Resize::Letterbox },
            mean,
            std,
            low_res_size,
            embedding_shape,
            mask_threshold: 0.0,
            candidates: if masks == 1 { 0 } else { masks.min(3) },
            single_mask: masks != 3,
            multimask_for_several_prompts: false,
            dynamic_multimask: (sam2 && masks == 4).then_some(SAM2_DYNAMIC),
            box_as_points: corners_first(layout),
            low_res_limit: sam2.then_some(SAM2_LOW_RES_LIMIT),
            takes_points: true,
            takes_background: layout.takes_background,
            points_need_box: false,
            takes_boxes: layout.takes_boxes,
            takes_masks: layout.takes_mask,
            max_tokens: layout.max_tokens,
            prompt_side: prompt_side(layout, image_size, cells),
            batched: layout.batched,
            grid_defaults: GridDefaults::of_family(family),
            memory: None,
            notes: Vec::new(),
            variants: Vec::new(),
            encoder,
            decoder,
            bytes,
            hash: String::new(),
        })
    }
}

/// Returns the shape of the image embedding, `[1, C, h, w]`, from the graph that fixes it.
fn embedding_shape(encoder: &Signature, decoder: &Signature, layout: &DecoderLayout) -> Result<Vec<usize>, Error> {
    let input = layout.embeddings.first();
    let output = input.and_then(|input| encoder.output(&input.name));
    let shape = (1..4).map(|axis| input.and_then(|t| t.fixed(axis)).or(output.and_then(|t| t.fixed(axis))));
    let shape = shape.collect::<Option<Vec<_>>>();
    if let Some([c @ 1..=MAX_CHANNELS, h @ 1..=MAX_CELLS, w @ 1..=MAX_CELLS]) = shape.as_deref() {
        return Ok(vec![1, *c, *h, *w]);
    }
    let (found, expected) = match shape {
        Some(shape) => (
            format!("{:?}", [vec![1], shape].concat()),
            format!("[1, C, h, w], C up to {MAX_CHANNELS}, h and w up to {MAX_CELLS}"),
        ),
        None => (
            input.map_or_else(|| "missing".to_owned(), ToString::to_string),
            "[1, C, h, w] with fixed sizes".to_owned(),
        ),
    };
    let tensor = input.map_or_else(|| "image_embeddings".to_owned(), |t| t.name.clone());
    Err(Error::Tensor { file: decoder.file.clone(), tensor, found, expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::layout::tests::graph;

    #[test]
    fn the_picture_follows_from_the_family_and_the_size_of_its_cells() {
        for (side, cells, family, mean) in [(1024, 64, "sam2", SAM_MEAN), (1008, 72, "sam3", SAM3_LEVELS)] {
            let features = format!(
                "image_embeddings.0 f32[?,32,{0},{0}]; image_embeddings.1 f32[?,64,{1},{1}]; \
                 image_embeddings.2 f32[?,256,{2},{2}]",
                4 * cells,
                2 * cells,
                cells
            );
            let encoder = graph(&format!("pixel_values f32[?,3,{side},{side}] -> {features}"));
            let decoder = graph(&format!(
                "{features}; input_points f32[?,?,?,2]; input_labels i64[?,?,?]; input_boxes f32[?,?,4] -> \
                 iou_scores f32[?,?,?]; pred_masks f32[?,?,?,?,?]; object_score_logits f32[?,?,1]"
            ));
            let layouts = (EncoderLayout::recognise(&encoder).unwrap(), DecoderLayout::recognise(&decoder).unwrap());
            let info = ModelInfo::from_graphs("m".to_owned(), 0, (encoder, &layouts.0), (decoder, &layouts.1)).unwrap();
            assert_eq!((info.family.as_str(), info.image_size, info.mean), (family, side, mean));
            assert_eq!((info.resize, info.low_res_size, info.prompt_side), (Resize::Stretch, 4 * cells, side));
        }
    }

    #[test]
    fn graphs_of_absurd_sizes_are_refused_with_what_is_expected() {
        let refusal = |embedding: &str, mask: &str, low_res: &str| {
            let encoder = graph(&format!("image f32[1,3,1024,1024] -> image_embeddings f32[{embedding}]"));
            let decoder = graph(&format!(
                "image_embeddings f32[{embedding}]; point_coords f32[1,?,2]; point_labels f32[1,?]; \
                 mask_input f32[{mask}]; has_mask_input f32[1]; orig_im_size f32[2] -> low_res_masks f32[{low_res}]; \
                 iou_predictions f32[?,?]; masks f32[?,?,?,?]"
            ));
            let layouts = (EncoderLayout::recognise(&encoder).unwrap(), DecoderLayout::recognise(&decoder).unwrap());
            let made = ModelInfo::from_graphs("m".to_owned(), 0, (encoder, &layouts.0), (decoder, &layouts.1));
            made.err().map(|e| e.to_string())
        };
        let [embedding, mask, low_res] = ["1,256,64,64", "1,1,256,256", "1,4,256,256"];
        assert_eq!(refusal(embedding, mask, low_res), None);
        for (refused, says) in [
            (
                refusal("1,256,64,1099511627776", mask, low_res),
                "is [1, 256, 64, 1099511627776], expected [1, C, h, w], C up to 4096, h and w up to 1024",
            ),
            (refusal("1,1099511627776,64,64", mask, low_res), "C up to 4096, h and w up to 1024"),
            (
                refusal(embedding, "1,1,1000000,1000000", low_res),
                "4 masks of 1000000 a side, expected at most 65 masks",
            ),
            (
                refusal(embedding, mask, "1,1099511627776,256,256"),
                "`low_res_masks` is 1099511627776 masks of 256 a side",
            ),
        ] {
            assert!(refused.as_ref().is_some_and(|message| message.contains(says)), "{refused:?}");
        }
    }
}
