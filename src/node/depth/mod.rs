//! Objects in metres: depth images in, `~/detections_3d`, `~/cloud`, `~/pose` and `~/get_cloud` out.
//!
//! A thread of its own for each camera matches results with depth images by stamp, measures the objects
//! ([`crate::depth`]) and publishes, so that masks and clicks never wait for depth:
//!
//! ```text
//! results of the engine ──┐
//! depth images ───────────┼──> queue ──> worker ──> scene ──> messages ──> outputs
//! requests of ~/get_cloud ┘
//! ```

mod demand;
mod message;
mod messages;
mod outputs;
mod queue;
mod registration;
mod scene;
mod worker;

pub use demand::DepthDemand;
pub use message::DepthMessage;
pub use outputs::DepthOutputs;
pub use queue::DepthQueue;
pub use worker::run;
