//! Shape profile of the mask decoder: the shapes that TensorRT builds the decoder's engine for.

use std::ops::RangeInclusive;

use super::options::SessionOptions;
use super::shape_profile::ShapeProfile;
use crate::model::info::ModelInfo;
use crate::model::layout::{DecoderLayout, TensorSpec, embedding_shape};

/// Number of objects in one run for which TensorRT's engine is fastest. An operator waits for the mask of one click; a batch of
/// detections arrives at the rate of the detector.
const FASTEST_OBJECTS: usize = 1;

/// Number of prompt tokens of an object for which TensorRT's engine is fastest. The first click on an object has two tokens
/// (the second pads), and a box has two.
const FASTEST_TOKENS: usize = 2;

/// Returns the numbers of prompt tokens of an object that the decoder's engine is built for. Zero tokens are an object with
/// a box alone, in a graph that has an input of its own for boxes.
pub fn token_range(layout: &DecoderLayout, options: &SessionOptions) -> RangeInclusive<usize> {
    let boxes_apart = layout.fused.as_ref().is_some_and(|fused| fused.boxes.is_some());
    usize::from(!boxes_apart)..=options.max_tokens.max(3)
}

/// Returns the shape profile of the decoder: 1 to `max_objects` objects and the tokens of [`token_range`], fastest for
/// [`FASTEST_OBJECTS`] and [`FASTEST_TOKENS`].
pub fn decoder_profile(layout: &DecoderLayout, info: &ModelInfo, options: &SessionOptions) -> ShapeProfile {
    let mut profile = ShapeProfile::default();
    let most = if layout.batched { options.max_objects.max(1) } else { 1 };
    let (fewest, tokens) = token_range(layout, options).into_inner();
    let (opt, opt_tokens) = (FASTEST_OBJECTS.min(most), FASTEST_TOKENS.min(tokens));
    let channels = info.embedding_shape[1];
    let [h, w] = [info.embedding_shape[2], info.embedding_shape[3]];
    let is_dynamic = |t: &&TensorSpec| (0..t.shape.len()).any(|axis| t.dynamic(axis));
    // TensorRT takes ranges for all dynamic inputs or for none.
    for embedding in layout.embeddings.iter().filter(is_dynamic) {
        if let Some(shape) = embedding_shape(embedding, info.encoder.output(&embedding.name)) {
            profile.add(&embedding.name, &shape, &shape, &shape);
        }
    }
    let Some(fused) = &layout.fused else {
        let name = "sparse_prompt_embeddings";
        profile.add(name, &[1, 1, channels], &[opt, opt_tokens, channels], &[most, tokens, channels]);
        let name = "dense_prompt_embeddings";
        profile.add(name, &[1, channels, h, w], &[1, channels, h, w], &[most, channels, h, w]);
        if let (true, Some(masks)) = (layout.selects, layout.masks) {
            profile.add("wanted_masks", &[1, 1, masks + 1], &[opt, 1, masks + 1], &[most, masks, masks + 1]);
        }
        return profile;
    };
    let side = info.low_res_size;
    // Some graphs have a batch of images before the objects; its size is always 1.
    let shape = |tensor: &TensorSpec, rank: usize, shape: &[usize]| {
        [vec![1; tensor.shape.len() - rank], shape.to_vec()].concat()
    };
    let (points, labels) = (&fused.points, &fused.labels);
    let points_of = |objects: usize, tokens: usize| shape(points, 3, &[objects, tokens, 2]);
    profile.add(&points.name, &points_of(1, fewest), &points_of(opt, opt_tokens), &points_of(most, tokens));
    let labels_of = |objects: usize, tokens: usize| shape(labels, 2, &[objects, tokens]);
    profile.add(&labels.name, &labels_of(1, fewest), &labels_of(opt, opt_tokens), &labels_of(most, tokens));
    if let Some(boxes) = &fused.boxes {
        profile.add(&boxes.name, &[1, 0, 4], &[1, opt, 4], &[1, most, 4]);
    }
    if let Some([mask, flag]) = &fused.mask
        && [mask, flag].iter().any(is_dynamic)
    {
        profile.add(&mask.name, &[1, 1, side, side], &[opt, 1, side, side], &[most, 1, side, side]);
        let flags = |objects| [if fused.flag_per_object { objects } else { 1 }];
        profile.add(&flag.name, &[1], &flags(opt), &flags(most));
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::layout::EncoderLayout;
    use crate::model::layout::tests::graph;

    #[test]
    fn embeddings_of_an_open_number_of_images_have_a_range_too() {
        let profile_of = |made: &str, wanted: &str| {
            let features = "image_positional_embeddings f32[1,256,64,64]";
            let encoder =
                graph(&format!("pixel_values f32[?,3,1024,1024] -> image_embeddings f32[{made}]; {features}"));
            let decoder = graph(&format!(
                "input_points f32[?,?,?,2]; input_labels i64[?,?,?]; image_embeddings f32[{wanted}]; {features} -> \
                 iou_scores f32[?,?,3]; pred_masks f32[?,?,3,256,256]"
            ));
            let (encoder_layout, layout) =
                (EncoderLayout::recognise(&encoder).unwrap(), DecoderLayout::recognise(&decoder).unwrap());
            let pair = ((encoder, &encoder_layout), (decoder, &layout));
            let info = ModelInfo::from_graphs("m".to_owned(), 0, pair.0, pair.1).unwrap();
            decoder_profile(&layout, &info, &SessionOptions::default())
        };
        for (made, wanted) in [("?,256,64,64", "?,256,64,64"), ("1,256,64,64", "?,?,?,?"), ("?,?,64,64", "?,256,?,?")] {
            let ShapeProfile { min, opt, max } = profile_of(made, wanted);
            assert_eq!(min, "image_embeddings:1x256x64x64,input_points:1x1x1x2,input_labels:1x1x1");
            assert_eq!(opt, "image_embeddings:1x256x64x64,input_points:1x1x2x2,input_labels:1x1x2");
            assert_eq!(max, "image_embeddings:1x256x64x64,input_points:1x64x16x2,input_labels:1x64x16");
        }
        assert!(profile_of("?,256,64,64", "1,256,64,64").min.starts_with("input_points"), "nothing is open");
    }
}
