//! Prompts, clicks, and the image plane that makes an image clickable in rviz2.

use std::time::Duration;

use crate::engine::Settings;
use crate::model::Candidates;
use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::{Float, Integer, Text};
use crate::node::config::definition::TakesEffect::Now;
use crate::prompt::Label;

/// Returns the defaults of the engine, which the table repeats.
fn engine() -> Settings {
    Settings::default()
}

/// Choices of an input; empty for the choice of `persistence`.
const PERSISTENCE_OF_INPUT: &[&str] = &["", "once", "hold", "track"];

/// Definitions, in the order of `config/promptseg.yaml`.
pub const PROMPTS: &[Definition] = &[
    Definition {
        name: "candidates",
        description: "Which mask is the result: 'auto' (a lone click gets the best of three, clearer prompts the single mask), 'single', 'multi' (always the best of three).",
        takes_effect: Now,
        kind: Text {
            default: "auto",
            choices: &["auto", "single", "multi"],
            store: |c, v| {
                c.engine.candidates = match v {
                    "single" => Candidates::Single,
                    "multi" => Candidates::Multi,
                    _ => Candidates::Auto,
                };
            },
        },
    },
    Definition {
        name: "stability_offset",
        description: "Offset of the stability score, in logits: area above threshold + offset over area above threshold - offset.",
        takes_effect: Now,
        kind: Float {
            default: || engine().stability_offset.into(),
            min: 0.0,
            max: 100.0,
            store: |c, v| c.engine.stability_offset = v as f32,
        },
    },
    Definition {
        name: "persistence",
        description: "How long an object lives: 'once' (its own frame), 'hold' (same prompts on every frame), 'track' (follow the object: by SAM 2's memory where the model has it, else its mask prompts the next frame).",
        takes_effect: Now,
        kind: Text {
            default: "hold",
            choices: &["once", "hold", "track"],
            store: |c, v| c.persistence.default = v.parse().unwrap_or_default(),
        },
    },
    Definition {
        name: "persistence_point",
        description: "Persistence of clicks on 'point' and on the overlay; empty: as 'persistence'.",
        takes_effect: Now,
        kind: Text { default: "", choices: PERSISTENCE_OF_INPUT, store: |c, v| c.persistence.point = v.parse().ok() },
    },
    Definition {
        name: "persistence_pixel",
        description: "Persistence of clicks on 'pixel'; empty: as 'persistence'.",
        takes_effect: Now,
        kind: Text { default: "", choices: PERSISTENCE_OF_INPUT, store: |c, v| c.persistence.pixel = v.parse().ok() },
    },
    Definition {
        name: "persistence_clicked_point",
        description: "Persistence of 3-D clicks on 'clicked_point'; empty: as 'persistence'.",
        takes_effect: Now,
        kind: Text {
            default: "",
            choices: PERSISTENCE_OF_INPUT,
            store: |c, v| c.persistence.clicked_point = v.parse().ok(),
        },
    },
    Definition {
        name: "persistence_region",
        description: "Persistence of boxes on 'region'; empty: as 'persistence'.",
        takes_effect: Now,
        kind: Text { default: "", choices: PERSISTENCE_OF_INPUT, store: |c, v| c.persistence.region = v.parse().ok() },
    },
    Definition {
        name: "persistence_mask_prompt",
        description: "Persistence of masks on 'mask_prompt'; empty: as 'persistence'.",
        takes_effect: Now,
        kind: Text {
            default: "",
            choices: PERSISTENCE_OF_INPUT,
            store: |c, v| c.persistence.mask_prompt = v.parse().ok(),
        },
    },
    Definition {
        name: "persistence_prompts",
        description: "Persistence of objects of 'prompts'; empty: as 'persistence'.",
        takes_effect: Now,
        kind: Text { default: "", choices: PERSISTENCE_OF_INPUT, store: |c, v| c.persistence.prompts = v.parse().ok() },
    },
    Definition {
        name: "persistence.prompts_3d",
        description: "Persistence of objects of 'prompts_3d'; empty: as 'persistence'. A box in metres belongs to the image of its time, so that a tracker sends it again for a later image.",
        takes_effect: Now,
        kind: Text {
            default: "once",
            choices: &["", "once", "hold", "track"],
            store: |c, v| c.persistence.prompts_3d = v.parse().ok(),
        },
    },
    Definition {
        name: "click_label",
        description: "Label of clicks: 'foreground' (on the object) or 'background' (beside the object); '~/set_click_label' sets it too.",
        takes_effect: Now,
        kind: Text {
            default: "foreground",
            choices: &["foreground", "background"],
            store: |c, v| {
                c.clicks.label = if v == "background" { Label::Background } else { Label::Foreground };
            },
        },
    },
    Definition {
        name: "projection",
        description: "How clicks in metres become pixels: 'raw' (R, K and D of camera_info), 'rectified' (P), 'auto' (rectified when the name of the image topic contains 'rect').",
        takes_effect: Now,
        kind: Text {
            default: "auto",
            choices: &["auto", "raw", "rectified"],
            store: |c, v| c.cameras.projection = v.to_owned(),
        },
    },
    Definition {
        name: "image_plane_rate",
        description: "Most image planes per second on '~/image_plane'.",
        takes_effect: Now,
        kind: Float {
            default: || 5.0,
            min: 0.1,
            max: 100.0,
            store: |c, v| c.image_plane.period = Duration::from_secs_f64(1.0 / v),
        },
    },
    Definition {
        name: "image_plane_columns",
        description: "Points of a row of '~/image_plane', at most one for each pixel; the rows follow from the shape of the image.",
        takes_effect: Now,
        kind: Integer { default: || 320, min: 2, max: 4096, store: |c, v| c.image_plane.columns = v as u32 },
    },
    Definition {
        name: "image_plane_distance",
        description: "Distance from the camera to '~/image_plane', metres.",
        takes_effect: Now,
        kind: Float { default: || 1.0, min: 0.01, max: 1000.0, store: |c, v| c.image_plane.distance = v },
    },
    Definition {
        name: "click_mode",
        description: "Meaning of a foreground click: 'point', or 'box' (a corner; two corners are a box). A background click is always a point.",
        takes_effect: Now,
        kind: Text {
            default: "point",
            choices: &["point", "box"],
            store: |c, v| c.clicks.mode = v.parse().unwrap_or_default(),
        },
    },
];
