//! Group `openvino`: options of OpenVINO.

use crate::model::InferencePrecision;
use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::Text;
use crate::node::config::definition::TakesEffect::WithConfigure;

/// Definitions, in the order of `config/promptseg.yaml`.
pub const OPENVINO: &[Definition] = &[
    Definition {
        name: "openvino.device",
        formerly: None,
        description: "Device of OpenVINO: 'CPU', 'GPU' (of Intel; 'GPU.1' for the second), 'NPU'.",
        takes_effect: WithConfigure,
        kind: Text { default: "CPU", choices: &[], store: |c, v| c.model.session.openvino.device = v.to_uppercase() },
    },
    Definition {
        name: "openvino.precision",
        formerly: None,
        description: "Precision in which OpenVINO computes fp32 graphs: 'auto' (bf16 on a CPU with instructions for it, f16 on GPU and NPU, f32 elsewhere and if 'precision' names one), 'f32', 'bf16'.",
        takes_effect: WithConfigure,
        kind: Text {
            default: "auto",
            choices: &InferencePrecision::CHOICES,
            store: |c, v| c.model.session.openvino.precision = v.parse().unwrap_or_default(),
        },
    },
];
