//! Masks as the brush strokes of Label Studio: the bits of thi.ng's `rle-pack`
//! (<https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack>), of an image with four channels.

use crate::pixels::Mask;

/// Bits of a value.
const VALUE_BITS: u32 = 8;
/// Bits of the lengths of runs; two bits before a run say which one it has.
const LENGTH_BITS: [u32; 4] = [3, 4, 8, 16];
const CHANNELS: usize = 4;

/// Bits, the highest of a byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are taken, 0 for a whole byte.
    taken: u32,
}

impl Bits {
    /// Appends the lowest `count` bits of a number.
    fn push(&mut self, number: u32, count: u32) {
        for bit in (0..count).rev() {
            if self.taken == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((number >> bit & 1) as u8) << (7 - self.taken);
            }
            self.taken = (self.taken + 1) % 8;
        }
    }

    /// Appends runs of one value.
    fn run(&mut self, value: u8, mut length: usize) {
        while length > 0 {
            let part = length.min(1 << 16);
            let fitting = LENGTH_BITS.iter().position(|bits| part <= 1 << bits).unwrap_or(LENGTH_BITS.len() - 1);
            self.push(1, 1);
            self.push(fitting as u32, 2);
            self.push(part as u32 - 1, LENGTH_BITS[fitting]);
            self.push(u32::from(value), VALUE_BITS);
            length -= part;
        }
    }
}

/// Encodes a mask, row by row: 255 in all channels of a pixel inside, 0 outside.
pub fn brush_strokes(mask: &Mask) -> Vec<u8> {
    let pixels = mask.full();
    let mut bits = Bits::default();
    // An image that is accepted has fewer than 2^30 pixels.
    bits.push(u32::try_from(pixels.len() * CHANNELS).unwrap_or(u32::MAX), 32);
    bits.push(VALUE_BITS - 1, 5);
    LENGTH_BITS.iter().for_each(|length| bits.push(length - 1, 4));
    for run in pixels.chunk_by(|a, b| a == b) {
        bits.run(run[0], run.len() * CHANNELS);
    }
    bits.bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads bits as Label Studio's decoder does.
    struct Reader<'a>(&'a [u8], usize);

    impl Reader<'_> {
        fn read(&mut self, count: u32) -> usize {
            (0..count).fold(0, |number, _| {
                let bit = self.0[self.1 / 8] >> (7 - self.1 % 8) & 1;
                self.1 += 1;
                number << 1 | usize::from(bit)
            })
        }
    }

    fn decoded(strokes: &[u8]) -> Vec<u8> {
        let mut reader = Reader(strokes, 0);
        let count = reader.read(32);
        let word = reader.read(5) as u32 + 1;
        let sizes: Vec<u32> = (0..4).map(|_| reader.read(4) as u32 + 1).collect();
        let mut values = Vec::new();
        while values.len() < count {
            let is_run = reader.read(1) == 1;
            let size = sizes[reader.read(2)];
            let length = reader.read(size) + 1;
            assert!(is_run);
            let value = reader.read(word) as u8;
            values.extend(std::iter::repeat_n(value, length));
        }
        values
    }

    #[test]
    fn strokes_decode_to_the_mask_in_all_channels() {
        // Runs of every length: 1 pixel, a few, hundreds, and more than 2^16 values.
        let inside = |x: u32, y: u32| (x, y) == (3, 0) || (10..15).contains(&x) && y == 1 || (5..200).contains(&y);
        let data: Vec<u8> = (0..300 * 220).map(|i| u8::from(inside(i % 300, i / 300))).collect();
        let mask = Mask::from_data(300, 220, &data).unwrap();
        let values = decoded(&brush_strokes(&mask));
        let expected: Vec<u8> = mask.full().iter().flat_map(|value| [*value; 4]).collect();
        assert!(values == expected);
        assert_eq!(decoded(&brush_strokes(&Mask::empty(3, 2))), [0; 24]);
    }
}
