//! State that the engine's threads share, behind one lock.
//!
//! * `shared`: the lock, and the conditions that the threads wait for.
//! * `engine_state`: the newest-frame slot, the kept frames, the queues.
//! * `encode_jobs`: the next job of the encoder.
//! * `schedule`: the next work of the decoder.
//! * `lookup`: the frame that a prompt refers to.
//! * `requests`: requests whose client waits for a reply.
//! * `generation_queue`, `generations`: requests for everything, and their turns on the decoder.
//! * `deferred`: clicks in metres on their way to the resolver and back.
//! * `client_request`, `demand`, `query`, `queue`, `recent_images`: parts of the state.

mod client_request;
mod deferred;
mod demand;
mod encode_jobs;
mod engine_state;
mod generation_queue;
mod generations;
mod lookup;
mod query;
mod queue;
mod recent_images;
mod requests;
mod schedule;
mod shared;

pub use client_request::ClientRequest;
pub use deferred::{DeferredJob, RESOLVE_PERIOD};
pub use encode_jobs::EncodeJob;
pub use engine_state::{EngineState, WorkerUsage};
pub use generations::{CropJob, ReadyGeneration, Turn};
#[cfg(test)]
pub use generations::{MAX_TURNS_BEFORE_BATCH, MAX_WAITING_GENERATIONS};
pub use lookup::{FrameLookup, Requester};
pub use query::Query;
#[cfg(test)]
pub use queue::MAX_QUEUE;
pub use schedule::{MAX_PROMPTS_IN_A_ROW, Work};
pub use shared::SharedState;
