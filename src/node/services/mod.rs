//! Services of the node: prompts with an answer, ROS parameters, and type descriptions. Those of the lifecycle are in
//! [`lifecycle`](super::lifecycle).

mod cloud;
mod parameters;
mod prompts;
pub mod serve;
#[cfg(type_description)]
mod type_description;

pub use cloud::serve_clouds;
pub use parameters::serve_parameters;
pub use prompts::serve_prompts;
#[cfg(type_description)]
pub use type_description::serve_type_description;
