//! What is known about a loaded model: the description of a bundle, or what the graphs themselves tell.

use sha2::{Digest, Sha256};

use super::bundle::{Bundle, DESCRIPTION, MAX_CANDIDATES, MAX_CELLS, MAX_CHANNELS, MAX_LOW_RES, Manifest};
use super::candidates::DynamicMultimask;
use super::layout::{DecoderLayout, EncoderLayout, Family, PictureForm, PromptInput, Signature};
use super::memory::MemoryInfo;
use super::{Error, Variant};
use crate::pixels::{InputSpec, Resize};
use crate::prompt::{Label, Prompt};

/// SAM's normalisation, `pixel_mean` and `pixel_std` of segment_anything/build_sam.py, 0 to 255 scale.
const SAM_MEAN: [f32; 3] = [123.675, 116.28, 103.53];
const SAM_STD: [f32; 3] = [58.395, 57.12, 57.375];
/// SAM's encoder makes one embedding cell of 16 x 16 pixels, and its decoder 4 x 4 logits of a cell.
const SAM_STRIDE: usize = 16;
const SAM_LOGITS_PER_CELL: usize = 4;
/// SAM 3's tracker: 14 x 14 pixels a cell, and pictures from -1 to 1 (`Sam3TrackerConfig`, `Sam3ImageProcessor`).
const SAM3_STRIDE: usize = 14;
const SAM3_LEVELS: [f32; 3] = [127.5; 3];
/// `dynamic_multimask_via_stability` of SAM 2's configurations, and the clamp of its predictor.
const SAM2_DYNAMIC: DynamicMultimask = DynamicMultimask { delta: 0.05, threshold: 0.98 };
const SAM2_LOW_RES_LIMIT: f32 = 32.0;

/// Everything about a model that does not need its sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    pub name: String,
    pub family: String,
    pub source: String,
    pub licence: String,
    /// How people call the layout of its graphs.
    pub layout: &'static str,
    /// Side of the encoder's square picture, pixels.
    pub image_size: usize,
    pub resize: Resize,
    /// Per channel, 0 to 255 scale.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// `[1, C, h, w]`.
    pub embedding_shape: Vec<usize>,
    /// Side of the low-resolution logits.
    pub low_res_size: usize,
    /// A logit above it is inside.
    pub mask_threshold: f32,
    /// Candidates of an ambiguous prompt.
    pub candidates: usize,
    /// Whether a mask for clear prompts comes before them.
    pub single_mask: bool,
    /// Whether clear prompts are answered by the best candidate too.
    pub multimask_for_several_prompts: bool,
    /// SAM 2: when the best candidate replaces the single mask.
    pub dynamic_multimask: Option<DynamicMultimask>,
    /// SAM 2: the corners of a box come before the points, and a pad token ends every list.
    pub box_as_points: bool,
    /// SAM 2: bound of the low-resolution logits that are handed out.
    pub low_res_limit: Option<f32>,
    pub takes_points: bool,
    /// Points that say where the object is not.
    pub takes_background: bool,
    /// Points only together with a box: some exports give the decoder undefined tokens without one.
    pub points_need_box: bool,
    pub takes_boxes: bool,
    pub takes_masks: bool,
    /// Most points and corners of a box that an object may have.
    pub max_tokens: Option<usize>,
    /// Side of the square in whose pixels the decoder takes coordinates; mostly `image_size`.
    pub prompt_side: usize,
    /// Whether several objects share one run of the decoder.
    pub batched: bool,
    /// What the bundle's memory was made for, where it has one.
    pub memory: Option<MemoryInfo>,
    /// What was found wrong with the graphs while opening them, in sentences for people.
    pub notes: Vec<String>,
    /// What the bundle has; empty for graphs that come without a description.
    pub variants: Vec<Variant>,
    /// Inputs and outputs of the two graphs.
    pub encoder: Signature,
    pub decoder: Signature,
    /// Bytes of all files.
    pub bytes: u64,
    /// Of all files, from the hashes in the bundle's description: 16 hexadecimal digits. Empty for graphs without one.
    pub hash: String,
}

impl ModelInfo {
    /// The picture that the encoder wants.
    pub fn input_spec(&self) -> InputSpec {
        InputSpec { side: self.image_size as u32, resize: self.resize, mean: self.mean, std: self.std }
    }

    pub(super) fn of_bundle(
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
            prompt_side: if layout.ours() {
                m.image_size
            } else {
                prompt_side(layout, m.image_size, m.embedding_shape[2])
            },
            batched: layout.batched,
            memory: None,
            notes: Vec::new(),
            variants: m.variants.clone(),
            encoder,
            decoder,
            bytes: bundle.bytes(),
            hash: hash(m),
        })
    }

    /// For graphs that come without a description: the rules of the family where the graphs leave something open.
    pub(super) fn of_pair(
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
        Ok(ModelInfo {
            name,
            family: if sam3 { "sam3" } else { layout.family.name() }.to_owned(),
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
            memory: None,
            notes: Vec::new(),
            variants: Vec::new(),
            encoder,
            decoder,
            bytes,
            hash: String::new(),
        })
    }

    /// What prompts it takes, in words.
    pub fn takes(&self) -> String {
        let points = match (self.points_need_box, self.takes_background) {
            (true, _) => "points together with a box",
            (false, true) => "points",
            (false, false) => "foreground points",
        };
        let kinds = [(self.takes_points, points), (self.takes_boxes, "boxes"), (self.takes_masks, "masks")];
        let mut takes = kinds.iter().filter(|(takes, _)| *takes).map(|(_, kind)| *kind).collect::<Vec<_>>().join(", ");
        if let Some(most) = self.max_tokens {
            takes.push_str(&format!("; at most {most} points for an object, a box counts as two"));
        }
        takes
    }

    /// What of a prompt the model cannot take; `None` if it can take all of it.
    pub fn refusal(&self, prompt: &Prompt) -> Option<&'static str> {
        let tokens = prompt.points.len() + 2 * usize::from(prompt.bbox.is_some());
        let background = prompt.points.iter().any(|p| p.label == Label::Background);
        [
            (!prompt.points.is_empty() && !self.takes_points, "point prompts"),
            (background && !self.takes_background, "background points"),
            (!prompt.points.is_empty() && prompt.bbox.is_none() && self.points_need_box, "points without a box"),
            (prompt.bbox.is_some() && !self.takes_boxes, "box prompts"),
            (prompt.mask.is_some() && !self.takes_masks, "mask prompts"),
            (self.max_tokens.is_some_and(|most| tokens > most), "that many points"),
        ]
        .into_iter()
        .find_map(|(refused, what)| refused.then_some(what))
    }
}

/// Side of the square in whose pixels graphs of others take coordinates. nanosam's encoder may take a smaller picture than
/// the SAM whose decoder it keeps.
fn prompt_side(layout: &DecoderLayout, image_size: usize, cells: usize) -> usize {
    match layout.family {
        Family::Sam2 | Family::EfficientSam => image_size,
        Family::Sam | Family::SamHq | Family::EdgeSam => cells * SAM_STRIDE,
    }
}

/// SAM 2's order of the tokens, where the graph has the prompt encoder inside.
fn corners_first(layout: &DecoderLayout) -> bool {
    layout.family == Family::Sam2 && layout.takes_boxes
}

/// One hash of the hashes of all files.
fn hash(manifest: &Manifest) -> String {
    let mut hasher = Sha256::new();
    for (name, entry) in &manifest.files {
        hasher.update(format!("{name} {}\n", entry.sha256.to_ascii_lowercase()));
    }
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// `[1, C, h, w]` of the embedding on whose cells the prompts lie, from whichever graph fixes it.
fn embedding_shape(encoder: &Signature, decoder: &Signature, layout: &DecoderLayout) -> Result<Vec<usize>, Error> {
    let wanted = layout.embeddings.first();
    let made = wanted.and_then(|wanted| encoder.output(&wanted.name));
    let shape = (1..4).map(|axis| wanted.and_then(|t| t.fixed(axis)).or(made.and_then(|t| t.fixed(axis))));
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
            wanted.map_or_else(|| "missing".to_owned(), ToString::to_string),
            "[1, C, h, w] with fixed sizes".to_owned(),
        ),
    };
    let tensor = wanted.map_or_else(|| "image_embeddings".to_owned(), |t| t.name.clone());
    Err(Error::Tensor { file: decoder.file.clone(), tensor, found, expected })
}

/// The prompt encoder makes 4 x 4 logits of a mask prompt one cell.
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

/// The graphs of a bundle against its description.
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
    if let (true, Some((tensor, _))) = (m.memory.is_some(), outputs.iter().find(|(_, found)| found.is_none())) {
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
    use super::super::layout::tests::graph;
    use super::*;

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
            let info = ModelInfo::of_pair("m".to_owned(), 0, (encoder, &layouts.0), (decoder, &layouts.1)).unwrap();
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
            let made = ModelInfo::of_pair("m".to_owned(), 0, (encoder, &layouts.0), (decoder, &layouts.1));
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

    #[test]
    fn masks_that_the_prompt_encoder_cannot_make_small_are_refused() {
        let plain = include_str!("../../tests/golden/sam/bundle.json");
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
            ModelInfo::of_bundle(&bundle, (encoder, &layouts.0), (decoder, &layouts.1)).map(|_| ())
        };
        with("external", "external").unwrap();
        assert_eq!(
            with("\"low_res_size\": 128", "\"low_res_size\": 64").unwrap_err().to_string(),
            "embedded bundle.json: low_res_size is 64 for embedding_shape [1, 32, 32, 32], expected 4 for each cell, in a \
             bundle with mask prompts outside of the graph"
        );
    }
}
