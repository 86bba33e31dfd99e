//! The model, and where it runs.

use crate::model::{Precision, Provider};
use crate::node::config::definition::Kind::{Text, Texts};
use crate::node::config::definition::TakesEffect::WithConfigure;
use crate::node::config::definition::{Definition, Items};

/// Definitions, in the order of `config/promptseg.yaml`.
pub const MODEL: &[Definition] = &[
    Definition {
        name: "model",
        formerly: None,
        description: "Bundle folder, folder with two ONNX files, or the image encoder's ONNX file; 'tiny' is built in.",
        takes_effect: WithConfigure,
        kind: Text { default: "tiny", choices: &[], store: |c, v| c.model.path = v.into() },
    },
    Definition {
        name: "decoder",
        formerly: None,
        description: "The mask decoder's ONNX file, when 'model' is an image encoder's file; empty otherwise.",
        takes_effect: WithConfigure,
        kind: Text { default: "", choices: &[], store: |c, v| c.model.decoder = (!v.is_empty()).then(|| v.into()) },
    },
    Definition {
        name: "providers",
        formerly: None,
        description: "ONNX Runtime execution providers in order of preference ('tensorrt', 'cuda', 'openvino', 'cpu'); the first available one runs. With 'auto' in the list each graph runs on the fastest of the others, which are timed once on this machine; 'auto' alone stands for all.",
        takes_effect: WithConfigure,
        kind: Texts {
            default: &[Provider::AUTO],
            items: Items::OneOf(&Provider::CHOICES),
            store: |c, v| {
                if let Ok((providers, fastest)) = Provider::list(v) {
                    (c.model.session.providers, c.model.session.fastest) = (providers, fastest);
                }
            },
        },
    },
    Definition {
        name: "precision",
        formerly: None,
        description: "Which of a bundle's variants runs: 'auto' (what the bundle lists for the provider that opens: fp16 on a GPU, int8 on the CPU, else fp32), 'fp32', 'fp16', 'int8'.",
        takes_effect: WithConfigure,
        kind: Text {
            default: "auto",
            choices: &Precision::CHOICES,
            store: |c, v| c.model.session.precision = Precision::choice(v).unwrap_or_default(),
        },
    },
];
