//! `sensor_msgs/CompressedImage`: JPEG and PNG.

use promptseg::pixels::{decode_compressed, jpeg_is_whole};

/// Largest number of pixels that is decoded. The decoder accepts more, but large images would slow the fuzzer down.
const LARGEST: u64 = 1 << 20;

pub fn run(data: &[u8]) {
    let _ = jpeg_is_whole(data);
    if declared_pixels(data).is_some_and(|n| n > LARGEST) {
        return;
    }
    match decode_compressed(data, "jpeg") {
        Ok(image) => assert_eq!(image.as_raw().len() as u64, 3 * u64::from(image.width()) * u64::from(image.height())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Returns the number of pixels declared in the header of a PNG or in a frame header of a JPEG.
fn declared_pixels(data: &[u8]) -> Option<u64> {
    if data.starts_with(b"\x89PNG") {
        let side = |at: usize| data.get(at..at + 4).map(|b| u64::from(u32::from_be_bytes([b[0], b[1], b[2], b[3]])));
        return side(16)?.checked_mul(side(20)?);
    }
    // SOF: marker, length, precision, height, width. The largest of all possible frame headers counts.
    let sof = |w: &[u8]| w[0] == 0xff && (0xc0..=0xcf).contains(&w[1]);
    let size = |w: &[u8]| u64::from(u16::from_be_bytes([w[5], w[6]])) * u64::from(u16::from_be_bytes([w[7], w[8]]));
    data.windows(9).filter(|w| sof(w)).map(size).max()
}
