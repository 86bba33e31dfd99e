//! What the tests of all text models against transformers share.

use image::RgbImage;
use promptseg::model::SessionOptions;
use promptseg::text::{Phrase, PhraseTokenizer, TextModel};
use serde::Deserialize;

use crate::support::{golden, photo};

/// Opens the text model of a folder of `tests/golden`.
pub fn open(family: &str) -> TextModel {
    TextModel::open(&golden(family), &SessionOptions::cpu(2), None).unwrap_or_else(|e| panic!("{e}"))
}

pub fn phrases(texts: &[String]) -> Vec<Phrase> {
    texts.iter().map(|text| Phrase::new(text).unwrap()).collect()
}

/// Returns a photo; `part` is smaller than the square of the model.
pub fn picture(name: &str) -> RgbImage {
    match name {
        "part" => image::imageops::crop_imm(&photo("chelsea"), 90, 40, 97, 61).to_image(),
        name => photo(name),
    }
}

/// Returns the largest difference relative to the range of `expected`.
pub fn apart(found: &[f32], expected: &[f32]) -> f32 {
    let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    apart_by(found, expected, high - low)
}

/// Returns the largest difference relative to `range`.
pub fn apart_by(found: &[f32], expected: &[f32], range: f32) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / range
}

/// Compares the tokens of awkward phrases, among them one of more than `long` tokens, with those of Python.
pub fn compare_tokens(family: &str, long: usize) {
    #[derive(Deserialize)]
    struct Case {
        text: String,
        ids: Vec<u32>,
    }
    let read = |file: &str| std::fs::read(golden(&format!("{family}/{file}"))).unwrap();
    let tokenizer = PhraseTokenizer::load(&read("tokenizer.json"), "tokenizer.json").unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&read("tokens.json")).unwrap();
    assert!(cases.len() > 40 && cases.iter().any(|case| case.ids.len() > long) && cases[0].text.is_empty());
    for case in cases {
        assert_eq!(tokenizer.ids(&case.text).unwrap(), case.ids, "{:?}", case.text);
    }
}
