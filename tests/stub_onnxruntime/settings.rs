//! The environment variables: the behaviour in `STUB`, and the log file.

use std::io::Write as _;

pub fn log(line: &str) {
    if let Some(path) = std::env::var_os("STUB_LOG") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

/// The value of a behaviour in `STUB`.
pub fn setting(key: &str) -> Option<String> {
    let mut all = std::env::var("STUB").unwrap_or_default();
    if let Some(file) = all.strip_prefix('@') {
        all = std::fs::read_to_string(file).unwrap();
    }
    all.split(';').find_map(|part| part.split_once('=').filter(|(k, _)| *k == key).map(|(_, v)| v.to_owned()))
}
