//! Group `persistence`: how long objects live.

use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::Text;
use crate::node::config::definition::TakesEffect::Now;

/// Choices of an input; empty for the choice of `persistence.default`.
const PERSISTENCE_OF_INPUT: &[&str] = &["", "once", "hold", "track"];

/// Definitions, in the order of `config/promptseg.yaml`.
pub const PERSISTENCE: &[Definition] = &[
    Definition {
        name: "persistence.default",
        formerly: Some("persistence"),
        description: "How long an object lives: 'once' (its own frame), 'hold' (same prompts on every frame), 'track' (follow the object: by SAM 2's memory where the model has it, else its mask prompts the next frame).",
        takes_effect: Now,
        kind: Text {
            default: "hold",
            choices: &["once", "hold", "track"],
            store: |c, v| c.persistence.default = v.parse().unwrap_or_default(),
        },
    },
    Definition {
        name: "persistence.point",
        formerly: Some("persistence_point"),
        description: "Persistence of clicks on 'point' and on the overlay; empty: as 'persistence.default'.",
        takes_effect: Now,
        kind: Text { default: "", choices: PERSISTENCE_OF_INPUT, store: |c, v| c.persistence.point = v.parse().ok() },
    },
    Definition {
        name: "persistence.pixel",
        formerly: Some("persistence_pixel"),
        description: "Persistence of clicks on 'pixel'; empty: as 'persistence.default'.",
        takes_effect: Now,
        kind: Text { default: "", choices: PERSISTENCE_OF_INPUT, store: |c, v| c.persistence.pixel = v.parse().ok() },
    },
    Definition {
        name: "persistence.clicked_point",
        formerly: Some("persistence_clicked_point"),
        description: "Persistence of 3-D clicks on 'clicked_point'; empty: as 'persistence.default'.",
        takes_effect: Now,
        kind: Text {
            default: "",
            choices: PERSISTENCE_OF_INPUT,
            store: |c, v| c.persistence.clicked_point = v.parse().ok(),
        },
    },
    Definition {
        name: "persistence.region",
        formerly: Some("persistence_region"),
        description: "Persistence of boxes on 'region'; empty: as 'persistence.default'.",
        takes_effect: Now,
        kind: Text { default: "", choices: PERSISTENCE_OF_INPUT, store: |c, v| c.persistence.region = v.parse().ok() },
    },
    Definition {
        name: "persistence.mask_prompt",
        formerly: Some("persistence_mask_prompt"),
        description: "Persistence of masks on 'mask_prompt'; empty: as 'persistence.default'.",
        takes_effect: Now,
        kind: Text {
            default: "",
            choices: PERSISTENCE_OF_INPUT,
            store: |c, v| c.persistence.mask_prompt = v.parse().ok(),
        },
    },
    Definition {
        name: "persistence.prompts",
        formerly: Some("persistence_prompts"),
        description: "Persistence of objects of 'prompts'; empty: as 'persistence.default'.",
        takes_effect: Now,
        kind: Text { default: "", choices: PERSISTENCE_OF_INPUT, store: |c, v| c.persistence.prompts = v.parse().ok() },
    },
    Definition {
        name: "persistence.prompts_3d",
        formerly: None,
        description: "Persistence of objects of 'prompts_3d'; empty: as 'persistence.default'. A box in metres belongs to the image of its time, so that a tracker sends it again for a later image.",
        takes_effect: Now,
        kind: Text {
            default: "once",
            choices: PERSISTENCE_OF_INPUT,
            store: |c, v| c.persistence.prompts_3d = v.parse().ok(),
        },
    },
];
