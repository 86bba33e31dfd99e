//! What the engine's threads share, behind one lock.
//!
//! * `shared`: the lock, and the conditions that the threads sleep on.
//! * `engine_state`: the newest-frame slot, the kept frames, the queues.
//! * `encode_jobs`, `schedule`: what the encoder and the decoder do next.
//! * `lookup`: the frame that a prompt is meant for.
//! * `deferred`: clicks in metres.

mod deferred;
mod demand;
mod encode_jobs;
mod engine_state;
mod lookup;
mod query;
mod queue;
mod recent_images;
mod schedule;
mod shared;

pub use deferred::{Job, PERIOD, put_back, take};
pub use encode_jobs::EncodeJob;
pub use engine_state::{Held, State};
pub use query::Batch;
#[cfg(test)]
pub use queue::MAX_QUEUE;
pub use schedule::{MOST_PROMPTS, Work, next, next_interaction};
pub use shared::Shared;
