use super::*;

fn spec(name: &str, dtype: &str, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), dtype: dtype.to_owned(), shape: shape.to_vec() }
}

fn graph(inputs: &[(&str, &[i64])], outputs: &[(&str, &[i64])]) -> Signature {
    let f32s = |list: &[(&str, &[i64])]| list.iter().map(|(name, shape)| spec(name, "f32", shape)).collect();
    Signature { file: "decoder.onnx".to_owned(), inputs: f32s(inputs), outputs: f32s(outputs) }
}

const MASKS: &[(&str, &[i64])] = &[("iou_predictions", &[-1, 4]), ("low_res_masks", &[-1, 4, 256, 256])];

fn official() -> Signature {
    graph(
        &[
            ("orig_im_size", &[2]),
            ("has_mask_input", &[1]),
            ("mask_input", &[1, 1, 256, 256]),
            ("point_labels", &[1, -1]),
            ("point_coords", &[1, -1, 2]),
            ("image_embeddings", &[1, 256, 64, 64]),
        ],
        &[("masks", &[-1, -1, -1, -1]), MASKS[0], MASKS[1]],
    )
}

fn external() -> Signature {
    graph(
        &[
            ("sparse_prompt_embeddings", &[-1, -1, 256]),
            ("dense_prompt_embeddings", &[-1, 256, 64, 64]),
            ("image_embeddings", &[1, 256, 64, 64]),
        ],
        MASKS,
    )
}

#[test]
fn the_official_layout_is_recognised_in_any_order_and_decodes_one_object() {
    let layout = DecoderLayout::recognise(&official()).unwrap();
    assert_eq!(layout.name(), "official SAM");
    assert!(!layout.batched && layout.takes_mask && layout.orig_im_size);
    assert_eq!((layout.masks, layout.low_res_side), (Some(4), Some(256)));
    assert_eq!(layout.embeddings.len(), 1);
}

#[test]
fn our_own_layouts_are_recognised() {
    let layout = DecoderLayout::recognise(&external()).unwrap();
    assert_eq!(layout.prompts, PromptInput::External);
    assert!(layout.batched && layout.takes_mask);

    let fused = graph(
        &[
            ("image_embeddings", &[1, 128, 16, 16]),
            ("affinity", &[1, 128, 64, 64]),
            ("point_coords", &[-1, -1, 2]),
            ("point_labels", &[-1, -1]),
            ("mask_input", &[-1, 1, 128, 128]),
            ("has_mask_input", &[-1]),
        ],
        &[("low_res_masks", &[-1, 4, 128, 128]), ("iou_predictions", &[-1, 4])],
    );
    let layout = DecoderLayout::recognise(&fused).unwrap();
    assert_eq!((layout.prompts, layout.embeddings.len(), layout.low_res_side), (PromptInput::Fused, 2, Some(128)));
    assert!(layout.batched && !layout.orig_im_size);
}

#[test]
fn a_single_mask_export_and_one_without_mask_input_are_known() {
    let mut one = official();
    one.outputs = graph(&[], &[("low_res_masks", &[1, 1, 256, 256]), ("iou_predictions", &[1, 1])]).outputs;
    assert_eq!(DecoderLayout::recognise(&one).unwrap().masks, Some(1));
    let mut no_mask = official();
    no_mask.inputs.retain(|t| !t.name.contains("mask"));
    assert!(!DecoderLayout::recognise(&no_mask).unwrap().takes_mask);
}

#[test]
fn what_is_unknown_is_refused_with_what_was_found_and_what_is_known() {
    let renamed = |name: &str| {
        let mut graph = official();
        graph.outputs.iter_mut().chain(&mut graph.inputs).filter(|t| t.name == name).for_each(|t| t.name.push('x'));
        DecoderLayout::recognise(&graph)
    };
    for name in ["low_res_masks", "iou_predictions", "point_coords", "point_labels", "mask_input"] {
        let e = renamed(name).unwrap_err().to_string();
        assert!(
            e.contains("decoder.onnx") && e.contains(&format!("{name}x f32[")) && e.contains("official SAM"),
            "{e}"
        );
    }
    let mut labels = official();
    labels.inputs[3].dtype = "i64".to_owned();
    assert!(DecoderLayout::recognise(&labels).is_err());
    let mut flat = official();
    flat.inputs[4].shape = vec![-1, 2];
    assert!(DecoderLayout::recognise(&flat).is_err());
}

#[test]
fn encoders_are_recognised_by_their_picture() {
    let embedding: &[(&str, &[i64])] = &[("image_embeddings", &[1, 256, 64, 64])];
    for name in ["image", "images", "input_image"] {
        let layout = EncoderLayout::recognise(&graph(&[(name, &[1, 3, 1024, 1024])], embedding)).unwrap();
        assert_eq!((layout.image.as_str(), layout.side), (name, Some(1024)));
    }
    let dynamic = EncoderLayout::recognise(&graph(&[("image", &[-1, 3, -1, -1])], embedding)).unwrap();
    assert_eq!(dynamic.side, None);
    for wrong in [&[1, 4, 1024, 1024][..], &[1, 3, 1024, 768], &[1024, 1024, 3], &[8, 3, 1024, 1024]] {
        let e = EncoderLayout::recognise(&graph(&[("image", wrong)], embedding)).unwrap_err();
        assert!(e.to_string().contains("[1,3,S,S]"), "{e}");
    }
    assert!(EncoderLayout::recognise(&graph(&[("tokens", &[1, 3, 64, 64])], embedding)).is_err());
}

#[test]
fn a_pair_that_does_not_belong_together_is_refused_with_both_shapes() {
    let layout = DecoderLayout::recognise(&external()).unwrap();
    let encoder = |name: &str, shape: &[i64]| graph(&[("image", &[1, 3, 512, 512])], &[(name, shape)]);
    assert!(check_pair(&encoder("image_embeddings", &[1, 256, 64, 64]), &external(), &layout).is_ok());
    let e = check_pair(&encoder("image_embeddings", &[1, 256, 32, 32]), &external(), &layout).unwrap_err().to_string();
    assert!(e.contains("[1,256,32,32]") && e.contains("[1,256,64,64]"), "{e}");
    let e = check_pair(&encoder("features", &[1, 256, 64, 64]), &external(), &layout).unwrap_err().to_string();
    assert!(e.contains("`image_embeddings`") && e.contains("features f32"), "{e}");
}
