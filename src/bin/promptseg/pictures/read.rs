//! Reads pictures and masks from files and from the standard input.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use image::RgbImage;
use promptseg::pixels::{MaskInput, PixelError, decode_compressed, decode_mask_file, jpeg_is_whole};

/// Path that stands for the standard input.
pub const STDIN: &str = "-";

/// Largest picture file in bytes: an uncompressed picture with the most pixels that the library accepts.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// Returns the name of a path in messages.
pub fn display(path: &Path) -> String {
    if path == Path::new(STDIN) { "standard input".to_owned() } else { path.display().to_string() }
}

/// Reads a JPEG or PNG file, or the standard input for `-`. Errors name the file.
pub fn read_image(path: &Path) -> Result<RgbImage, String> {
    let content = read_file(path)?;
    decode_compressed(&content, "file").map_err(|e| format!("{}: {}", display(path), reason(e, &content)))
}

/// Reads the mask that a JPEG or PNG file draws ([`decode_mask_file`]). Errors name the file.
pub fn read_mask(path: &Path) -> Result<MaskInput, String> {
    let content = read_file(path)?;
    decode_mask_file(&content).map_err(|e| format!("{}: {}", display(path), reason(e, &content)))
}

/// Describes why the content of a file is not a picture.
fn reason(error: PixelError, content: &[u8]) -> String {
    match error {
        PixelError::UnknownCompression { .. } if content.is_empty() => "the file is empty".to_owned(),
        PixelError::UnknownCompression { start, .. } => {
            format!("neither JPEG nor PNG (it starts with {start}); convert it first")
        }
        PixelError::Compressed { reason, .. } => format!("truncated or damaged: {reason}"),
        other => other.to_string(),
    }
}

/// Reads a file of at most [`MAX_FILE_BYTES`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |reason: String| format!("{}: {reason}", display(path));
    let mut content = Vec::new();
    let mut length = 0;
    if path == Path::new(STDIN) {
        let stdin = std::io::stdin().lock();
        stdin.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(|e| failed(e.to_string()))?;
    } else {
        let file = File::open(path).map_err(|e| failed(e.to_string()))?;
        let metadata = file.metadata().map_err(|e| failed(e.to_string()))?;
        if metadata.is_dir() {
            return Err(failed("a folder, expected a JPEG or PNG file".to_owned()));
        }
        length = metadata.len();
        if length <= MAX_FILE_BYTES {
            file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(|e| failed(e.to_string()))?;
        }
    }
    if length.max(content.len() as u64) > MAX_FILE_BYTES {
        return Err(failed(format!("more than {} MB, the most for a picture file", MAX_FILE_BYTES >> 20)));
    }
    if content.starts_with(&[0xff, 0xd8]) && !jpeg_is_whole(&content) {
        return Err(failed("truncated or damaged: a JPEG file without an end marker".to_owned()));
    }
    Ok(content)
}
