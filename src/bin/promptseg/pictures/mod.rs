//! Picture files: which files the arguments name, in which order, how they are read, and how their results are named.

mod each;
mod find;
mod names;
mod natural_order;
mod read;

pub use each::for_each;
pub use find::{find, is_picture};
pub use names::result_names;
pub use natural_order::compare_paths;
pub use read::{STDIN, display, read_file, read_image, read_mask};
