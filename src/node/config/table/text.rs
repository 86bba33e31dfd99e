//! Group `text`: objects that phrases name.

use std::time::Duration;

use crate::node::config::definition::Kind::{Float, Integer, Text, Texts};
use crate::node::config::definition::TakesEffect::{Now, WithConfigure};
use crate::node::config::definition::{Definition, Items};

/// Definitions, in the order of `config/promptseg.yaml`.
pub const TEXT: &[Definition] = &[
    Definition {
        name: "text.model",
        formerly: None,
        description: "Text model that finds the objects of phrases: a folder written by promptseg-export; empty: no text prompts. With OWLv2, which finds boxes, 'model' must take boxes; SAM 3 makes masks itself.",
        takes_effect: WithConfigure,
        kind: Text { default: "", choices: &[], store: |c, v| c.text.model = (!v.is_empty()).then(|| v.into()) },
    },
    Definition {
        name: "text.bank",
        formerly: None,
        description: "File with the features of phrases that 'promptseg text-bank' computed with the same text model. The text tower is loaded only for a phrase that the bank does not have, and its files may be missing. Empty: the text tower reads every phrase.",
        takes_effect: WithConfigure,
        kind: Text { default: "", choices: &[], store: |c, v| c.text.bank = (!v.is_empty()).then(|| v.into()) },
    },
    Definition {
        name: "text.phrases",
        formerly: None,
        description: "Phrases that are searched for after 'activate', such as 'red cup'. A change replaces the phrases of the topic 'text' and of '~/set_text'; an empty list ends them.",
        takes_effect: Now,
        kind: Texts { default: &[], items: Items::Phrases, store: |c, v| c.text.phrases = v.to_vec() },
    },
    Definition {
        name: "text.rate",
        formerly: None,
        description: "Most searches for the phrases, in 1/s: the newest frame is searched again and again, while an output has a subscriber. 0: one search after each change of the phrases.",
        takes_effect: Now,
        kind: Float {
            default: || 1.0,
            min: 0.0,
            max: 30.0,
            store: |c, v| {
                c.text.period = (v > 0.0).then(|| Duration::try_from_secs_f64(1.0 / v).unwrap_or(Duration::MAX))
            },
        },
    },
    Definition {
        name: "text.min_score",
        formerly: None,
        description: "Least score of the objects of phrases that have no least score of their own. 0: that of the text model (OWLv2 0.1, SAM 3 0.3).",
        takes_effect: Now,
        kind: Float {
            default: || 0.0,
            min: 0.0,
            max: 1.0,
            store: |c, v| c.text.min_score = (v > 0.0).then_some(v as f32),
        },
    },
    Definition {
        name: "text.max_objects",
        formerly: None,
        description: "Most objects of one search: those with the highest scores.",
        takes_effect: Now,
        kind: Integer { default: || 20, min: 1, max: 1000, store: |c, v| c.text.max_objects = v as usize },
    },
];
