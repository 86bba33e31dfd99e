//! The operator's console.

use std::time::Duration;

use crate::console::Settings;
use crate::node::config::definition::Kind::{Flag, Float, Integer, Text, Texts};
use crate::node::config::definition::TakesEffect::ReadOnly;
use crate::node::config::definition::{Definition, Items};

/// Returns the defaults of the console, which the table repeats.
fn console() -> Settings {
    Settings::default()
}

/// Definitions, in the order of `config/promptseg.yaml`.
pub const CONSOLE: &[Definition] = &[
    Definition {
        name: "console.enabled",
        formerly: None,
        description: "Serves the operator's console: a page for any browser, with the picture, clicks and masks (docs/console.md).",
        takes_effect: ReadOnly,
        kind: Flag { default: || false, store: |c, v| c.console.enabled = v },
    },
    Definition {
        name: "console.address",
        formerly: None,
        description: "Address and port of the console. A port alone is on the loopback interface; any other address needs a token.",
        takes_effect: ReadOnly,
        kind: Text { default: "127.0.0.1:8060", choices: &[], store: |c, v| v.clone_into(&mut c.console.address) },
    },
    Definition {
        name: "console.token",
        formerly: None,
        description: "Secret of operators, at least 16 letters, digits and -._~, which everybody who reads the node's parameters can read. Empty, without 'console.token_file': everybody who reaches the loopback interface is an operator.",
        takes_effect: ReadOnly,
        kind: Text { default: "", choices: &[], store: |c, v| v.clone_into(&mut c.console.settings.token) },
    },
    Definition {
        name: "console.spectator_token",
        formerly: None,
        description: "Secret of spectators, who see the picture and cannot prompt. Empty: there are none.",
        takes_effect: ReadOnly,
        kind: Text { default: "", choices: &[], store: |c, v| v.clone_into(&mut c.console.settings.spectator_token) },
    },
    Definition {
        name: "console.token_file",
        formerly: None,
        description: "File with the secret of operators in its first line and, optionally, that of spectators in its second, in place of the two parameters.",
        takes_effect: ReadOnly,
        kind: Text { default: "", choices: &[], store: |c, v| v.clone_into(&mut c.console.token_file) },
    },
    Definition {
        name: "console.tls_certificate",
        formerly: None,
        description: "PEM file with the certificate of the console, for HTTPS. Empty: HTTP.",
        takes_effect: ReadOnly,
        kind: Text { default: "", choices: &[], store: |c, v| v.clone_into(&mut c.console.tls_certificate) },
    },
    Definition {
        name: "console.tls_key",
        formerly: None,
        description: "PEM file with the private key of the certificate.",
        takes_effect: ReadOnly,
        kind: Text { default: "", choices: &[], store: |c, v| v.clone_into(&mut c.console.tls_key) },
    },
    Definition {
        name: "console.origins",
        formerly: None,
        description: "Origins of other pages that may use and embed the console, such as the address of a reverse proxy: https://robot.example.",
        takes_effect: ReadOnly,
        kind: Texts { default: &[], items: Items::Any, store: |c, v| c.console.settings.origins = v.to_vec() },
    },
    Definition {
        name: "console.stale_after",
        formerly: None,
        description: "Seconds after which a picture is stale: the console shows it in grey and refuses clicks on it.",
        takes_effect: ReadOnly,
        kind: Float {
            default: || console().stale_after.unwrap_or_default().as_secs_f64(),
            min: 0.05,
            max: 3600.0,
            store: |c, v| c.console.settings.stale_after = Some(Duration::from_secs_f64(v)),
        },
    },
    Definition {
        name: "console.max_clients",
        formerly: None,
        description: "Most pages that are connected at a time.",
        takes_effect: ReadOnly,
        kind: Integer {
            default: || console().max_clients as i64,
            min: 1,
            max: 256,
            store: |c, v| c.console.settings.max_clients = v as usize,
        },
    },
    Definition {
        name: "console.quality",
        formerly: None,
        description: "JPEG quality of the console's pictures.",
        takes_effect: ReadOnly,
        kind: Integer {
            default: || i64::from(console().quality),
            min: 1,
            max: 100,
            store: |c, v| c.console.settings.quality = v as u8,
        },
    },
];
