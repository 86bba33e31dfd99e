//! The decoder's thread: prompts in, masks out. It owns the objects.

mod decoder;
mod detections;
mod follow;
mod frame;
mod interaction;
mod prompt;
mod run;
mod segment;

pub use run::run;
