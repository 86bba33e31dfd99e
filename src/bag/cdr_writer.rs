//! Writes messages in CDR, little endian: the counterpart of `cdr`.

/// Bytes of the header. Alignment counts from its end.
const HEADER: usize = 4;

/// Writes the fields of one message in their order.
#[derive(Debug, Clone)]
pub struct CdrWriter {
    bytes: Vec<u8>,
}

impl CdrWriter {
    /// Begins a message.
    pub fn new() -> Self {
        CdrWriter { bytes: vec![0, 1, 0, 0] }
    }

    /// Returns the message.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends a number of `N` bytes, aligned to its size.
    fn number<const N: usize>(&mut self, number: [u8; N]) {
        let aligned = HEADER + (self.bytes.len() - HEADER).next_multiple_of(N);
        self.bytes.resize(aligned, 0);
        self.bytes.extend(number);
    }

    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn u32(&mut self, value: u32) {
        self.number(value.to_le_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.number(value.to_le_bytes());
    }

    pub fn f32(&mut self, value: f32) {
        self.number(value.to_le_bytes());
    }

    pub fn f64(&mut self, value: f64) {
        self.number(value.to_le_bytes());
    }

    /// Appends the length of a sequence. A length above 2^32 - 1 does not occur: images have fewer bytes.
    pub fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    pub fn string(&mut self, text: &str) {
        self.count(text.len() + 1);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    /// Appends a sequence of bytes.
    pub fn bytes(&mut self, content: &[u8]) {
        self.count(content.len());
        self.bytes.extend(content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_aligned_to_their_size_from_the_end_of_the_header() {
        let mut writer = CdrWriter::new();
        writer.u8(7);
        writer.u32(0x201);
        writer.string("ab");
        writer.f64(1.5);
        let start = [0, 1, 0, 0, 7, 0, 0, 0, 1, 2, 0, 0, 3, 0, 0, 0, b'a', b'b', 0, 0];
        assert_eq!(writer.finish(), [&start[..], &1.5f64.to_le_bytes()].concat());
    }
}
