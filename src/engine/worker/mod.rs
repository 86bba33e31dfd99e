//! The decoder's thread: prompts in, masks out. It owns the objects.
//!
//! * `run`: the loop, and the dispatch of work.
//! * `decoder`: the worker, with what all work uses: decoding and publishing.
//! * `interaction`: prompts that start, clear or undo objects.
//! * `prompt`: clicks, boxes, masks and PromptArrays, from validation to the published masks.
//! * `frame`: objects with persistence `hold` or `track` on a new frame.
//! * `follow`: objects that a model with memory follows.
//! * `detections`, `segment`: requests that change no object.

mod decoder;
mod detections;
mod follow;
mod frame;
mod interaction;
mod prompt;
mod run;
mod segment;

pub use run::run;
