//! Descriptions of models in bundles.

use sha2::{Digest, Sha256};

use super::ModelInfo;
use super::rules::{SAM_LOGITS_PER_CELL, corners_first, prompt_side};
use crate::model::bundle::{Bundle, DESCRIPTION, Manifest};
use crate::model::error::Error;
use crate::model::grid_defaults::GridDefaults;
use crate::model::layout::{DecoderLayout, EncoderLayout, PromptInput, Signature};

impl ModelInfo {
    /// Describes a model in a bundle.
    ///
    /// # Errors
    /// [`Error::Tensor`], [`Error::MissingTensor`] or [`Error::BundleField`] if the graphs differ from the description.
    pub(in crate::model) fn from_bundle(
        bundle: &Bundle,
        (encoder, encoder_layout): (Signature, &EncoderLayout),
        (decoder, layout): (Signature, &DecoderLayout),
    ) -> Result<ModelInfo, Error> {
        let m = &bundle.manifest;
        check_graphs(m, (&encoder, encoder_layout), (&decoder, layout))?;
        check_mask_prompts(m, bundle.label(DESCRIPTION))?;
        let takes = |kind: &str| m.prompts.iter().any(|p| p == kind);
        Ok(ModelInfo {
            name: m.name.clone(),
            family: m.family.clone(),
            source: m.source.clone(),
            licence: m.licence.clone(),
            layout: layout.name,
            image_size: m.image_size,
            resize: m.resize(),
            mean: m.mean,
            std: m.std,
            embedding_shape: m.embedding_shape.clone(),
            low_res_size: m.low_res_size,
            mask_threshold: m.mask_threshold,
            candidates: m.candidates,
            single_mask: m.single_mask,
            multimask_for_several_prompts: m.multimask_for_several_prompts,
            dynamic_multimask: m.dynamic_multimask,
            box_as_points: m.box_as_points || corners_first(layout),
            low_res_limit: m.low_res_limit,
            takes_points: takes("point"),
            takes_background: takes("point") && layout.takes_background,
            points_need_box: false,
            takes_boxes: takes("box") && layout.takes_boxes,
            takes_masks: takes("mask") && layout.takes_mask,
            max_tokens: layout.max_tokens,
            prompt_side: match m.prompt_size {
                None if !layout.ours() => prompt_side(layout, m.image_size, m.embedding_shape[2]),
                _ => m.prompt_side(),
            },
            batched: layout.batched,
            grid_defaults: m.everything.unwrap_or_else(|| GridDefaults::of_family(&m.family)),
            memory: None,
            notes: Vec::new(),
            variants: m.variants.clone(),
            encoder,
            decoder,
            bytes: bundle.bytes(),
            hash: hash(m),
        })
    }
}

/// Returns one hash of the hashes of all files.
fn hash(manifest: &Manifest) -> String {
    let mut hasher = Sha256::new();
    for (name, entry) in &manifest.files {
        hasher.update(format!("{name} {}\n", entry.sha256.to_ascii_lowercase()));
    }
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Checks the size of mask prompts: the prompt encoder in Rust makes one cell of 4 x 4 logits.
fn check_mask_prompts(m: &Manifest, file: String) -> Result<(), Error> {
    let takes_masks = m.external() && m.prompts.iter().any(|kind| kind == "mask");
    let fits = |cells: &usize| SAM_LOGITS_PER_CELL * cells == m.low_res_size;
    if !takes_masks || m.embedding_shape[2..].iter().all(fits) {
        return Ok(());
    }
    Err(Error::BundleField {
        file,
        field: "low_res_size",
        found: format!("{} for embedding_shape {:?}", m.low_res_size, m.embedding_shape),
        expected: format!("{SAM_LOGITS_PER_CELL} for each cell, in a bundle with mask prompts outside of the graph"),
    })
}

/// Compares the graphs of a bundle with its description.
fn check_graphs(
    m: &Manifest,
    (encoder, encoder_layout): (&Signature, &EncoderLayout),
    (decoder, layout): (&Signature, &DecoderLayout),
) -> Result<(), Error> {
    let differs = |file: &str, tensor: &str, found: String, expected: String| {
        Err(Error::Tensor { file: file.to_owned(), tensor: tensor.to_owned(), found, expected })
    };
    if let Some(side) = encoder_layout.side.filter(|&s| s != m.image_size) {
        let expected = format!("[1, 3, {0}, {0}] as bundle.json's image_size says", m.image_size);
        return differs(&encoder.file, &encoder_layout.image.name, format!("[1, 3, {side}, {side}]"), expected);
    }
    let shaped = |shape: &[i64]| {
        shape.len() == 4 && shape.iter().zip(&m.embedding_shape).all(|(a, b)| *a < 0 || *a as usize == *b)
    };
    if !encoder_layout.outputs.iter().any(|o| shaped(&o.shape)) {
        let found = encoder_layout.outputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return differs(&encoder.file, "embedding", found, format!("f32{:?} as bundle.json says", m.embedding_shape));
    }
    if let Some(side) = layout.low_res_side.filter(|&s| s != m.low_res_size) {
        let expected = format!("{} logits a side as bundle.json's low_res_size says", m.low_res_size);
        return differs(&decoder.file, "low_res_masks", format!("{side} a side"), expected);
    }
    let declared = m.candidates + usize::from(m.single_mask);
    if let Some(masks) = layout.masks.filter(|&n| n != declared) {
        let expected = format!("{declared} as bundle.json's candidates and single_mask say");
        return differs(&decoder.file, "low_res_masks", format!("{masks} masks"), expected);
    }
    if m.external() != (layout.prompts() == PromptInput::External) {
        let expected = format!("the prompt encoder {} as bundle.json says", m.prompt_encoder);
        return differs(&decoder.file, "prompts", layout.name.to_owned(), expected);
    }
    let outputs = [("object_pointers", &layout.pointers), ("object_score_logits", &layout.object_score)];
    if let (true, Some((tensor, _))) = (m.memory.is_some(), outputs.iter().find(|(_, name)| name.is_none())) {
        return Err(Error::MissingTensor {
            file: decoder.file.clone(),
            tensor: (*tensor).to_owned(),
            expected: "f32, which the memory in bundle.json needs".to_owned(),
            found: decoder.outputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::layout::tests::graph;

    #[test]
    fn masks_that_the_prompt_encoder_cannot_shrink_are_refused() {
        let plain = include_str!("../../../tests/golden/sam/bundle.json");
        let with = |from: &str, to: &str| {
            assert!(plain.contains(from));
            let files: &[(&str, &[u8])] = vec![(DESCRIPTION, plain.replace(from, to).leak().as_bytes())].leak();
            let encoder = graph("image f32[1,3,512,512] -> image_embeddings f32[1,32,32,32]");
            let decoder = graph(
                "image_embeddings f32[1,32,32,32]; sparse_prompt_embeddings f32[?,?,32]; \
                 dense_prompt_embeddings f32[?,32,32,32] -> low_res_masks f32[?,?,?,?]; iou_predictions f32[?,4]",
            );
            let layouts = (EncoderLayout::recognise(&encoder).unwrap(), DecoderLayout::recognise(&decoder).unwrap());
            let bundle = Bundle::embedded(files).unwrap();
            ModelInfo::from_bundle(&bundle, (encoder, &layouts.0), (decoder, &layouts.1)).map(|_| ())
        };
        with("external", "external").unwrap();
        assert_eq!(
            with("\"low_res_size\": 128", "\"low_res_size\": 64").unwrap_err().to_string(),
            "embedded bundle.json: low_res_size is 64 for embedding_shape [1, 32, 32, 32], expected 4 for each cell, in a \
             bundle with mask prompts outside of the graph"
        );
    }
}
