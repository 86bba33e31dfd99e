//! promptseg turns a click, a box or a detector's output into a segmentation mask with an IoU score.
//!
//! The flow of data, which is also the map of the modules:
//!
//! ```text
//! camera ──> pixels ──> model::ImageEncoder ──> Embedding ──> engine (kept by stamp)
//!                                                                │
//! click, box, mask, detector ──> Prompt ────────────────────────>│──> model::MaskDecoder ──> masks ──> node
//! ```
//!
//! * [`pixels`]: image encodings, resizing, normalisation, masks, overlays.
//! * [`prompt`]: points, boxes and masks, checked against the image.
//! * [`model`]: bundles, ONNX layouts, sessions and execution providers, image encoder, prompt encoder, mask decoder.
//! * [`text`]: phrases such as "red cup" as prompts.
//! * [`segmenter`]: sets an image and predicts masks, like `SamPredictor` in Python.
//! * [`everything`]: finds the masks of everything in an image, object proposals and edges, without a click.
//! * [`video`]: follows objects through a stream with the memory of SAM 2.
//! * [`engine`]: threads of encoder and decoder, newest-frame slot, kept embeddings, objects, metrics.
//! * [`bag`]: bags of rosbag2, read without ROS.
//! * [`label`]: masks of the objects in a bag, and the data sets made of them.
//! * [`monitor`]: health, diagnostics and the metrics endpoint, from the engine's metrics.
//! * [`console`]: the operator's page, served to any browser.
//! * [`logging`]: the log, and a trace of every stage.
//! * [`camera`]: pinhole and fisheye projection, and a TF buffer.
//! * [`depth`]: mask and depth to points, position and box of an object in metres.
//! * [`pointing`]: turns a point in metres into a pixel of the image that the operator clicked.
//! * `native`: safe wrappers of C functions, with all `unsafe` code of the crate.
//! * `node`: the ROS 2 node (cargo feature `ros`). Apart from `native`, only this module uses r2r.
//!
//! Pixels are `(x, y)` with the origin in the top-left corner of the camera's image, in pixels of that image.
//! Only `model` and `pixels::resize` use coordinates of the network's square input.

#![deny(unsafe_code)] // `native` allows it

pub mod bag;
pub mod camera;
pub mod console;
pub mod depth;
pub mod engine;
pub mod everything;
pub mod label;
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
pub mod text;
pub mod video;
