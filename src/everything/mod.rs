//! Segments everything in an image: a grid of clicks, filtered and without duplicates.
//!
//! [`AutomaticMaskGenerator`] follows `SamAutomaticMaskGenerator` (segment_anything/automatic_mask_generator.py) and
//! `SAM2AutomaticMaskGenerator` (sam2/automatic_mask_generator.py) step by step:
//!
//! ```text
//! crops ──> encode ──> grid of clicks ──> decode ──> filter ──> NMS per crop ──> NMS across crops ──> small regions
//! ```
//!
//! * [`settings`]: the parameters, with the names and defaults of the reference.
//! * [`search`]: quick modes and parts of the image, beyond the reference.
//! * [`crops`], [`grid`], `plan`: where the generator looks.
//! * [`filter`]: which masks of the decoder are kept.
//! * [`nms`]: which boxes are duplicates.
//! * [`regions`]: small holes and islands of a mask.
//! * [`generator`]: the loop.
//! * [`overlap`], [`unique`]: masks without duplicates, parts and wholes, beyond the reference.
//! * [`pairs`]: which things on two frames are the same, by their overlap.
//! * [`proposals`]: boxes that may hold an object.
//! * [`edges`]: an image of edges.

pub mod crops;
pub mod edges;
pub mod filter;
pub mod generator;
pub mod grid;
pub mod network;
pub mod nms;
pub mod overlap;
pub mod pairs;
mod plan;
pub mod proposals;
pub mod regions;
pub mod search;
pub mod settings;
mod thinning;
pub mod unique;

pub use filter::{CornerBox, GeneratedMask};
pub use generator::{AutomaticMaskGenerator, Error, Progress};
pub use network::{Decoder, Encoder};
pub use overlap::{Overlap, Parts, Priority};
pub use search::{Search, SearchError, Within};
pub use settings::{Settings, SettingsError};
