//! Files of MCAP (<https://mcap.dev/spec>), read from the first byte to the last. The index at the end of a file is not used, so
//! that a file whose recorder was killed is read as far as it goes.

use std::collections::HashMap;
use std::io::Read;
use std::ops::ControlFlow;

use mcap::records::Record;
use mcap::sans_io::linear_reader::{LinearReadEvent, LinearReader, LinearReaderOptions};

use super::visitor::{Topic, Visitor};

/// Largest record in bytes: a message with the largest image that is accepted, 16 bits and four channels.
const MAX_RECORD: usize = 600 << 20;
/// Most bytes that are read at once, so that a wrong length allocates no more than the file has.
const READ_BYTES: usize = 1 << 20;

/// Reads a file. Returns `Break` if the visitor ended the reading.
///
/// # Errors
/// The file is damaged or ends early, in words. The messages before are visited.
pub fn read(mut file: impl Read, visitor: &mut dyn Visitor) -> Result<ControlFlow<()>, String> {
    let options = LinearReaderOptions::default().with_record_length_limit(MAX_RECORD).with_validate_chunk_crcs(true);
    let mut reader = LinearReader::new_with_options(options);
    let mut schemas = HashMap::new();
    // Topic of each channel; none if the visitor does not want its messages.
    let mut channels: HashMap<u16, Option<Topic>> = HashMap::new();
    while let Some(event) = reader.next_event() {
        let (opcode, data) = match event.map_err(|e| e.to_string())? {
            LinearReadEvent::ReadRequest(bytes) => {
                let read = file.read(reader.insert(bytes.min(READ_BYTES))).map_err(|e| e.to_string())?;
                reader.notify_read(read);
                continue;
            }
            LinearReadEvent::Record { opcode, data } => (opcode, data),
        };
        // Indices and attachments are not parsed.
        if !matches!(opcode, mcap::records::op::SCHEMA | mcap::records::op::CHANNEL | mcap::records::op::MESSAGE) {
            continue;
        }
        match mcap::parse_record(opcode, data).map_err(|e| e.to_string())? {
            Record::Schema { header, .. } => {
                schemas.insert(header.id, header.name);
            }
            Record::Channel(channel) => {
                let message_type = schemas.get(&channel.schema_id).cloned().unwrap_or_default();
                // The summary at the end of the file repeats the channels.
                channels.entry(channel.id).or_insert_with(|| {
                    let topic = Topic { name: channel.topic, message_type, encoding: channel.message_encoding };
                    visitor.wants(&topic).then_some(topic)
                });
            }
            Record::Message { header, data } => match channels.get(&header.channel_id) {
                Some(Some(topic)) => {
                    if visitor.visit(topic, header.log_time, &data).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Some(None) => {}
                None => return Err(format!("a message of channel {}, which is not declared", header.channel_id)),
            },
            _ => {}
        }
    }
    Ok(ControlFlow::Continue(()))
}
