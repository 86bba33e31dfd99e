//! Bags of rosbag2 without ROS: MCAP and sqlite3 are read, one file or several; MCAP is written.
//!
//! ```text
//! files ──> mcap_file, sqlite_file ──> reader ──> messages (cdr) ──> overview: topics, stamps, detections
//!                                                               └──> frames: images, one at a time
//! ```
//!
//! * `files`: the files of a bag, with or without metadata.yaml.
//! * `mcap_file`, `sqlite_file`: one file from its first message to its last; a damaged file as far as it goes.
//! * `reader`: the files one after the other, each message decompressed.
//! * `cdr`, [`messages`]: the encoding of the messages, and the types that are decoded.
//! * [`results`] (`cdr_writer`, `definitions`), `writer`: bags with the results of a run.
//! * `selection`: a range of time, every Nth image, a rate.

mod cdr;
mod cdr_writer;
mod definitions;
mod error;
mod files;
mod frames;
mod mcap_file;
pub mod messages;
mod overview;
mod reader;
pub mod results;
mod selection;
mod sqlite_file;
mod visitor;
mod writer;

pub use error::{BagError, CdrError};
pub use files::is_bag;
pub use frames::{TakeFrame, read_frames};
pub use mcap_file::read as read_mcap;
pub use overview::{Overview, TimedDetections, TopicContent};
pub use reader::Bag;
pub use selection::{Selection, SelectionError};
pub use visitor::{Topic, Visitor};
pub use writer::{ResultTopic, ResultWriter};
