//! What the arguments of a command name: a bag, a video or pictures.

use std::path::{Path, PathBuf};

use promptseg::bag::is_bag;

use crate::failure::Failure;
use crate::pictures::{self, STDIN};

/// Files that hold frames in an order.
pub enum Inputs {
    /// A bag of rosbag2: a folder or a file.
    Bag(PathBuf),
    /// A video file, or standard input for `-`.
    Video(PathBuf),
    /// Pictures in the order of their frames.
    Pictures(Vec<PathBuf>),
}

impl Inputs {
    /// Finds the bag, the video or the pictures that are read more than once: standard input is refused.
    pub fn find_files(arguments: &[PathBuf]) -> Result<Inputs, Failure> {
        if arguments.iter().any(|path| path == Path::new(STDIN)) {
            return Err(Failure::Usage("standard input is read once only; expected files".to_owned()));
        }
        Inputs::find(arguments)
    }

    /// Finds the bag, the video or the pictures that the arguments name.
    pub fn find(arguments: &[PathBuf]) -> Result<Inputs, Failure> {
        if let [path] = arguments {
            if is_bag(path) {
                return Ok(Inputs::Bag(path.clone()));
            }
            let is_file = path == Path::new(STDIN) || path.is_file();
            if is_file && path.extension().and_then(|e| e.to_str()).is_none_or(|e| !pictures::is_picture(e)) {
                return Ok(Inputs::Video(path.clone()));
            }
        }
        let mut list = pictures::find(arguments)?;
        if list.is_sorted() {
            // A shell expands frames/* in the order of characters, 10.jpg before 2.jpg. Any other order is intended.
            list.sort_by(|a, b| pictures::compare_paths(a, b));
        }
        Ok(Inputs::Pictures(list))
    }
}
