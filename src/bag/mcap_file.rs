//! Files of MCAP (<https://mcap.dev/spec>), read from the first byte to the last. The index at the end of a file is not used, so
//! that a file whose recorder was killed is read as far as it goes.
//!
//! Chunks are decompressed here: the reader of the crate `mcap` 0.25 does not end on a chunk that has fewer bytes than its
//! header says.

use std::collections::HashMap;
use std::io::Read;
use std::ops::ControlFlow;

use mcap::records::{ChunkHeader, Record, op};
use mcap::sans_io::linear_reader::{LinearReadEvent, LinearReader, LinearReaderOptions};

use super::visitor::{Topic, Visitor};

/// Largest record in bytes: a message with the largest image that is accepted, 16 bits and four channels.
const MAX_RECORD: usize = 600 << 20;
/// Most bytes that are read at once, so that a wrong length allocates no more than the file has.
const READ_BYTES: usize = 1 << 20;
/// Bytes before each record: a code and a length.
const RECORD_HEAD: usize = 9;

/// Reads a file. Returns `Break` if the visitor ended the reading.
///
/// # Errors
/// The file is damaged or ends early, in words. The messages before are visited.
pub fn read(mut file: impl Read, visitor: &mut dyn Visitor) -> Result<ControlFlow<()>, String> {
    let options = LinearReaderOptions::default().with_record_length_limit(MAX_RECORD).with_emit_chunks(true);
    let mut reader = LinearReader::new_with_options(options);
    let mut records = Records { schemas: HashMap::new(), channels: HashMap::new(), visitor };
    // Bytes since the last record: the reader asks for no byte beyond the next record.
    let mut unfinished = Vec::new();
    while let Some(event) = reader.next_event() {
        let (opcode, data) = match event {
            Ok(LinearReadEvent::ReadRequest(bytes)) => {
                let space = reader.insert(bytes.min(READ_BYTES));
                let read = file.read(space).map_err(|e| e.to_string())?;
                unfinished.extend_from_slice(&space[..read]);
                reader.notify_read(read);
                continue;
            }
            Ok(LinearReadEvent::Record { opcode, data }) => (opcode, data),
            Err(error) => {
                // A file that ends inside a chunk: its records up to the end are whole.
                if let Some((header, data)) = cut_chunk(&unfinished)
                    && records.chunk(&header, data)?.is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
                return Err(error.to_string());
            }
        };
        unfinished.clear();
        let flow = match opcode {
            op::CHUNK => match mcap::parse_record(opcode, data).map_err(|e| e.to_string())? {
                Record::Chunk { header, data } => records.chunk(&header, &data)?,
                _ => ControlFlow::Continue(()),
            },
            _ => records.take(opcode, data)?,
        };
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Returns the header and the data of a chunk that is cut off. None for other records.
fn cut_chunk(record: &[u8]) -> Option<(ChunkHeader, &[u8])> {
    let body = record.strip_prefix(&[op::CHUNK])?.get(8..)?;
    let number = |at: usize| body.get(at..at + 8)?.try_into().map(u64::from_le_bytes).ok();
    let short = |at: usize| body.get(at..at + 4)?.try_into().map(u32::from_le_bytes).ok();
    let end = usize::try_from(short(28)?).ok()?.checked_add(32)?;
    let header = ChunkHeader {
        message_start_time: number(0)?,
        message_end_time: number(8)?,
        uncompressed_size: number(16)?,
        uncompressed_crc: short(24)?,
        compression: String::from_utf8(body.get(32..end)?.to_vec()).ok()?,
        compressed_size: number(end)?,
    };
    Some((header, body.get(end + 8..)?))
}

/// The records of a file that matter here.
struct Records<'a> {
    /// Names of the types, by the numbers of their schemas.
    schemas: HashMap<u16, String>,
    /// Topic of each channel; none if the visitor does not want its messages.
    channels: HashMap<u16, Option<Topic>>,
    visitor: &'a mut dyn Visitor,
}

impl Records<'_> {
    /// Takes a schema, a channel or a message. Other records, such as indices and attachments, are not parsed.
    fn take(&mut self, opcode: u8, data: &[u8]) -> Result<ControlFlow<()>, String> {
        if !matches!(opcode, op::SCHEMA | op::CHANNEL | op::MESSAGE) {
            return Ok(ControlFlow::Continue(()));
        }
        match mcap::parse_record(opcode, data).map_err(|e| e.to_string())? {
            Record::Schema { header, .. } => {
                self.schemas.insert(header.id, header.name);
            }
            Record::Channel(channel) => {
                let message_type = self.schemas.get(&channel.schema_id).cloned().unwrap_or_default();
                // The summary at the end of the file repeats the channels.
                self.channels.entry(channel.id).or_insert_with(|| {
                    let topic = Topic { name: channel.topic, message_type, encoding: channel.message_encoding };
                    self.visitor.wants(&topic).then_some(topic)
                });
            }
            Record::Message { header, data } => match self.channels.get(&header.channel_id) {
                Some(Some(topic)) => return Ok(self.visitor.visit(topic, header.log_time, &data)),
                Some(None) => {}
                None => return Err(format!("a message of channel {}, which is not declared", header.channel_id)),
            },
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Takes the records of a chunk.
    fn chunk(&mut self, header: &ChunkHeader, data: &[u8]) -> Result<ControlFlow<()>, String> {
        let failed = |e: std::io::Error| format!("a chunk does not decompress: {e}");
        let content: Box<dyn Read + '_> = match header.compression.as_str() {
            "" => Box::new(data),
            "zstd" => Box::new(zstd::stream::read::Decoder::with_buffer(data).map_err(failed)?),
            "lz4" => Box::new(lz4::Decoder::new(data).map_err(failed)?),
            other => return Err(format!("a chunk compressed with \"{other}\", expected none, lz4 or zstd")),
        };
        let mut content = content.take(header.uncompressed_size);
        let mut checksum = crc32fast::Hasher::new();
        loop {
            let head = read_up_to(&mut content, RECORD_HEAD).map_err(failed)?;
            checksum.update(&head);
            let [opcode, length @ ..] = &head[..] else { break };
            let length = <[u8; 8]>::try_from(length).map(u64::from_le_bytes);
            let length = length.ok().and_then(|length| usize::try_from(length).ok()).filter(|n| *n <= MAX_RECORD);
            let length = length.ok_or("a chunk ends in the middle of a record, or has a record that is too long")?;
            let body = read_up_to(&mut content, length).map_err(failed)?;
            if body.len() < length {
                return Err(format!("a chunk ends after {} of {length} bytes of a record", body.len()));
            }
            checksum.update(&body);
            if self.take(*opcode, &body)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let (found, expected) = (checksum.finalize(), header.uncompressed_crc);
        // 0 stands for no checksum.
        if expected != 0 && found != expected {
            return Err(format!(
                "the checksum of a chunk is {found:08x}, expected {expected:08x}: its content is damaged"
            ));
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Reads a number of bytes, or fewer at the end.
fn read_up_to(content: &mut impl Read, bytes: usize) -> std::io::Result<Vec<u8>> {
    let mut read = Vec::new();
    content.by_ref().take(bytes as u64).read_to_end(&mut read)?;
    Ok(read)
}
