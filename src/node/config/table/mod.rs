//! Table of the node's parameters: defines each with its type, default, bounds, the field of
//! [`Config`](super::groups::Config) that holds the value, and the time at which a change takes effect.

mod classes;
mod frames;
mod model;
mod outputs;
mod prompts;
mod tracking;

use super::definition::Definition;

/// Returns the definitions of all parameters, in the order of `config/promptseg.yaml`.
pub fn definitions() -> impl Iterator<Item = &'static Definition> {
    let groups =
        [model::MODEL, frames::FRAMES, prompts::PROMPTS, tracking::TRACKING, outputs::OUTPUTS, classes::CLASSES];
    groups.into_iter().flatten()
}
