//! Group `everything`: masks of everything in an image.

use std::time::Duration;

use crate::engine::{GenerationSettings, MaskNms, WhenBusy};
use crate::everything::{Priority, Search};
use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::{Flag, Float, Integer, Text};
use crate::node::config::definition::TakesEffect::Now;

/// Returns the defaults of a generation, which the table repeats.
fn generation() -> GenerationSettings {
    GenerationSettings::default()
}

/// Returns the number that the decimals of an `f32` write: 0.88, not 0.8799999952316284.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

/// Definitions, in the order of `config/promptseg.yaml`.
pub const EVERYTHING: &[Definition] = &[
    Definition {
        name: "everything.rate",
        formerly: None,
        description: "Most generations of the running mode, in 1/s: the newest frame is segmented again and again, while an output has a subscriber. 0: no running mode.",
        takes_effect: Now,
        kind: Float {
            default: || 0.0,
            min: 0.0,
            max: 30.0,
            store: |c, v| {
                c.engine.everything.period =
                    (v > 0.0).then(|| Duration::try_from_secs_f64(1.0 / v).unwrap_or(Duration::MAX))
            },
        },
    },
    Definition {
        name: "everything.when_busy",
        formerly: None,
        description: "What a request for everything does while another one runs or waits: 'queue' (it waits, behind at most 8 others), 'supersede' (it ends the others).",
        takes_effect: Now,
        kind: Text {
            default: "queue",
            choices: &WhenBusy::CHOICES,
            store: |c, v| c.engine.everything.when_busy = v.parse().unwrap_or_default(),
        },
    },
    Definition {
        name: "everything.points_per_side",
        formerly: None,
        description: "Clicks along each side of the image: 32 are 1024 clicks. 0: as the model has it (32; 16 for 'tiny').",
        takes_effect: Now,
        kind: Integer {
            default: || 0,
            min: 0,
            max: 256,
            store: |c, v| c.engine.everything.generation.points_per_side = (v > 0).then_some(v as u32),
        },
    },
    Definition {
        name: "everything.points_per_batch",
        formerly: None,
        description: "Clicks that are decoded in one go. A click of a person waits for at most one batch: fewer make its answer quicker, and the generation slower.",
        takes_effect: Now,
        kind: Integer {
            default: || generation().generator.points_per_batch as i64,
            min: 1,
            max: 1024,
            store: |c, v| c.engine.everything.generation.generator.points_per_batch = v as usize,
        },
    },
    Definition {
        name: "everything.batch_megabytes",
        formerly: None,
        description: "Most memory of one batch on the decoder, in MB: fewer clicks share a batch if they need more.",
        takes_effect: Now,
        kind: Integer {
            default: || generation().generator.batch_megabytes as i64,
            min: 1,
            max: 1_000_000,
            store: |c, v| c.engine.everything.generation.generator.batch_megabytes = v as usize,
        },
    },
    Definition {
        name: "everything.search",
        formerly: None,
        description: "Order of the clicks: 'grid' (all of them, as in the reference), 'coarse_to_fine' (a quarter of them first, then those on pixels without a mask: quicker, with a loss of recall).",
        takes_effect: Now,
        kind: Text {
            default: "grid",
            choices: &["grid", "coarse_to_fine"],
            store: |c, v| {
                c.engine.everything.generation.generator.search =
                    if v == "coarse_to_fine" { Search::CoarseToFine } else { Search::Grid };
            },
        },
    },
    Definition {
        name: "everything.pred_iou_thresh",
        formerly: None,
        description: "Masks with a predicted IoU up to this are dropped; 0 keeps every mask. Negative: as the model has it (0.88 for SAM, 0.8 for SAM 2, 0.7 for 'tiny').",
        takes_effect: Now,
        kind: Float {
            default: || -1.0,
            min: -1.0,
            max: 1.0,
            store: |c, v| c.engine.everything.generation.pred_iou_thresh = (v >= 0.0).then_some(v as f32),
        },
    },
    Definition {
        name: "everything.stability_score_thresh",
        formerly: None,
        description: "Masks with a stability score below this are dropped; 0 keeps every mask. Negative: as the model has it (0.95; 0.85 for 'tiny').",
        takes_effect: Now,
        kind: Float {
            default: || -1.0,
            min: -1.0,
            max: 1.0,
            store: |c, v| c.engine.everything.generation.stability_score_thresh = (v >= 0.0).then_some(v as f32),
        },
    },
    Definition {
        name: "everything.stability_score_offset",
        formerly: None,
        description: "Shift of the mask threshold for the stability score, in logits.",
        takes_effect: Now,
        kind: Float {
            default: || decimal(generation().generator.stability_score_offset),
            min: 0.0,
            max: 100.0,
            store: |c, v| c.engine.everything.generation.generator.stability_score_offset = v as f32,
        },
    },
    Definition {
        name: "everything.box_nms_thresh",
        formerly: None,
        description: "Of two masks whose boxes overlap with an IoU above this, the less certain one is dropped.",
        takes_effect: Now,
        kind: Float {
            default: || generation().generator.box_nms_thresh,
            min: 0.0,
            max: 1.0,
            store: |c, v| c.engine.everything.generation.generator.box_nms_thresh = v,
        },
    },
    Definition {
        name: "everything.crop_n_layers",
        formerly: None,
        description: "Layers of crops beside the whole image: layer i has 2^i by 2^i crops, each encoded on its own.",
        takes_effect: Now,
        kind: Integer {
            default: || i64::from(generation().generator.crop_n_layers),
            min: 0,
            max: 4,
            store: |c, v| c.engine.everything.generation.generator.crop_n_layers = v as u32,
        },
    },
    Definition {
        name: "everything.crop_nms_thresh",
        formerly: None,
        description: "The same as everything.box_nms_thresh for masks of different crops; the mask of the smaller crop stays.",
        takes_effect: Now,
        kind: Float {
            default: || generation().generator.crop_nms_thresh,
            min: 0.0,
            max: 1.0,
            store: |c, v| c.engine.everything.generation.generator.crop_nms_thresh = v,
        },
    },
    Definition {
        name: "everything.crop_overlap_ratio",
        formerly: None,
        description: "Overlap of the crops of the first layer, as a part of the image's short side; later layers overlap less.",
        takes_effect: Now,
        kind: Float {
            default: || generation().generator.crop_overlap_ratio,
            min: 0.0,
            max: 0.9,
            store: |c, v| c.engine.everything.generation.generator.crop_overlap_ratio = v,
        },
    },
    Definition {
        name: "everything.crop_n_points_downscale_factor",
        formerly: None,
        description: "Layer i has everything.points_per_side divided by this to the power of i clicks along each side of a crop.",
        takes_effect: Now,
        kind: Integer {
            default: || i64::from(generation().generator.crop_n_points_downscale_factor),
            min: 1,
            max: 16,
            store: |c, v| c.engine.everything.generation.generator.crop_n_points_downscale_factor = v as u32,
        },
    },
    Definition {
        name: "everything.min_mask_region_area",
        formerly: None,
        description: "Holes and islands of a mask with fewer pixels than this are filled and removed.",
        takes_effect: Now,
        kind: Integer {
            default: || i64::from(generation().generator.min_mask_region_area),
            min: 0,
            max: 1_000_000,
            store: |c, v| c.engine.everything.generation.generator.min_mask_region_area = v as u32,
        },
    },
    Definition {
        name: "everything.use_m2m",
        formerly: None,
        description: "SAM 2: decode every mask a second time, with the mask itself as a prompt beside its click.",
        takes_effect: Now,
        kind: Flag {
            default: || generation().generator.use_m2m,
            store: |c, v| c.engine.everything.generation.generator.use_m2m = v,
        },
    },
    Definition {
        name: "everything.multimask_output",
        formerly: None,
        description: "Three masks for each click; false: the single mask that the decoder makes for clear prompts.",
        takes_effect: Now,
        kind: Flag {
            default: || generation().generator.multimask_output,
            store: |c, v| c.engine.everything.generation.generator.multimask_output = v,
        },
    },
    Definition {
        name: "everything.mask_nms",
        formerly: None,
        description: "Masks that are dropped because a more certain mask shares their pixels: 'off' (none, as in the reference), 'duplicates' (masks with an IoU above everything.mask_nms_iou), 'parts' (also the less certain of a part and its whole).",
        takes_effect: Now,
        kind: Text {
            default: "off",
            choices: &["off", "duplicates", "parts"],
            store: |c, v| {
                c.engine.everything.generation.mask_nms = match v {
                    "duplicates" => MaskNms::Duplicates,
                    "parts" => MaskNms::Parts,
                    _ => MaskNms::Off,
                };
            },
        },
    },
    Definition {
        name: "everything.mask_nms_iou",
        formerly: None,
        description: "IoU above which two masks are the same object.",
        takes_effect: Now,
        kind: Float {
            default: || decimal(generation().overlap.iou),
            min: 0.0,
            max: 1.0,
            store: |c, v| c.engine.everything.generation.overlap.iou = v as f32,
        },
    },
    Definition {
        name: "everything.mask_nms_part",
        formerly: None,
        description: "A mask is a part of a larger one if more than this share of its pixels lies inside the larger mask.",
        takes_effect: Now,
        kind: Float {
            default: || decimal(generation().overlap.part),
            min: 0.0,
            max: 1.0,
            store: |c, v| c.engine.everything.generation.overlap.part = v as f32,
        },
    },
    Definition {
        name: "everything.disjoint",
        formerly: None,
        description: "Whether each pixel belongs to one mask: 'off' (masks may overlap, as in the reference), 'certain' (it belongs to the most certain mask), 'large' (to the largest).",
        takes_effect: Now,
        kind: Text {
            default: "off",
            choices: &["off", "certain", "large"],
            store: |c, v| {
                c.engine.everything.generation.generator.disjoint = match v {
                    "certain" => Some(Priority::Certain),
                    "large" => Some(Priority::Large),
                    _ => None,
                };
            },
        },
    },
    Definition {
        name: "everything.min_area",
        formerly: None,
        description: "Masks with fewer pixels are dropped.",
        takes_effect: Now,
        kind: Integer {
            default: || i64::from(generation().min_area),
            min: 0,
            max: 1_000_000_000,
            store: |c, v| c.engine.everything.generation.min_area = v as u32,
        },
    },
    Definition {
        name: "everything.max_masks",
        formerly: None,
        description: "Most masks of one generation: those with the largest product of predicted IoU and stability score.",
        takes_effect: Now,
        kind: Integer {
            default: || generation().max_masks as i64,
            min: 1,
            max: 10_000,
            store: |c, v| c.engine.everything.generation.max_masks = v as usize,
        },
    },
];
