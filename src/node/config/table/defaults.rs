//! Defaults of the engine and of the sessions, which the table repeats.

use crate::engine::Settings;
use crate::model::SessionOptions;

pub fn engine() -> Settings {
    Settings::default()
}

pub fn session() -> SessionOptions {
    SessionOptions::default()
}
