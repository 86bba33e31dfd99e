//! State of each camera's engine: health, the values of `/diagnostics`, and the metrics endpoint.

mod exposition;
mod health;
mod http;
mod model_facts;
mod snapshot;
mod system;

pub use exposition::exposition;
pub use health::Level;
pub use http::{parse_address, serve};
pub use model_facts::{ModelFacts, TextSessions};
pub use snapshot::{RESIDENT_MEMORY_KEY, Snapshot, TextFacts, resident_memory_text};
pub use system::{Jetson, System};
