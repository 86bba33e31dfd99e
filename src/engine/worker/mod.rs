//! The decoder's thread: prompts in, masks out. It owns the objects.
//!
//! * `run`: the loop, and the dispatch of work.
//! * `decoder`: the worker, with what all work uses: decoding and publishing.
//! * `interaction`: prompts that start, clear or undo objects.
//! * `operator`: requests of operators, which get answers.
//! * `prompt`: clicks, boxes, masks and PromptArrays, from validation to the published masks.
//! * `frame`: objects with persistence `hold` or `track` on a new frame.
//! * `follow`: objects that a model with memory follows.
//! * `detections`, `segment`: requests that change no object.
//! * `generation`: requests for everything, and the turns of the generator's thread.

mod decoder;
mod detections;
mod follow;
mod frame;
mod generation;
mod interaction;
mod operator;
mod prompt;
mod run;
mod segment;

pub use run::run;
