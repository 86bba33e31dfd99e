//! Group `click`: meaning of clicks.

use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::Text;
use crate::node::config::definition::TakesEffect::Now;
use crate::prompt::Label;

/// Definitions, in the order of `config/promptseg.yaml`.
pub const CLICK: &[Definition] = &[
    Definition {
        name: "click.mode",
        formerly: Some("click_mode"),
        description: "Meaning of a foreground click: 'point', or 'box' (a corner; two corners are a box). A background click is always a point.",
        takes_effect: Now,
        kind: Text {
            default: "point",
            choices: &["point", "box"],
            store: |c, v| c.clicks.mode = v.parse().unwrap_or_default(),
        },
    },
    Definition {
        name: "click.label",
        formerly: Some("click_label"),
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
];
