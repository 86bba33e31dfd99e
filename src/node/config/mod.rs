//! The node's parameters: the table that defines them, their values, and the documents made from the table.
//!
//! A new parameter gets an entry in the file of its group in `table/` (a new group: a new file) and a field in `groups.rs`.

mod check;
mod definition;
pub mod docs;
mod error;
mod former;
mod groups;
mod messages;
mod table;
mod values;

pub use definition::TakesEffect;
pub use error::ParameterError;
pub use former::FormerName;
pub use groups::{
    ClassConfig, CloudForm, Config, ConsoleConfig, DepthConfig, DepthTransport, HypothesisScore, ImagePlaneConfig,
    ImageTransport, MAX_CLASSES, MaskEncoding, ModelConfig, OnTop, OutputConfig, PosePoint, PromptInput, TextConfig,
};
pub use messages::{descriptor, message_of, type_number, value_of};
pub use values::{Declared, Parameters, QOS_OVERRIDES};
