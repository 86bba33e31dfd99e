//! Bags: files of MCAP, and the messages that are decoded from them.

use std::ops::ControlFlow;

use promptseg::bag::messages::{CAMERA_INFO, DETECTION_TYPES, IMAGE_TYPES, camera_info, detections, frame, stamp};
use promptseg::bag::{Topic, Visitor, read_mcap};

/// Decodes all messages. Counts them, so that an endless file ends.
struct Decoder {
    messages: usize,
}

impl Visitor for Decoder {
    fn wants(&mut self, topic: &Topic) -> bool {
        !topic.name.is_empty() || topic.encoding == "cdr"
    }

    fn visit(&mut self, topic: &Topic, _: u64, data: &[u8]) -> ControlFlow<()> {
        decode(&topic.message_type, data);
        self.messages += 1;
        if self.messages < 1000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Decodes one message. What is decoded is not larger than the message.
fn decode(message_type: &str, data: &[u8]) {
    let read = stamp(data);
    if IMAGE_TYPES.contains(&message_type) {
        if let Ok(frame) = frame(message_type, data) {
            assert_eq!(read.as_ref().ok(), Some(&frame.header.stamp));
            assert!(frame.bytes() < data.len());
            // Images may be wrong in any way.
            let _ = frame.into_rgb();
        }
    } else if DETECTION_TYPES.contains(&message_type) {
        if let Ok((_, list)) = detections(message_type, data) {
            assert!(list.len() * 56 <= data.len());
        }
    } else if message_type == CAMERA_INFO
        && let Ok((_, info)) = camera_info(data)
    {
        assert!(info.d.len() * 8 < data.len());
    }
}

/// The first byte selects a file of MCAP or the type of one message.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let types = [IMAGE_TYPES[0], IMAGE_TYPES[1], DETECTION_TYPES[0], DETECTION_TYPES[1], CAMERA_INFO];
    match types.get(usize::from(*kind)) {
        Some(message_type) => decode(message_type, rest),
        // Damage is an error.
        None => drop(read_mcap(rest, &mut Decoder { messages: 0 })),
    }
}
