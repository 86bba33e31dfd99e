//! Arguments that commands on pictures share: the pictures, and the destination of the results.

use std::path::PathBuf;

/// The pictures of a command.
#[derive(clap::Args)]
pub struct PictureArguments {
    /// JPEG or PNG files, folders with such files, patterns in quotes, or - for standard input.
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
}

/// Where results go.
#[derive(clap::Args)]
pub struct Destination {
    /// A folder; a file with the format's extension, if one file holds the results; or - for standard output.
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Replace existing files; the default keeps them. Input files are never replaced.
    #[arg(long)]
    pub overwrite: bool,
}
