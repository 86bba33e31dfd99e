//! Runs of the command line tool.

#![allow(dead_code)] // each test program uses only some functions

use std::path::Path;
use std::process::{Command, Output};

/// Returns the call of `promptseg` in a folder.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promptseg"));
    command.current_dir(folder).args(arguments);
    command
}

pub fn promptseg(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}
