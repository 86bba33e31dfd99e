//! Group `classes`: numbers of the classes.

use crate::node::config::definition::Kind::{Text, Texts};
use crate::node::config::definition::TakesEffect::Now;
use crate::node::config::definition::{Definition, Items};
use crate::node::config::groups::OnTop;

/// Definitions, in the order of `config/promptseg.yaml`.
pub const CLASSES: &[Definition] = &[
    Definition {
        name: "classes.names",
        formerly: None,
        description: "Classes on '~/classes', numbered from 1; an object of another class is background there, and counted. Empty: the classes are numbered in the order in which they appear.",
        takes_effect: Now,
        kind: Texts { default: &[], items: Items::Classes, store: |c, v| c.classes.names = v.to_vec() },
    },
    Definition {
        name: "classes.unnamed",
        formerly: None,
        description: "Class on '~/classes' of objects that have none, such as those of clicks; empty: they are background there.",
        takes_effect: Now,
        kind: Text { default: "object", choices: &[], store: |c, v| v.clone_into(&mut c.classes.unnamed) },
    },
    Definition {
        name: "classes.on_top",
        formerly: None,
        description: "Which object gets a pixel of '~/classes' and '~/confidence' that several claim: 'smaller' (as on '~/labels'), 'certain' (the object with the higher confidence).",
        takes_effect: Now,
        kind: Text {
            default: "smaller",
            choices: &["smaller", "certain"],
            store: |c, v| c.classes.on_top = if v == "certain" { OnTop::Certain } else { OnTop::Smaller },
        },
    },
];
