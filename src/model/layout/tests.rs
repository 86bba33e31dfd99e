use super::*;

fn spec(text: &str) -> TensorSpec {
    // `name f32[1,?,2]`, as they are shown.
    let (name, rest) = text.split_once(' ').unwrap();
    let (dtype, shape) = rest.trim_end_matches(']').split_once('[').unwrap();
    let dimension = |d: &str| if d == "?" { -1 } else { d.parse().unwrap() };
    let shape = shape.split(',').filter(|d| !d.is_empty()).map(dimension).collect();
    TensorSpec { name: name.to_owned(), dtype: dtype.to_owned(), shape }
}

/// `inputs -> outputs`, tensors apart by `;`.
pub(in crate::model) fn graph(text: &str) -> Signature {
    let (inputs, outputs) = text.split_once("->").unwrap();
    let list = |text: &str| text.split(';').map(|t| spec(t.trim())).collect();
    Signature { file: "decoder.onnx".to_owned(), inputs: list(inputs), outputs: list(outputs) }
}

const OFFICIAL: &str = "orig_im_size f32[2]; has_mask_input f32[1]; mask_input f32[1,1,256,256]; \
                        point_labels f32[1,?]; point_coords f32[1,?,2]; image_embeddings f32[1,256,64,64] -> \
                        masks f32[?,?,?,?]; iou_predictions f32[?,4]; low_res_masks f32[?,4,256,256]";
const EXTERNAL: &str = "sparse_prompt_embeddings f32[?,?,256]; dense_prompt_embeddings f32[?,256,64,64]; \
                        image_embeddings f32[1,256,64,64] -> iou_predictions f32[?,4]; low_res_masks f32[?,4,256,256]";

fn recognise(text: &str) -> DecoderLayout {
    DecoderLayout::recognise(&graph(text)).unwrap_or_else(|e| panic!("{e}"))
}

fn refusal(text: &str) -> String {
    DecoderLayout::recognise(&graph(text)).unwrap_err().to_string()
}

#[test]
fn the_official_layout_is_recognised_in_any_order_and_decodes_one_object() {
    let layout = recognise(OFFICIAL);
    assert_eq!(layout.name, "official SAM");
    assert!(!layout.batched && layout.takes_mask);
    assert_eq!((layout.masks, layout.low_res_side, layout.embeddings.len()), (Some(4), Some(256), 1));
}

#[test]
fn our_own_layouts_are_recognised() {
    let layout = recognise(EXTERNAL);
    assert_eq!((layout.name, layout.prompts()), ("promptseg external", PromptInput::External));
    assert!(layout.batched && layout.takes_mask && !layout.selects);

    // Of format 2: no embedding of the picture, and not of another number of masks.
    let selecting = |row: usize| EXTERNAL.replacen(" ->", &format!("; wanted_masks f32[?,?,{row}] ->"), 1);
    let layout = recognise(&selecting(5).replace("low_res_masks f32[?,4", "low_res_masks f32[?,?"));
    assert!(layout.selects && layout.batched);
    assert_eq!((layout.masks, layout.embeddings.len()), (Some(4), 1));
    assert!(refusal(&selecting(4)).contains("with or without wanted_masks"));

    let layout = recognise(
        "affinity f32[1,128,64,64]; image_embeddings f32[1,128,16,16]; point_coords f32[?,?,2]; point_labels f32[?,?]; \
         mask_input f32[?,1,128,128]; has_mask_input f32[?] -> low_res_masks f32[?,4,128,128]; iou_predictions f32[?,4]",
    );
    assert_eq!((layout.name, layout.embeddings.len(), layout.low_res_side), ("promptseg fused", 2, Some(128)));
    // The prompts lie on its cells.
    assert_eq!(layout.embeddings[0].name, "image_embeddings");
    assert!(layout.batched && layout.fused.unwrap().flag_per_object);
}

/// The signatures of the exporters at full size.
#[test]
fn every_layout_is_recognised_by_its_signature() {
    let sam2 = "point_coords f32[?,?,2]; point_labels f32[?,?]; mask_input f32[?,1,256,256]; has_mask_input f32[?]";
    let features =
        "image_embed f32[1,256,64,64]; high_res_feats_0 f32[1,32,256,256]; high_res_feats_1 f32[1,64,128,128]";
    for (name, batched, mask, masks, text) in [
        (
            "nanosam",
            false,
            true,
            Some(4),
            "image_embeddings f32[1,256,64,64]; point_coords f32[1,?,2]; point_labels f32[1,?]; \
             mask_input f32[1,1,256,256]; has_mask_input f32[1] -> iou_predictions f32[1,4]; \
             low_res_masks f32[1,4,256,256]"
                .to_owned(),
        ),
        (
            "EdgeSAM",
            false,
            false,
            Some(4),
            "image_embeddings f32[1,256,64,64]; point_coords f32[1,?,2]; point_labels f32[1,?] -> \
             scores f32[1,4]; masks f32[1,4,256,256]"
                .to_owned(),
        ),
        (
            "EfficientViT-SAM",
            true,
            false,
            Some(4),
            "image_embeddings f32[1,256,64,64]; point_coords f32[?,?,2]; point_labels f32[?,?] -> \
             masks f32[?,4,256,256]; iou_predictions f32[?,4]"
                .to_owned(),
        ),
        (
            "EfficientSAM",
            false,
            false,
            Some(3),
            "image_embeddings f32[?,256,64,64]; batched_point_coords f32[1,1,?,2]; batched_point_labels f32[1,1,?]; \
             orig_im_size i64[2] -> output_masks f32[?,?,3,?,?]; iou_predictions f32[?,1,3]; 2841 f32[?,3,256,256]"
                .to_owned(),
        ),
        (
            "SAM-HQ",
            false,
            true,
            Some(1),
            "image_embeddings f32[1,256,64,64]; interm_embeddings f32[4,1,64,64,768]; point_coords f32[1,?,2]; \
             point_labels f32[1,?]; mask_input f32[1,1,256,256]; has_mask_input f32[1]; orig_im_size f32[2] -> \
             masks f32[?,?,?,?]; iou_predictions f32[1,1]; low_res_masks f32[1,1,256,256]"
                .to_owned(),
        ),
        (
            "samexporter SAM 2",
            true,
            true,
            Some(3),
            format!("{features}; {sam2} -> masks f32[?,3,256,256]; iou_predictions f32[?,3]"),
        ),
        (
            "ONNX-SAM2",
            true,
            true,
            Some(3),
            format!("{features}; {sam2}; orig_im_size i32[2] -> masks f32[?,?,?,?]; iou_predictions f32[?,3]"),
        ),
        (
            "RectLabel SAM 2",
            true,
            true,
            Some(4),
            format!(
                "image_embeddings f32[1,256,64,64]; high_res_features1 f32[1,32,256,256]; \
                 high_res_features2 f32[1,64,128,128]; {sam2}; orig_im_size i64[2] -> masks f32[?,?,?,?]; \
                 iou_predictions f32[?,4]; low_res_masks f32[?,4,256,256]"
            ),
        ),
        (
            "onnxruntime SAM 2",
            true,
            true,
            None,
            "image_features_0 f32[1,32,256,256]; image_features_1 f32[1,64,128,128]; \
             image_embeddings f32[1,256,64,64]; point_coords f32[?,?,2]; point_labels i32[?,?]; \
             input_masks f32[?,1,256,256]; has_input_masks f32[?]; original_image_size i32[2] -> masks bool[?,?,?,?]; \
             iou_predictions f32[?,?]; low_res_masks f32[?,?,?,?]"
                .to_owned(),
        ),
        (
            "transformers SAM",
            true,
            false,
            Some(3),
            "image_positional_embeddings f32[?,256,64,64]; image_embeddings f32[?,256,64,64]; \
             input_points f32[?,?,?,2]; input_labels i64[?,?,?] -> iou_scores f32[?,?,3]; \
             pred_masks f32[?,?,3,256,256]"
                .to_owned(),
        ),
        (
            "transformers.js SAM 2",
            true,
            false,
            Some(3),
            "image_embeddings.0 f32[?,32,288,288]; image_embeddings.1 f32[?,64,144,144]; \
             image_embeddings.2 f32[?,256,72,72]; input_points f32[?,1,?,2]; input_labels i64[?,1,?]; \
             input_boxes f32[?,?,4] -> iou_scores f32[?,?,3]; pred_masks f32[?,?,3,288,288]; \
             object_score_logits f32[?,?,1]"
                .replace("[?,1,", "[?,?,"),
        ),
    ] {
        let layout = recognise(&text);
        assert_eq!((layout.name, layout.batched, layout.takes_mask, layout.masks), (name, batched, mask, masks));
    }
}

#[test]
fn a_single_mask_export_and_one_without_mask_input_are_known() {
    let one = OFFICIAL.replace("low_res_masks f32[?,4,", "low_res_masks f32[1,1,");
    assert_eq!(recognise(&one).masks, Some(1));
    let no_mask = OFFICIAL.replace("has_mask_input f32[1]; mask_input f32[1,1,256,256]; ", "");
    let layout = recognise(&no_mask);
    assert_eq!((layout.name, layout.takes_mask), ("official SAM", false));
}

#[test]
fn what_is_unknown_is_refused_with_what_was_found_and_the_nearest_layout() {
    for (from, to, parts) in [
        (
            " low_res_masks",
            " logits",
            &["logits f32[?,4,256,256]", "official SAM, but", "no output `low_res_masks`"][..],
        ),
        ("point_coords f", "coords f", &["no input `point_coords`", "input coords f32[1,?,2] is too many"]),
        (" mask_input f", " previous f", &["no input `mask_input`", "previous f32[1,1,256,256] is too many"]),
        ("point_coords f32[1,?,2]", "point_coords f32[?,2]", &["point_coords f32[?,2] is not f32 or f16 of rank 3"]),
        ("point_coords f32[1,?,2]", "point_coords f64[1,?,2]", &["point_coords f64[1,?,2] is not f32 or f16"]),
        ("[1,1,256,256]", "[1,1,256,128]", &["the mask prompt is not square"]),
    ] {
        let message = refusal(&OFFICIAL.replace(from, to));
        for part in [parts, &["decoder.onnx", "official SAM"]].concat() {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }
    let message = refusal("tokens i64[1,?] -> logits f32[1,?,32000]");
    assert!(
        message.contains("tokens i64[1,?]") && message.contains("none of promptseg external, official"),
        "{message}"
    );
    // Far from all, nearest to SAM 2's.
    let message = refusal(
        "image_embed f32[1,256,64,64]; high_res_feats_0 f32[1,32,256,256]; high_res_feats_1 f32[1,64,128,128]; \
         point_coords f32[1,?,2]; point_labels f32[1,?] -> pred_mask f32[1,1,256,256]; iou_predictions f32[1,1]",
    );
    assert!(message.contains("samexporter SAM 2, but no output `masks`"), "{message}");
}

#[test]
fn encoders_are_recognised_by_their_picture() {
    let encoder =
        |picture: &str| EncoderLayout::recognise(&graph(&format!("{picture} -> image_embeddings f32[1,256,64,64]")));
    for name in ["image", "images", "input_image", "input", "pixel_values"] {
        let layout = encoder(&format!("{name} f32[1,3,1024,1024]")).unwrap();
        assert_eq!((layout.image.name.as_str(), layout.side, layout.form), (name, Some(1024), PictureForm::Square));
    }
    assert_eq!(encoder("image f32[?,3,?,?]").unwrap().side, None);
    assert_eq!(encoder("input_image f32[?,?,3]").unwrap().form, PictureForm::Levels);
    assert_eq!(encoder("batched_images f32[?,3,?,?]").unwrap().form, PictureForm::Unit);
    let levels = "image u8[1,64,64,3]; content_rows f32[1,1,64,1]; content_columns f32[1,1,1,64]";
    let layout = encoder(levels).unwrap();
    assert_eq!((layout.form, layout.side, layout.image.name.as_str()), (PictureForm::Bytes, Some(64), "image"));
    for (from, to) in [("64,64,3", "64,32,3"), ("u8", "i8"), ("[1,1,1,64]", "[1,1,64,1]"), ("_rows", "_lines")] {
        let e = encoder(&levels.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(e.contains("`image` u8[1,S,S,3] with `content_rows` and `content_columns`"), "{e}");
    }
    for wrong in ["[1,4,1024,1024]", "[1,3,1024,768]", "[1024,1024,3]", "[8,3,1024,1024]"] {
        let e = encoder(&format!("image f32{wrong}")).unwrap_err().to_string();
        assert!(e.contains("[1,3,S,S]") && e.contains(wrong), "{e}");
    }
    assert!(encoder("tokens f32[1,3,64,64]").is_err());
}

#[test]
fn a_pair_that_does_not_belong_together_is_refused_with_both_shapes() {
    let layout = recognise(EXTERNAL);
    let check = |output: &str| {
        let encoder = graph(&format!("image f32[1,3,512,512] -> {output}"));
        check_pair(&encoder, &graph(EXTERNAL), &layout.embeddings)
    };
    assert!(check("image_embeddings f32[1,256,64,64]").is_ok());
    let e = check("image_embeddings f32[1,256,32,32]").unwrap_err().to_string();
    assert!(e.contains("[1,256,32,32]") && e.contains("[1,256,64,64]"), "{e}");
    let e = check("features f32[1,256,64,64]").unwrap_err().to_string();
    assert!(e.contains("`image_embeddings`") && e.contains("features f32"), "{e}");
}

const ATTENTION: &str = "image_embeddings f32[1,256,64,64]; memories f32[?,4096,64]; memory_times f32[?,7]; \
                         object_pointers f32[?,256]; pointer_times f32[?,1] -> conditioned_embeddings f32[1,256,64,64]";
const MEMORY: &str = "image_embeddings f32[1,256,64,64]; low_res_masks f32[1,1,256,256]; binarize f32[1,1]; \
                      object_score_logits f32[1,1] -> memory_features f32[1,4096,64]";
const SIZES: MemorySizes =
    MemorySizes { embedding: [256, 64, 64], low_res: 256, frames: 7, tokens: 4096, channels: 64 };

#[test]
fn the_graphs_of_a_memory_are_recognised_with_and_without_what_the_first_version_lacks() {
    let check = |which: MemoryGraph, text: &str| which.check(&graph(text), &SIZES).unwrap_or_else(|e| panic!("{e}"));
    assert!(check(MemoryGraph::Attention, ATTENTION).pointer_times);
    assert!(!check(MemoryGraph::Attention, &ATTENTION.replace("; pointer_times f32[?,1]", "")).pointer_times);
    assert!(check(MemoryGraph::Encoder, MEMORY).object_score);
    assert!(!check(MemoryGraph::Encoder, &MEMORY.replace("; object_score_logits f32[1,1]", "")).object_score);
    // What a graph puts out may be unknown; it is looked at when it is there.
    check(MemoryGraph::Encoder, &MEMORY.replace("features f32[1,4096,64]", "features f32[?,?,?]"));
}

#[test]
fn a_graph_that_is_none_of_a_memorys_is_described() {
    let refusal = |which: MemoryGraph, text: &str| which.check(&graph(text), &SIZES).unwrap_err().to_string();
    let without = refusal(MemoryGraph::Attention, &ATTENTION.replace("memory_times", "times"));
    for says in [
        "no known layout of a memory attention",
        "nearest: memory attention image_embeddings f32[1,256,64,64], memories f32[?,4096,64]",
        "but no input `memory_times`, input times f32[?,7] is too many",
    ] {
        assert!(without.contains(says), "{without}");
    }
    for (which, text, from, to, says) in [
        (
            MemoryGraph::Attention,
            ATTENTION,
            "memories f32[?,",
            "memories f32[7,",
            "memories f32[7,4096,64], expected memories f32[?,",
        ),
        (MemoryGraph::Attention, ATTENTION, "memories f32", "memories f16", "memories f16[?,4096,64], expected"),
        (
            MemoryGraph::Encoder,
            MEMORY,
            "masks f32[1,1,256,256]",
            "masks f32[1,256,256]",
            "masks f32[1,256,256], expected",
        ),
        (MemoryGraph::Encoder, MEMORY, "features f32[1,4096,64]", "features f32[1,512,64]", "[1,512,64], expected"),
    ] {
        let message = refusal(which, &text.replace(from, to));
        assert!(message.contains(says) && message.contains("by bundle.json"), "{message}");
    }
}

#[test]
fn what_stands_in_the_place_of_another_graph_is_named() {
    let swapped = recognise_memory(MemoryGraph::Attention, &graph(MEMORY), &SIZES).unwrap_err().to_string();
    assert!(
        swapped.contains("is a memory encoder, expected a memory attention; are the two files swapped?"),
        "{swapped}"
    );
    let decoder = recognise_decoder(&graph(ATTENTION)).unwrap_err().to_string();
    assert!(decoder.contains("is a memory attention, expected a mask decoder"), "{decoder}");
    let encoder = recognise_encoder(&graph(OFFICIAL)).unwrap_err().to_string();
    assert!(encoder.contains("is a mask decoder, expected an image encoder"), "{encoder}");
}
