//! The mask decoders that people have, one row each: what their tensors are called and what their prompts mean.
//!
//! Read from the exporters' sources; docs/models.md says which exporter makes which row and what works.

/// How an image becomes the encoder's picture, and which rules of choice its family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Letterboxed to the top-left, normalised with SAM's mean and standard deviation.
    Sam,
    /// As SAM, with a token for high quality.
    SamHq,
    EdgeSam,
    /// Stretched by the graph, which also normalises: it takes values from 0 to 1.
    EfficientSam,
    /// Stretched, normalised as SAM. With cells of 14 pixels it is SAM 3's tracker, normalised to -1..1.
    Sam2,
}

impl Family {
    /// As bundles call it.
    pub fn name(self) -> &'static str {
        match self {
            Family::Sam => "sam",
            Family::SamHq => "sam-hq",
            Family::EdgeSam => "edgesam",
            Family::EfficientSam => "efficientsam",
            Family::Sam2 => "sam2",
        }
    }
}

/// A mask decoder with the prompt encoder inside.
#[derive(Debug)]
pub(super) struct Known {
    pub name: &'static str,
    pub family: Family,
    /// Inputs that the image encoder makes, with their ranks: first the one whose cells the prompts lie on. None: all
    /// inputs that have no other meaning, f32 of rank 4.
    pub embeddings: &'static [(&'static str, usize)],
    /// `[B, N, 2]` of rank 3, `[1, B, N, 2]` of rank 4, in pixels of the encoder's square.
    pub points: (&'static str, usize),
    /// As the points, without their last dimension.
    pub labels: &'static str,
    /// The mask prompt and its flag. Graphs may lack both.
    pub mask: Option<[&'static str; 2]>,
    /// A flag for each object of a run; else one flag for all of them.
    pub flag_per_object: bool,
    /// Height and width of the masks at the image's size, which are not used.
    pub size: Option<&'static str>,
    /// The points are in pixels of that size.
    pub points_in_size: bool,
    /// `[1, B, 4]`, where boxes are not two points.
    pub boxes: Option<&'static str>,
    /// Low-resolution logits, predicted IoU, object score.
    pub outputs: (&'static str, &'static str, Option<&'static str>),
    /// The pad point comes from the caller.
    pub pad: bool,
    pub takes_boxes: bool,
    pub takes_background: bool,
    /// Tokens that the graph does not cut off.
    pub max_tokens: Option<usize>,
    /// What the dimension of the objects must be, where that tells two layouts apart.
    pub dynamic_batch: Option<bool>,
}

/// Our own, with the prompts as coordinates.
pub(super) const FUSED: &str = "promptseg fused";

const OFFICIAL: Known = Known {
    name: "official SAM",
    family: Family::Sam,
    embeddings: &[("image_embeddings", 4)],
    points: ("point_coords", 3),
    labels: "point_labels",
    mask: Some(["mask_input", "has_mask_input"]),
    flag_per_object: false,
    size: Some("orig_im_size"),
    points_in_size: false,
    boxes: None,
    outputs: ("low_res_masks", "iou_predictions", None),
    pad: true,
    takes_boxes: true,
    takes_background: true,
    max_tokens: None,
    dynamic_batch: None,
};

const SAMEXPORTER_SAM2: Known = Known {
    name: "samexporter SAM 2",
    family: Family::Sam2,
    embeddings: &[("image_embed", 4), ("high_res_feats_0", 4), ("high_res_feats_1", 4)],
    size: None,
    outputs: ("masks", "iou_predictions", None),
    pad: false,
    ..OFFICIAL
};

const TRANSFORMERS: Known = Known {
    name: "transformers SAM",
    embeddings: &[("image_embeddings", 4), ("image_positional_embeddings", 4)],
    points: ("input_points", 4),
    labels: "input_labels",
    mask: None,
    size: None,
    outputs: ("pred_masks", "iou_scores", None),
    pad: false,
    takes_boxes: false,
    ..OFFICIAL
};

pub(super) const KNOWN: &[Known] = &[
    OFFICIAL,
    Known { name: "nanosam", size: None, dynamic_batch: Some(false), ..OFFICIAL },
    Known {
        name: "EdgeSAM",
        family: Family::EdgeSam,
        mask: None,
        size: None,
        outputs: ("masks", "scores", None),
        ..OFFICIAL
    },
    Known {
        name: "EfficientSAM",
        family: Family::EfficientSam,
        points: ("batched_point_coords", 4),
        labels: "batched_point_labels",
        mask: None,
        points_in_size: true,
        // The masks at the size that is asked for, which is that of the low-resolution logits.
        outputs: ("output_masks", "iou_predictions", None),
        // `decoder_max_num_input_points`: the graph fills up with its own pad points, and cuts off what is more.
        pad: false,
        max_tokens: Some(6),
        // It has no embedding for them.
        takes_background: false,
        ..OFFICIAL
    },
    Known {
        name: "SAM-HQ",
        family: Family::SamHq,
        embeddings: &[("image_embeddings", 4), ("interm_embeddings", 5)],
        ..OFFICIAL
    },
    SAMEXPORTER_SAM2,
    // The masks at the size that is asked for, as above.
    Known { name: "ONNX-SAM2", size: Some("orig_im_size"), ..SAMEXPORTER_SAM2 },
    Known {
        name: "RectLabel SAM 2",
        embeddings: &[("image_embeddings", 4), ("high_res_features1", 4), ("high_res_features2", 4)],
        size: Some("orig_im_size"),
        outputs: ("low_res_masks", "iou_predictions", None),
        ..SAMEXPORTER_SAM2
    },
    Known {
        name: "onnxruntime SAM 2",
        embeddings: &[("image_embeddings", 4), ("image_features_0", 4), ("image_features_1", 4)],
        mask: Some(["input_masks", "has_input_masks"]),
        size: Some("original_image_size"),
        outputs: ("low_res_masks", "iou_predictions", None),
        ..SAMEXPORTER_SAM2
    },
    TRANSFORMERS,
    Known {
        name: "transformers.js SAM 2",
        family: Family::Sam2,
        embeddings: &[("image_embeddings.2", 4), ("image_embeddings.0", 4), ("image_embeddings.1", 4)],
        boxes: Some("input_boxes"),
        outputs: ("pred_masks", "iou_scores", Some("object_score_logits")),
        pad: true,
        takes_boxes: true,
        ..TRANSFORMERS
    },
    // Last, because it takes any embedding.
    Known {
        name: FUSED,
        embeddings: &[],
        size: None,
        outputs: ("low_res_masks", "iou_predictions", Some("object_score_logits")),
        flag_per_object: true,
        dynamic_batch: Some(true),
        ..OFFICIAL
    },
];
