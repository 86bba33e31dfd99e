//! The ROS 2 node: topics, services and parameters around the [`crate::engine`]. The only place that names r2r.
//!
//! The node is a managed node: it makes topics and services at the start, and its transitions start and stop the engines
//! behind them. One thread spins r2r, tasks drain its streams, and one thread for each camera publishes results.
//! Another thread for each camera measures objects with depth images, and one searches for the objects of phrases.
//! `image` in, prompts in, `~/masks` out: docs/interfaces.md has the whole list.

mod camera;
mod config;
mod console;
mod console_camera;
mod depth;
mod error;
mod everything;
mod inputs;
mod lifecycle;
mod lock;
mod outputs;
mod process;
mod refusal_log;
mod ros;
mod run;
mod services;
mod slot;
mod text;

pub use config::docs as parameter_docs;
pub use error::NodeError;
pub use run::run;
