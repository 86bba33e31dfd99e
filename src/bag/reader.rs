//! A bag: its files one after the other.

use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::error::BagError;
use super::files::{BagFiles, find};
use super::visitor::{Topic, Visitor};
use super::{mcap_file, sqlite_file};

/// Largest message after decompression, in bytes.
const MAX_MESSAGE: u64 = 600 << 20;

/// A bag of rosbag2 on disk. Messages are streamed: the memory of a reading is that of the largest message.
#[derive(Debug, Clone)]
pub struct Bag {
    files: BagFiles,
}

impl Bag {
    /// Finds the files of a bag. `path` is a folder with or without metadata.yaml, or one .mcap or .db3 file.
    ///
    /// # Errors
    /// There is no file of a bag, a file is compressed as a whole, or the folder cannot be read.
    pub fn open(path: &Path) -> Result<Bag, BagError> {
        Ok(Bag { files: find(path)? })
    }

    pub fn files(&self) -> &[PathBuf] {
        &self.files.files
    }

    /// Returns what is wrong with metadata.yaml, as sentences for people.
    pub fn remarks(&self) -> &[String] {
        &self.files.remarks
    }

    /// Reads all messages that the visitor wants, in the order of recording. A damaged file is read as far as it goes, then
    /// the next file is read. Returns what is damaged, as sentences for people.
    ///
    /// # Errors
    /// [`BagError::Unreadable`] if no file has a message, and each one is damaged.
    pub fn read(&self, visitor: &mut dyn Visitor) -> Result<Vec<String>, BagError> {
        let mut damage = Vec::new();
        let mut read = Counted { visitor, messages: 0, bad_messages: 0, zstd: self.files.messages_compressed };
        for file in self.files() {
            let before = read.messages;
            let outcome = match file.extension().is_some_and(|e| e == "db3") {
                true if !file.exists() => Err("no such file".to_owned()),
                true => sqlite_file::read(file, &mut read),
                false => File::open(file)
                    .map_err(|e| e.to_string())
                    .and_then(|content| mcap_file::read(BufReader::with_capacity(1 << 20, content), &mut read)),
            };
            match outcome {
                Ok(ControlFlow::Break(())) => break,
                Ok(ControlFlow::Continue(())) => {}
                Err(reason) => {
                    let messages = read.messages - before;
                    damage.push(format!("{}: {reason}; {messages} messages before that are read", file.display()));
                }
            }
        }
        if read.bad_messages > 0 {
            damage.push(format!("{} messages are no zstd data, which the metadata calls for", read.bad_messages));
        }
        if read.messages == 0 && damage.len() >= self.files().len() {
            return Err(BagError::Unreadable { reasons: damage });
        }
        Ok(damage)
    }
}

/// Counts the messages of a reading, and decompresses them.
struct Counted<'a> {
    visitor: &'a mut dyn Visitor,
    messages: u64,
    /// Messages that do not decompress.
    bad_messages: u64,
    /// Whether each message is compressed.
    zstd: bool,
}

impl Visitor for Counted<'_> {
    fn wants(&mut self, topic: &Topic) -> bool {
        self.visitor.wants(topic)
    }

    fn visit(&mut self, topic: &Topic, log_time: u64, data: &[u8]) -> ControlFlow<()> {
        self.messages += 1;
        if !self.zstd {
            return self.visitor.visit(topic, log_time, data);
        }
        match decompress(data) {
            Ok(message) => self.visitor.visit(topic, log_time, &message),
            Err(_) => {
                self.bad_messages += 1;
                ControlFlow::Continue(())
            }
        }
    }
}

fn decompress(data: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut message = Vec::new();
    zstd::stream::read::Decoder::with_buffer(data)?.take(MAX_MESSAGE).read_to_end(&mut message)?;
    Ok(message)
}
