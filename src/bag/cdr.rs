//! CDR, the encoding of ROS 2 messages (OMG DDSI-RTPS 2.5, section 10; XCDR version 1): a header of four bytes with the byte
//! order, then the fields, each aligned to its size.

use super::error::CdrError;

/// Bytes of the header. Alignment counts from its end.
const HEADER: usize = 4;

/// Reads the fields of one message in their order. Every length is checked against the bytes that are left, so that no
/// message leads to an allocation larger than itself.
#[derive(Debug, Clone)]
pub struct CdrReader<'a> {
    /// Bytes after the header.
    body: &'a [u8],
    at: usize,
    big_endian: bool,
}

impl<'a> CdrReader<'a> {
    /// Begins to read a message.
    ///
    /// # Errors
    /// [`CdrError::Representation`] if the header is none of plain CDR.
    pub fn new(message: &'a [u8]) -> Result<Self, CdrError> {
        let big_endian = match message {
            [0, 0, _, _, ..] => true,
            [0, 1, _, _, ..] => false,
            other => {
                let bytes: Vec<String> = other.iter().take(HEADER).map(|b| format!("{b:02x}")).collect();
                let found = if bytes.is_empty() { "no bytes".to_owned() } else { bytes.join(" ") };
                return Err(CdrError::Representation { found });
            }
        };
        Ok(CdrReader { body: &message[HEADER..], at: 0, big_endian })
    }

    /// Returns the next `length` bytes, aligned to `alignment` (a power of two).
    fn take(&mut self, field: &'static str, alignment: usize, length: usize) -> Result<&'a [u8], CdrError> {
        let start = self.at.next_multiple_of(alignment);
        let end = start.checked_add(length).filter(|end| *end <= self.body.len());
        let Some(end) = end else {
            let left = self.body.len().saturating_sub(start);
            return Err(CdrError::Short { field, at: HEADER + start, needed: length as u64, left });
        };
        self.at = end;
        Ok(&self.body[start..end])
    }

    /// Reads `N` bytes as a number in little-endian order.
    fn number<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CdrError> {
        let bytes = self.take(field, N, N)?;
        let mut number = [0; N];
        number.copy_from_slice(bytes);
        if self.big_endian {
            number.reverse();
        }
        Ok(number)
    }

    pub fn u8(&mut self, field: &'static str) -> Result<u8, CdrError> {
        Ok(self.take(field, 1, 1)?[0])
    }

    pub fn u32(&mut self, field: &'static str) -> Result<u32, CdrError> {
        self.number(field).map(u32::from_le_bytes)
    }

    pub fn i32(&mut self, field: &'static str) -> Result<i32, CdrError> {
        self.number(field).map(i32::from_le_bytes)
    }

    pub fn f64(&mut self, field: &'static str) -> Result<f64, CdrError> {
        self.number(field).map(f64::from_le_bytes)
    }

    /// Reads an array of fixed length.
    pub fn f64s<const N: usize>(&mut self, field: &'static str) -> Result<[f64; N], CdrError> {
        let mut values = [0.0; N];
        for value in &mut values {
            *value = self.f64(field)?;
        }
        Ok(values)
    }

    /// Reads a string. Bytes that are not UTF-8 become U+FFFD.
    pub fn string(&mut self, field: &'static str) -> Result<String, CdrError> {
        let length = self.u32(field)?;
        let bytes = self.take(field, 1, length as usize)?;
        // The length counts the NUL at the end. Some writers leave an empty string without it.
        let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// Reads a sequence of bytes.
    pub fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], CdrError> {
        let length = self.u32(field)?;
        self.take(field, 1, length as usize)
    }

    /// Reads the length of a sequence whose elements take at least `element_bytes` bytes each.
    ///
    /// # Errors
    /// [`CdrError::Short`] if the message has too few bytes for the elements.
    pub fn count(&mut self, field: &'static str, element_bytes: usize) -> Result<usize, CdrError> {
        let count = self.u32(field)?;
        let (needed, left) = (u64::from(count) * element_bytes as u64, self.body.len() - self.at);
        if needed > left as u64 {
            return Err(CdrError::Short { field, at: HEADER + self.at, needed, left });
        }
        Ok(count as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_aligned_to_their_size_from_the_end_of_the_header() {
        // u8 7, u32 at 4, string "ab" at 8, f64 at 16.
        let little =
            [&[0, 1, 0, 0, 7, 0, 0, 0, 1, 2, 0, 0, 3, 0, 0, 0, b'a', b'b', 0, 9][..], &1.5f64.to_le_bytes()].concat();
        let big =
            [&[0, 0, 0, 0, 7, 9, 9, 9, 0, 0, 2, 1, 0, 0, 0, 3, b'a', b'b', 0, 9][..], &1.5f64.to_be_bytes()].concat();
        for message in [little, big] {
            let mut reader = CdrReader::new(&message).unwrap();
            assert_eq!(reader.u8("a").unwrap(), 7);
            assert_eq!(reader.u32("b").unwrap(), 0x201);
            assert_eq!(reader.string("c").unwrap(), "ab");
            assert_eq!(reader.f64("d").unwrap(), 1.5);
            assert_eq!(reader.u8("e"), Err(CdrError::Short { field: "e", at: 28, needed: 1, left: 0 }));
        }
    }

    #[test]
    fn lengths_beyond_the_message_and_other_representations_are_refused() {
        let long = [0, 1, 0, 0, 255, 255, 255, 255];
        let short = |needed| CdrError::Short { field: "x", at: 8, needed, left: 0 };
        assert_eq!(CdrReader::new(&long).unwrap().bytes("x"), Err(short(0xffff_ffff)));
        assert_eq!(CdrReader::new(&long).unwrap().count("x", 16), Err(short(0xffff_ffff * 16)));
        for found in [&[][..], &[0, 1], &[0, 7, 0, 0], b"{\"a\""] {
            let error = CdrReader::new(found).unwrap_err().to_string();
            assert!(error.contains("expected the CDR header"), "{error}");
        }
    }
}
