//! The data engine: masks of the objects on the frames of a bag, and the data sets made of them.
//!
//! ```text
//! frame ──> labeller: prompts, detections, followed objects, everything else ──> record ──> COCO, YOLO, indexed PNG, ...
//! ```
//!
//! * `seeds`: the prompts of a file, by frame and object.
//! * `labeller`: the objects on one frame after the other. Its stages: `followed` (by memory), `detect` (boxes of a
//!   detector), `leftover` (everything else).
//! * `identity`: which objects on two frames are the same, by their masks.
//! * `renumbering`: the numbers of objects when parts of a recording were labelled apart.
//! * [`record`]: what is stored about a frame, so that a run can be resumed and exported.
//! * `split`: training and validation by time.
//! * [`yolo`], [`indexed`]: formats that need more than the run lengths of a mask.

mod detect;
mod followed;
mod identity;
pub mod indexed;
mod labeller;
mod leftover;
pub mod record;
mod renumbering;
mod seeds;
mod split;
pub mod yolo;

pub use identity::{iou, link};
pub use labeller::{LabelError, Labelled, Labeller, Previous, Settings};
pub use renumbering::Renumbering;
pub use seeds::{Seed, SeedError, Seeds};
pub use split::{Split, split_at};
