//! Phrases of the topic `text`, and of `~/set_text`.

use promptseg::text::phrase::{MAX_CHARS, MAX_PHRASES, Phrase, add_phrase, parse_phrases};

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(phrases) = parse_phrases(&text) {
        assert!(phrases.len() <= MAX_PHRASES, "{}", phrases.len());
        for (i, phrase) in phrases.iter().enumerate() {
            check(phrase);
            let lower = phrase.text.to_lowercase();
            assert!(phrases[..i].iter().all(|earlier| earlier.text.to_lowercase() != lower), "{phrase:?} twice");
        }
        // The phrases with commas between them are the same phrases.
        let joined = phrases.iter().map(|phrase| phrase.text.as_str()).collect::<Vec<_>>().join(",");
        assert_eq!(parse_phrases(&joined).unwrap(), phrases);
    }
    // A list of phrases with classes: the first byte of a line is its score.
    let mut list = Vec::new();
    for line in text.lines() {
        let score = line.bytes().next().map(|byte| f32::from(byte) / 128.0);
        let (words, class) = line.split_once(':').unwrap_or((line, ""));
        if let Ok(phrase) = Phrase::with(words, class, score) {
            check(&phrase);
            let _ = add_phrase(&mut list, phrase);
        }
    }
    assert!(list.len() <= MAX_PHRASES, "{}", list.len());
}

fn check(phrase: &Phrase) {
    let Phrase { text, class_id, min_score } = phrase;
    for part in [text, class_id] {
        assert!(!part.is_empty() && part.chars().count() <= MAX_CHARS, "{phrase:?}");
        assert!(part.trim() == part && !part.chars().any(char::is_control), "{phrase:?}");
    }
    assert!(min_score.is_none_or(|score| (0.0..=1.0).contains(&score)), "{phrase:?}");
}
