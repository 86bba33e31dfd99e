//! Files of the storage sqlite3 of rosbag2: a table of topics, and a table of messages in the order of recording.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::visitor::{Topic, Visitor};

/// Reads a file. Returns `Break` if the visitor ended the reading.
///
/// # Errors
/// The file is damaged or no database of a bag, in words. The messages before are visited.
pub fn read(path: &Path, visitor: &mut dyn Visitor) -> Result<ControlFlow<()>, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(|e| e.to_string())?;
    // SQLite refuses a file that is shorter than its header says, except to those who may repair it. Nothing is written: the
    // connection is read-only.
    database.execute_batch("PRAGMA writable_schema = ON").map_err(|e| e.to_string())?;
    let topics = topics(&database, visitor).map_err(|e| format!("table `topics`: {e}"))?;
    if topics.is_empty() {
        return Ok(ControlFlow::Continue(()));
    }
    // The numbers come from the database itself; they are integers.
    let wanted = topics.keys().map(i64::to_string).collect::<Vec<_>>().join(",");
    let failed = |e: rusqlite::Error| format!("table `messages`: {e}");
    // In the order of the rows, which is that of recording: the index by time may be lost with the end of the file.
    let query = format!("SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({wanted}) ORDER BY id");
    let mut statement = database.prepare(&query).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (topic, time, data) = message(row).map_err(failed)?;
        let Some(topic) = topics.get(&topic) else { continue };
        if visitor.visit(topic, time, data).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Returns the topics that the visitor wants, by their numbers.
fn topics(database: &Connection, visitor: &mut dyn Visitor) -> rusqlite::Result<HashMap<i64, Topic>> {
    let mut statement = database.prepare("SELECT id, name, type, serialization_format FROM topics ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut topics = HashMap::new();
    while let Some(row) = rows.next()? {
        let topic = Topic { name: row.get(1)?, message_type: row.get(2)?, encoding: row.get(3)? };
        if visitor.wants(&topic) {
            topics.insert(row.get(0)?, topic);
        }
    }
    Ok(topics)
}

/// Returns topic, time of recording and content of a message.
fn message<'a>(row: &'a Row<'_>) -> rusqlite::Result<(i64, u64, &'a [u8])> {
    let data = match row.get_ref(2)? {
        ValueRef::Blob(data) | ValueRef::Text(data) => data,
        _ => &[],
    };
    let time: i64 = row.get(1)?;
    Ok((row.get(0)?, u64::try_from(time).unwrap_or(0), data))
}
