//! The data engine: masks of the objects on the frames of a bag, and the data sets made of them.
//!
//! ```text
//! frame ──> labeller: prompts, detections, followed objects, everything else ──> record ──┬──> COCO, YOLO, indexed PNG, ...
//!                                   spans ──> propagate: the same objects backward ───────┘
//! ```
//!
//! * `seeds`: the prompts of a file, by frame and object.
//! * `labeller`: the objects on one frame after the other. Its stages: `followed` (by memory), `detect` (boxes of a
//!   detector), `leftover` (everything else).
//! * `spans`: from which frame an object is followed to each other frame. `propagate` follows it over a window, into a
//!   `tracklet`.
//! * `compose`: the objects of both passes on a frame. `presence`: which of them are the same.
//! * `identity`: which objects on two frames are the same, by their masks.
//! * `renumbering`: the numbers of objects when parts of a recording were labelled apart.
//! * [`record`]: what is stored about a frame, so that a run can be resumed and exported.
//! * `corrections`: masks and prompts of a person for frames that are labelled. `refine` decodes their prompts.
//! * `overlay`: picture of a frame with its objects.
//! * `split`: training and validation by time.
//! * [`yolo`], [`indexed`], [`brush`]: formats that need more than the run lengths of a mask.

pub mod brush;
mod compose;
mod corrections;
mod detect;
mod followed;
mod identity;
pub mod indexed;
mod labeller;
mod leftover;
mod overlay;
mod presence;
mod propagate;
pub mod record;
mod refine;
mod renumbering;
mod seeds;
mod spans;
mod split;
mod tracklet;
pub mod yolo;

pub use compose::{Replacement, replace_objects};
pub use corrections::{Correction, Corrections, edited_masks};
pub use identity::{iou, link};
pub use labeller::{LabelError, Labelled, Labeller, Previous, Settings};
pub use overlay::overlay;
pub use presence::{Identities, Presence};
pub use propagate::{Other, Propagation};
pub use refine::refine;
pub use renumbering::Renumbering;
pub use seeds::{Seed, SeedError, Seeds};
pub use spans::{Anchor, Span, spans};
pub use split::{Split, split_at};
pub use tracklet::{Beginning, Sighting, Tracklet};
