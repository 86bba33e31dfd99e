//! The declared inputs and outputs of third-party ONNX graphs.

use arbitrary::{Result, Unstructured};
use promptseg::model::{DecoderLayout, EncoderLayout, Signature, TensorSpec};

const NAMES: &[&str] = &[
    "image",
    "images",
    "input_image",
    "input",
    "pixel_values",
    "batched_images",
    "image_embeddings",
    "image_embed",
    "high_res_feats_0",
    "high_res_feats_1",
    "image_positional_embeddings",
    "image_embeddings.0",
    "image_embeddings.1",
    "image_embeddings.2",
    "interm_embeddings",
    "sparse_prompt_embeddings",
    "dense_prompt_embeddings",
    "point_coords",
    "point_labels",
    "batched_point_coords",
    "batched_point_labels",
    "input_points",
    "input_labels",
    "input_boxes",
    "mask_input",
    "has_mask_input",
    "orig_im_size",
    "low_res_masks",
    "iou_predictions",
    "masks",
    "scores",
    "output_masks",
    "pred_masks",
    "iou_scores",
    "object_score_logits",
    "wanted_masks",
    "boxes",
    "",
];

pub fn run(data: &[u8]) {
    let _ = check(Unstructured::new(data));
}

fn tensor(u: &mut Unstructured) -> Result<TensorSpec> {
    let name = if u.ratio(15, 16)? { (*u.choose(NAMES)?).to_owned() } else { u.arbitrary()? };
    let dtype = if u.ratio(7, 8)? { "f32" } else { *u.choose(&["i64", "i32", "bool", "f16", "not a tensor"])? };
    let rank = u.int_in_range(0..=5)?;
    let axis = |u: &mut Unstructured| match u.int_in_range(0..=9)? {
        0..=3 => Ok(-1),
        4..=8 => Ok(*u.choose(&[0, 1, 2, 3, 4, 32, 64, 256])?),
        _ => u.arbitrary(),
    };
    Ok(TensorSpec { name, dtype: dtype.to_owned(), shape: (0..rank).map(|_| axis(u)).collect::<Result<_>>()? })
}

fn graph(u: &mut Unstructured, file: &str) -> Result<Signature> {
    let mut list = |most| (0..u.int_in_range(0..=most)?).map(|_| tensor(u)).collect::<Result<Vec<_>>>();
    Ok(Signature { file: file.to_owned(), inputs: list(8)?, outputs: list(4)? })
}

fn check(mut u: Unstructured) -> Result<()> {
    let graph = graph(&mut u, "fuzz.onnx")?;
    match EncoderLayout::recognise(&graph) {
        Ok(layout) => {
            assert!(graph.input(&layout.image.name).is_some() && !layout.outputs.is_empty());
            assert!(layout.side.is_none_or(|side| side > 0));
        }
        Err(error) => assert!(error.to_string().contains("fuzz.onnx")),
    }
    match DecoderLayout::recognise(&graph) {
        Ok(layout) => {
            // All tensors that the decoder uses exist in the graph.
            for name in [&layout.low_res, &layout.iou].into_iter().chain(&layout.object_score) {
                assert!(graph.output(name).is_some(), "no output {name}: {layout:?}");
            }
            assert!(!layout.embeddings.is_empty(), "{layout:?}");
            assert!(layout.embeddings.iter().all(|t| graph.input(&t.name).is_some()));
            assert!(layout.masks.is_none_or(|n| n > 0) && layout.low_res_side.is_none_or(|n| n > 0), "{layout:?}");
        }
        Err(error) => assert!(error.to_string().contains("fuzz.onnx")),
    }
    Ok(())
}
