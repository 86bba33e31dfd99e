//! SHA-256 of files.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::model::error::Error;

/// Bytes that are read at once.
const BUFFER: usize = 1 << 20;

/// Returns the SHA-256 of a file in lower-case hexadecimal.
///
/// # Errors
/// [`Error::Read`] if the file cannot be read.
pub fn hash_file(path: &Path) -> Result<String, Error> {
    let failed = |source: std::io::Error| Error::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0_u8; BUFFER];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            n => digest.update(&buffer[..n]),
        }
    }
    Ok(hexadecimal(&digest.finalize()))
}

/// Returns the SHA-256 of `content` in lower-case hexadecimal.
pub fn hash_content(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(content))
}

/// Combines several hashes into one. The hash of a single file stays as it is.
pub fn combine(hashes: &[String]) -> String {
    match hashes {
        [one] => one.clone(),
        several => hash_content(several.join("\n").as_bytes()),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, b| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{b:02x}");
        text
    })
}
