//! Known mask decoders with the prompt encoder inside, one row for each exporter: names of the tensors, meaning of the prompts.
//!
//! The rows follow the sources of the exporters. docs/models.md lists the exporter of each row and what works.

/// Model family, which determines how an image becomes the encoder's picture and how masks are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Letterboxed to the top-left, normalised with SAM's mean and standard deviation.
    Sam,
    /// Like SAM, with a token for high quality.
    SamHq,
    EdgeSam,
    /// Like SAM. The picture of the encoder may be smaller than the square of the prompts.
    EfficientVitSam,
    /// Stretched and normalised by the graph, which takes values from 0 to 1.
    EfficientSam,
    /// Stretched, normalised like SAM. With cells of 14 pixels it is SAM 3's tracker, normalised to the range from -1 to 1.
    Sam2,
}

impl Family {
    /// Returns the name of the family in bundles.
    pub fn name(self) -> &'static str {
        match self {
            Family::Sam => "sam",
            Family::SamHq => "sam-hq",
            Family::EdgeSam => "edgesam",
            Family::EfficientVitSam => "efficientvit-sam",
            Family::EfficientSam => "efficientsam",
            Family::Sam2 => "sam2",
        }
    }
}

/// Layout of a mask decoder with the prompt encoder inside.
#[derive(Debug)]
pub(super) struct KnownLayout {
    pub name: &'static str,
    pub family: Family,
    /// Embeddings of the image encoder, with their ranks. The first has the cells on which prompts lie. If the list is empty, all
    /// f32 inputs of rank 4 without another meaning are embeddings.
    pub embeddings: &'static [(&'static str, usize)],
    /// Points with their rank, in pixels of the encoder's square: `[B, N, 2]` has rank 3, `[1, B, N, 2]` has rank 4.
    pub points: (&'static str, usize),
    /// Labels of the points, with one dimension less than the points.
    pub labels: &'static str,
    /// Mask prompt and the flag for its presence. A graph may lack both.
    pub mask: Option<[&'static str; 2]>,
    /// Whether each object has a flag of its own; otherwise one flag is for all objects.
    pub flag_per_object: bool,
    /// Height and width of the full-size masks, which are not used.
    pub size: Option<&'static str>,
    /// Whether the points are in pixels of that size.
    pub points_in_size: bool,
    /// Boxes, `[1, B, 4]`, if they are not two points.
    pub boxes: Option<&'static str>,
    /// Names of low-resolution logits, predicted IoU and object score.
    pub outputs: (&'static str, &'static str, Option<&'static str>),
    /// Whether the caller adds the pad point.
    pub pad: bool,
    pub takes_boxes: bool,
    pub takes_background: bool,
    /// Most tokens that the graph uses; it ignores further tokens.
    pub max_tokens: Option<usize>,
    /// Whether the dimension of the objects must be dynamic, if two layouts differ in that only.
    pub dynamic_batch: Option<bool>,
}

/// Name of promptseg's own layout that takes prompts as coordinates.
pub(super) const FUSED: &str = "promptseg fused";

const OFFICIAL: KnownLayout = KnownLayout {
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

const SAMEXPORTER_SAM2: KnownLayout = KnownLayout {
    name: "samexporter SAM 2",
    family: Family::Sam2,
    embeddings: &[("image_embed", 4), ("high_res_feats_0", 4), ("high_res_feats_1", 4)],
    size: None,
    outputs: ("masks", "iou_predictions", None),
    pad: false,
    ..OFFICIAL
};

const TRANSFORMERS: KnownLayout = KnownLayout {
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

pub(super) const KNOWN_LAYOUTS: &[KnownLayout] = &[
    OFFICIAL,
    KnownLayout { name: "nanosam", size: None, dynamic_batch: Some(false), ..OFFICIAL },
    KnownLayout {
        name: "EdgeSAM",
        family: Family::EdgeSam,
        mask: None,
        size: None,
        outputs: ("masks", "scores", None),
        ..OFFICIAL
    },
    KnownLayout {
        name: "EfficientViT-SAM",
        family: Family::EfficientVitSam,
        mask: None,
        size: None,
        outputs: ("masks", "iou_predictions", None),
        ..OFFICIAL
    },
    KnownLayout {
        name: "EfficientSAM",
        family: Family::EfficientSam,
        points: ("batched_point_coords", 4),
        labels: "batched_point_labels",
        mask: None,
        points_in_size: true,
        // Masks of the requested size, which is the size of the low-resolution logits.
        outputs: ("output_masks", "iou_predictions", None),
        // `decoder_max_num_input_points`: the graph adds pad points up to this number and ignores further points.
        pad: false,
        max_tokens: Some(6),
        // The graph has no embedding for background points.
        takes_background: false,
        ..OFFICIAL
    },
    KnownLayout {
        name: "SAM-HQ",
        family: Family::SamHq,
        embeddings: &[("image_embeddings", 4), ("interm_embeddings", 5)],
        ..OFFICIAL
    },
    SAMEXPORTER_SAM2,
    // Masks of the requested size, as for EfficientSAM.
    KnownLayout { name: "ONNX-SAM2", size: Some("orig_im_size"), ..SAMEXPORTER_SAM2 },
    KnownLayout {
        name: "RectLabel SAM 2",
        embeddings: &[("image_embeddings", 4), ("high_res_features1", 4), ("high_res_features2", 4)],
        size: Some("orig_im_size"),
        outputs: ("low_res_masks", "iou_predictions", None),
        ..SAMEXPORTER_SAM2
    },
    KnownLayout {
        name: "onnxruntime SAM 2",
        embeddings: &[("image_embeddings", 4), ("image_features_0", 4), ("image_features_1", 4)],
        mask: Some(["input_masks", "has_input_masks"]),
        size: Some("original_image_size"),
        outputs: ("low_res_masks", "iou_predictions", None),
        ..SAMEXPORTER_SAM2
    },
    TRANSFORMERS,
    KnownLayout {
        name: "transformers.js SAM 2",
        family: Family::Sam2,
        embeddings: &[("image_embeddings.2", 4), ("image_embeddings.0", 4), ("image_embeddings.1", 4)],
        boxes: Some("input_boxes"),
        outputs: ("pred_masks", "iou_scores", Some("object_score_logits")),
        pad: true,
        takes_boxes: true,
        ..TRANSFORMERS
    },
    // The last row, because it takes any embedding.
    KnownLayout {
        name: FUSED,
        embeddings: &[],
        size: None,
        outputs: ("low_res_masks", "iou_predictions", Some("object_score_logits")),
        flag_per_object: true,
        dynamic_batch: Some(true),
        ..OFFICIAL
    },
];
