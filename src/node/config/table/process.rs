//! Start, log, metrics and clock of the process.

use crate::node::config::definition::Definition;
use crate::node::config::definition::Kind::{Flag, Text};
use crate::node::config::definition::TakesEffect::{Now, ReadOnly};

/// Definitions, in the order of `config/promptseg.yaml`.
pub const PROCESS: &[Definition] = &[
    Definition {
        name: "autostart",
        formerly: None,
        description: "true: the node configures and activates itself. false: the node waits in 'unconfigured' for a lifecycle manager or `ros2 lifecycle set`.",
        takes_effect: ReadOnly,
        kind: Flag { default: || true, store: |c, v| c.process.autostart = v },
    },
    Definition {
        name: "log_level",
        formerly: None,
        description: "Lowest level that is logged; empty: the level of '--log-level', or 'info'. RUST_LOG takes precedence.",
        takes_effect: Now,
        kind: Text {
            default: "",
            choices: &["", "error", "warn", "info", "debug", "trace"],
            store: |c, v| c.process.log_level = v.to_owned(),
        },
    },
    Definition {
        name: "metrics_address",
        formerly: None,
        description: "Address and port of the Prometheus endpoint '/metrics', such as '0.0.0.0:9090'; a port alone is for this machine only; empty: no endpoint.",
        takes_effect: ReadOnly,
        kind: Text { default: "", choices: &[], store: |c, v| c.process.metrics_address = v.to_owned() },
    },
    Definition {
        name: "use_sim_time",
        formerly: None,
        description: "Take the time from '/clock' instead of the system clock.",
        takes_effect: Now,
        kind: Flag { default: || false, store: |c, v| c.process.use_sim_time = v },
    },
];
