//! Writes a bag of MCAP with the results of a run, and its metadata.yaml.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};

use mcap::records::MessageHeader;
use mcap::{Compression, WriteOptions, Writer};

use super::definitions;
use super::messages::{COMPRESSED_IMAGE, DETECTIONS, IMAGE};
use super::results::MASKS;

/// A topic of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResultTopic {
    Masks,
    Labels,
    Detections,
    Overlay,
}

impl ResultTopic {
    pub const ALL: [ResultTopic; 4] =
        [ResultTopic::Masks, ResultTopic::Labels, ResultTopic::Detections, ResultTopic::Overlay];

    /// Returns the name of the topic: that of a node called `promptseg`.
    pub fn name(self) -> &'static str {
        match self {
            ResultTopic::Masks => "/promptseg/masks",
            ResultTopic::Labels => "/promptseg/labels",
            ResultTopic::Detections => "/promptseg/detections",
            ResultTopic::Overlay => "/promptseg/overlay/compressed",
        }
    }

    fn message_type(self) -> &'static str {
        match self {
            ResultTopic::Masks => MASKS,
            ResultTopic::Labels => IMAGE,
            ResultTopic::Detections => DETECTIONS,
            ResultTopic::Overlay => COMPRESSED_IMAGE,
        }
    }

    fn definition(self) -> String {
        match self {
            ResultTopic::Masks => definitions::mask_array(),
            ResultTopic::Labels => definitions::image(),
            ResultTopic::Detections => definitions::detections(),
            ResultTopic::Overlay => definitions::compressed_image(),
        }
    }
}

/// A file that keeps its first error and pretends to go on. The writer of the crate `mcap` panics if it is dropped after an
/// error, for instance on a full disk.
struct KeptError<W> {
    file: W,
    /// Position and length in bytes, as if no error had happened.
    position: u64,
    length: u64,
    error: Option<std::io::Error>,
}

impl<W> KeptError<W> {
    fn attempt(&mut self, work: impl FnOnce(&mut W) -> std::io::Result<()>) {
        if self.error.is_none() {
            self.error = work(&mut self.file).err();
        }
    }
}

impl<W: Write> Write for KeptError<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.attempt(|file| file.write_all(bytes));
        self.position += bytes.len() as u64;
        self.length = self.length.max(self.position);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.attempt(W::flush);
        Ok(())
    }
}

impl<W: Seek> Seek for KeptError<W> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(std::io::ErrorKind::InvalidInput)?;
        let position = self.position;
        self.attempt(|file| file.seek(SeekFrom::Start(position)).map(drop));
        Ok(position)
    }
}

/// Writes the results of a run.
pub struct ResultWriter<W: Write + Seek> {
    writer: Writer<KeptError<W>>,
    channels: BTreeMap<ResultTopic, u16>,
    /// Number of frames.
    frames: u32,
    /// Number of messages of each topic.
    messages: BTreeMap<ResultTopic, u64>,
    /// First and last time, in nanoseconds.
    span: Option<(u64, u64)>,
}

impl<W: Write + Seek> ResultWriter<W> {
    /// Begins a file with these topics, and with the definitions of their types.
    ///
    /// # Errors
    /// The file cannot be written, in words.
    pub fn new(file: W, topics: &[ResultTopic]) -> Result<Self, String> {
        let options = WriteOptions::new()
            .profile("ros2")
            .library(concat!("promptseg ", env!("CARGO_PKG_VERSION")))
            .compression(Some(Compression::Zstd))
            // The same bytes on every machine.
            .compression_threads(0);
        let writer =
            options.create(KeptError { file, position: 0, length: 0, error: None }).map_err(|e| e.to_string())?;
        let messages = topics.iter().map(|topic| (*topic, 0)).collect();
        let mut made = ResultWriter { writer, channels: BTreeMap::new(), frames: 0, messages, span: None };
        let metadata = BTreeMap::from([("offered_qos_profiles".to_owned(), String::new())]);
        for topic in topics.iter().copied() {
            let definition = topic.definition();
            let schema = made.writer.add_schema(topic.message_type(), "ros2msg", definition.as_bytes());
            let schema = schema.map_err(|e| e.to_string())?;
            let channel = made.writer.add_channel(schema, topic.name(), "cdr", &metadata).map_err(|e| e.to_string())?;
            made.channels.insert(topic, channel);
        }
        Ok(made)
    }

    /// Writes the messages of a frame at a time in nanoseconds. Messages of other topics than those of the file are left out.
    ///
    /// # Errors
    /// The file cannot be written, in words.
    pub fn write(&mut self, time: u64, messages: &[(ResultTopic, Vec<u8>)]) -> Result<(), String> {
        for (topic, data) in messages {
            let Some(channel_id) = self.channels.get(topic).copied() else { continue };
            let header = MessageHeader { channel_id, sequence: self.frames, log_time: time, publish_time: time };
            self.writer.write_to_known_channel(&header, data).map_err(|e| e.to_string())?;
            *self.messages.entry(*topic).or_default() += 1;
        }
        self.frames = self.frames.saturating_add(1);
        let (first, last) = self.span.unwrap_or((time, time));
        self.span = Some((first.min(time), last.max(time)));
        Ok(())
    }

    /// Completes the file. Returns the text of metadata.yaml for a file of this name.
    ///
    /// # Errors
    /// The file could not be written, in words.
    pub fn finish(mut self, file_name: &str) -> Result<String, String> {
        self.writer.finish().map_err(|e| e.to_string())?;
        let (messages, span) = (self.messages, self.span.unwrap_or((0, 0)));
        match self.writer.into_inner().error {
            Some(error) => Err(error.to_string()),
            None => Ok(metadata(file_name, &messages, span)),
        }
    }
}

/// Returns the text of metadata.yaml, in version 5, which all distributions from Humble on read.
fn metadata(file_name: &str, messages: &BTreeMap<ResultTopic, u64>, (first, last): (u64, u64)) -> String {
    let (count, duration) = (messages.values().sum::<u64>(), last - first);
    let topics: String = messages
        .iter()
        .map(|(topic, messages)| {
            let (name, message_type) = (topic.name(), topic.message_type());
            format!(
                "    - topic_metadata:\n        name: {name}\n        type: {message_type}\n        \
                 serialization_format: cdr\n        offered_qos_profiles: \"\"\n      message_count: {messages}\n"
            )
        })
        .collect();
    format!(
        "rosbag2_bagfile_information:\n  version: 5\n  storage_identifier: mcap\n  duration:\n    nanoseconds: {duration}\n  \
         starting_time:\n    nanoseconds_since_epoch: {first}\n  message_count: {count}\n  topics_with_message_count:\n{topics}  \
         compression_format: \"\"\n  compression_mode: \"\"\n  relative_file_paths:\n    - {file_name}\n  files:\n    - path: \
         {file_name}\n      starting_time:\n        nanoseconds_since_epoch: {first}\n      duration:\n        nanoseconds: \
         {duration}\n      message_count: {count}\n"
    )
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::ops::ControlFlow;

    use super::*;
    use crate::bag::messages::stamp;
    use crate::bag::results::{detections, labels, masks, overlay};
    use crate::bag::{Topic, Visitor, read_mcap};
    use crate::engine::{Header, Stamp};

    /// The topics and times that were read.
    #[derive(Default)]
    struct Seen(Vec<(String, u64)>);

    impl Visitor for Seen {
        fn wants(&mut self, topic: &Topic) -> bool {
            topic.encoding == "cdr"
        }

        fn visit(&mut self, topic: &Topic, time: u64, data: &[u8]) -> ControlFlow<()> {
            assert_eq!(stamp(data).unwrap().nanoseconds() as u64, time);
            self.0.push((topic.name.clone(), time));
            ControlFlow::Continue(())
        }
    }

    fn write(writer: &mut ResultWriter<impl Write + Seek>, second: i32) {
        let header = Header { stamp: Stamp { sec: second, nanosec: 5 }, frame_id: "camera".into() };
        let messages = [
            (ResultTopic::Masks, masks(&header, (640, 480), "tiny", &[])),
            (ResultTopic::Labels, labels(&header, (640, 480), &[])),
            (ResultTopic::Detections, detections(&header, &[])),
            (ResultTopic::Overlay, overlay(&header, b"jpeg")),
        ];
        writer.write(header.stamp.nanoseconds() as u64, &messages).unwrap();
    }

    #[test]
    fn messages_are_read_back_with_their_topics_and_times() {
        let mut file = Cursor::new(Vec::new());
        let mut writer = ResultWriter::new(&mut file, &ResultTopic::ALL).unwrap();
        write(&mut writer, 3);
        write(&mut writer, 7);
        let metadata = writer.finish("bag_0.mcap").unwrap();
        assert!(metadata.contains("nanoseconds: 4000000000") && metadata.contains("message_count: 8"), "{metadata}");
        let mut seen = Seen::default();
        assert!(read_mcap(file.get_ref().as_slice(), &mut seen).unwrap().is_continue());
        let first: Vec<&str> =
            seen.0.iter().filter(|(_, time)| *time == 3_000_000_005).map(|(n, _)| n.as_str()).collect();
        assert_eq!(
            first,
            ["/promptseg/masks", "/promptseg/labels", "/promptseg/detections", "/promptseg/overlay/compressed"]
        );
        assert_eq!(seen.0.len(), 8);
    }

    #[test]
    fn a_topic_that_the_file_does_not_have_is_left_out() {
        let mut file = Cursor::new(Vec::new());
        let mut writer = ResultWriter::new(&mut file, &ResultTopic::ALL[..3]).unwrap();
        write(&mut writer, 3);
        let metadata = writer.finish("bag_0.mcap").unwrap();
        assert!(!metadata.contains("overlay") && metadata.contains("message_count: 3"), "{metadata}");
        let mut seen = Seen::default();
        assert!(read_mcap(file.get_ref().as_slice(), &mut seen).unwrap().is_continue());
        assert_eq!(seen.0.len(), 3);
    }

    #[test]
    fn a_full_disk_is_an_error_wherever_it_happens() {
        let mut whole = Cursor::new(Vec::new());
        let mut writer = ResultWriter::new(&mut whole, &ResultTopic::ALL).unwrap();
        write(&mut writer, 1);
        writer.finish("x.mcap").unwrap();
        let length = whole.get_ref().len();
        for space in [0, 20, length / 2, length - 1] {
            let mut disk = vec![0; space];
            let mut writer = ResultWriter::new(Cursor::new(disk.as_mut_slice()), &ResultTopic::ALL).unwrap();
            write(&mut writer, 1);
            assert!(writer.finish("x.mcap").is_err(), "{space} of {length} bytes");
        }
    }
}
