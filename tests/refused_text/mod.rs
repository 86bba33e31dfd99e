//! What the tests of refused text models share.

use std::path::{Path, PathBuf};

use promptseg::model::SessionOptions;
use promptseg::text::{Bank, Error, Phrase, TextEncoder, TextModel};

use crate::scratch::{Scratch, golden};

pub fn open(folder: &Path, bank: Option<&Path>) -> Result<TextModel, Error> {
    TextModel::open(folder, &SessionOptions::cpu(1), bank)
}

pub fn refusal(folder: &Path, bank: Option<&Path>) -> String {
    match open(folder, bank) {
        Ok(_) => panic!("{} was accepted", folder.display()),
        Err(e) => e.to_string(),
    }
}

pub fn phrases(texts: &[&str]) -> Vec<Phrase> {
    texts.iter().map(|text| Phrase::new(text).unwrap()).collect()
}

/// Writes a bank of a text model of `tests/golden`.
pub fn bank(scratch: &Scratch, model: &str, texts: &[&str]) -> PathBuf {
    let mut encoder = TextEncoder::open(&golden(model), &SessionOptions::cpu(1), None).unwrap();
    let features = encoder.understand(&phrases(texts)).unwrap();
    scratch.write("bank.safetensors", Bank::encode(&features, encoder.name()).unwrap())
}
