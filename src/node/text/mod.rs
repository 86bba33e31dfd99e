//! Text prompts in the node: phrases in, boxes or masks with classes into the engine.
//!
//! A thread of its own for each camera searches frames for the objects that phrases name, at its own rate, so that clicks and
//! frames never wait for a search. The boxes, or the masks of a text model that makes masks, enter the engine as those of a detector, on
//! the frame that was searched:
//!
//! ```text
//! topic, service, parameter, console ──> control ──> worker ──boxes, masks──> engine
//!                                                    │  ▲
//!                    frames of the engine ───────────┘  └─── finder (the text model, shared by all cameras)
//! ```
//!
//! * `finder`: the text model, as the thread uses it; `model`: the real one.
//! * `control`: the phrases that the other threads leave for the worker.
//! * `worker`: the thread.
//! * `submit`: from a text to the control, with its refusals.
//! * `service`: `~/set_text`; the topic is in [`inputs`](super::inputs).

mod control;
mod finder;
mod model;
mod service;
mod submit;
mod worker;
#[cfg(test)]
mod worker_tests;

pub use control::TextControl;
pub use finder::SharedTextModel;
pub use model::open;
pub use service::serve;
pub use submit::{apply_parameter, submit_text};
pub use worker::{TextCamera, run};
