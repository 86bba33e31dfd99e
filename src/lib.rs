//! promptseg turns a click, a box or a detector's output into a segmentation mask with an IoU score.
//!
//! The way of the data, which is also the map of the modules:
//!
//! ```text
//! camera ──> pixels ──> model::ImageEncoder ──> Embedding ──> engine (kept by stamp)
//!                                                                │
//! click, box, mask, detector ──> Prompt ────────────────────────>│──> model::MaskDecoder ──> masks ──> node
//! ```
//!
//! * [`pixels`]: image encodings in, resize and normalise, masks out, overlays.
//! * [`prompt`]: points, boxes and masks of the caller, checked against the image.
//! * [`model`]: bundles, ONNX layouts, sessions and execution providers, image encoder, prompt encoder, mask decoder.
//! * [`segmenter`]: what `SamPredictor` is in Python: set an image, predict masks.
//! * [`video`]: SAM 2's memory: an object is followed through a stream.
//! * [`engine`]: the threads: newest-frame slot, kept embeddings, jobs, metrics.
//! * [`monitor`]: what the engine's numbers say: health, diagnostics, the metrics endpoint.
//! * [`logging`]: the log, and traces of every stage.
//! * [`camera`]: pinhole and fisheye projection, a TF buffer.
//! * [`pointing`]: a click in metres to a pixel of the image that it was made on.
//! * `native`: functions of C libraries, made safe; all `unsafe` code is there.
//! * `node`: the ROS 2 node, the only place that names r2r (cargo feature `ros`).
//!
//! Pixels are `(x, y)` with the origin in the top-left corner of the camera's image, in pixels of that image.
//! Only `model` and `pixels::resize` know the square that a network wants.

#![deny(unsafe_code)] // but for `native`

pub mod camera;
pub mod engine;
pub mod logging;
pub mod model;
pub mod monitor;
mod native;
#[cfg(feature = "ros")]
pub mod node;
pub mod pixels;
pub mod pointing;
pub mod prompt;
pub mod segmenter;
pub mod video;
