//! Phrases as people and programs write them: checked against limits, and without repetition.

use std::collections::HashSet;

use thiserror::Error;

/// Most bytes of a text with phrases.
pub const MAX_TEXT: usize = 16 << 10;
/// Most phrases at a time.
pub const MAX_PHRASES: usize = 100;
/// Most characters of a phrase, and of its class. A text model has a limit of its own, in tokens.
pub const MAX_CHARS: usize = 128;

/// A phrase that names objects, such as "red cup".
#[derive(Debug, Clone, PartialEq)]
pub struct Phrase {
    /// The words, with single spaces between them.
    pub text: String,
    /// Class of the objects that the phrase finds: the phrase itself, unless its sender named a class.
    pub class_id: String,
    /// Least score of the objects, from 0 to 1; `None` for the threshold of all phrases.
    pub min_score: Option<f32>,
}

/// Reason why a phrase was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PhraseError {
    #[error("a text of {found} bytes, expected at most {MAX_TEXT}")]
    TextTooLong { found: usize },
    #[error("{found} phrases, expected at most {MAX_PHRASES}")]
    TooMany { found: usize },
    #[error("a phrase without words; expected words such as 'red cup'")]
    Empty,
    #[error("the {kind} '{start}...' has {found} characters, expected at most {MAX_CHARS}")]
    TooLong { kind: &'static str, start: String, found: usize },
    #[error("the {kind} {text:?} has the control character {character:?}, expected words")]
    ControlCharacter { kind: &'static str, text: String, character: char },
    #[error("the phrase '{text}' has the least score {found}, expected 0 to 1")]
    Score { text: String, found: f32 },
    #[error("the phrase '{text}' is given twice, with different classes or scores; expected it once")]
    Twice { text: String },
}

impl Phrase {
    /// Returns the phrase of a text, with the phrase as its class and without a threshold of its own.
    ///
    /// # Errors
    /// The text has no words, is too long, or has a control character.
    pub fn new(text: &str) -> Result<Self, PhraseError> {
        let text = words(text, "phrase")?;
        if text.is_empty() {
            return Err(PhraseError::Empty);
        }
        Ok(Phrase { class_id: text.clone(), text, min_score: None })
    }

    /// Returns the phrase of a text with a class and a least score. An empty class stands for the phrase itself.
    ///
    /// # Errors
    /// Errors of [`Phrase::new`] for the text or the class; an error if the score is not between 0 and 1.
    pub fn with(text: &str, class_id: &str, min_score: Option<f32>) -> Result<Self, PhraseError> {
        let mut phrase = Phrase::new(text)?;
        let class_id = words(class_id, "class")?;
        if !class_id.is_empty() {
            phrase.class_id = class_id;
        }
        if let Some(found) = min_score.filter(|score| !(0.0..=1.0).contains(score)) {
            return Err(PhraseError::Score { text: phrase.text, found });
        }
        phrase.min_score = min_score;
        Ok(phrase)
    }

    /// Returns whether both have the same words: text models do not distinguish capitals.
    fn is_same_text(&self, other: &Phrase) -> bool {
        self.text.to_lowercase() == other.text.to_lowercase()
    }

    /// Returns whether both name the same class, given that both have the same words.
    fn has_class_of(&self, other: &Phrase) -> bool {
        let names_itself = |phrase: &Phrase| phrase.class_id == phrase.text;
        self.class_id == other.class_id || (names_itself(self) && names_itself(other))
    }
}

/// Reads phrases with commas between them. A repeated phrase counts once, and a text without words has no phrases.
///
/// # Errors
/// The text or a phrase is too long, a phrase has a control character, or there are too many phrases.
pub fn parse_phrases(text: &str) -> Result<Vec<Phrase>, PhraseError> {
    if text.len() > MAX_TEXT {
        return Err(PhraseError::TextTooLong { found: text.len() });
    }
    let (mut phrases, mut seen) = (Vec::new(), HashSet::new());
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let phrase = Phrase::new(part)?;
        if seen.insert(phrase.text.to_lowercase()) {
            phrases.push(phrase);
        }
    }
    match phrases.len() {
        found if found > MAX_PHRASES => Err(PhraseError::TooMany { found }),
        _ => Ok(phrases),
    }
}

/// Adds a phrase to a list, unless the list has it.
///
/// # Errors
/// The list has the same phrase with another class or score, or is full.
pub fn add_phrase(phrases: &mut Vec<Phrase>, phrase: Phrase) -> Result<(), PhraseError> {
    match phrases.iter().find(|earlier| earlier.is_same_text(&phrase)) {
        Some(earlier) if earlier.min_score == phrase.min_score && earlier.has_class_of(&phrase) => Ok(()),
        Some(_) => Err(PhraseError::Twice { text: phrase.text }),
        None if phrases.len() >= MAX_PHRASES => Err(PhraseError::TooMany { found: phrases.len() + 1 }),
        None => {
            phrases.push(phrase);
            Ok(())
        }
    }
}

/// Returns the words of a text with single spaces between them.
fn words(text: &str, kind: &'static str) -> Result<String, PhraseError> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = text.chars().count();
    if found > MAX_CHARS {
        let start = text.chars().take(24).filter(|c| !c.is_control()).collect();
        return Err(PhraseError::TooLong { kind, start, found });
    }
    match text.chars().find(|c| c.is_control()) {
        Some(character) => Err(PhraseError::ControlCharacter { kind, text, character }),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        parse_phrases(text).unwrap().into_iter().map(|phrase| phrase.text).collect()
    }

    #[test]
    fn phrases_are_between_commas() {
        assert_eq!(texts("red cup, person"), ["red cup", "person"]);
        assert_eq!(texts("  red \t\n cup,,  ,person, "), ["red cup", "person"]);
        let [cup] = &parse_phrases("red cup").unwrap()[..] else { panic!("one phrase") };
        assert_eq!((cup.class_id.as_str(), cup.min_score), ("red cup", None));
        for empty in ["", " ", ",", " ,\n, "] {
            assert_eq!(texts(empty), [""; 0], "{empty:?}");
        }
    }

    #[test]
    fn a_repeated_phrase_counts_once() {
        assert_eq!(texts("cup, Cup,red  cup,CUP,red cup"), ["cup", "red cup"]);
        assert_eq!(texts("Größe, GRÖSSE, größe"), ["Größe", "GRÖSSE"]);
    }

    #[test]
    fn words_of_every_script_are_phrases() {
        assert_eq!(texts("红色杯子, кружка, 🙂"), ["红色杯子", "кружка", "🙂"]);
        // The ideographic comma is a character of the phrase, as a full stop is.
        assert_eq!(texts("a、b."), ["a、b."]);
    }

    #[test]
    fn limits_are_refused_with_what_was_found() {
        let message = |text: &str| parse_phrases(text).unwrap_err().to_string();
        let long = "é".repeat(MAX_CHARS);
        assert_eq!(texts(&long), [long.as_str()]);
        let expected = format!("the phrase '{}...' has 129 characters, expected at most 128", "é".repeat(24));
        assert_eq!(message(&format!("cup,{long}é")), expected);
        let many = |count: usize| (0..count).map(|i| format!("cup {i}")).collect::<Vec<_>>().join(",");
        assert_eq!(texts(&many(MAX_PHRASES)).len(), MAX_PHRASES);
        assert_eq!(message(&many(140)), "140 phrases, expected at most 100");
        // Repetition is no reason for a refusal.
        assert_eq!(texts(&"cup,".repeat(1000)), ["cup"]);
        assert_eq!(
            message(&"x,".repeat(MAX_TEXT)),
            format!("a text of {} bytes, expected at most 16384", 2 * MAX_TEXT)
        );
        assert!(message("red\0cup").contains("the control character '\\0'"), "{}", message("red\0cup"));
        assert!(message("a\u{1b}[31m").contains("'\\u{1b}'"));
    }

    #[test]
    fn a_class_and_a_score_belong_to_the_phrase() {
        let phrase = Phrase::with(" red  cup ", " mug ", Some(0.25)).unwrap();
        assert_eq!(phrase, Phrase { text: "red cup".into(), class_id: "mug".into(), min_score: Some(0.25) });
        assert_eq!(Phrase::with("red cup", " ", None).unwrap(), Phrase::new("red cup").unwrap());
        let message = |text: &str, class: &str, score| Phrase::with(text, class, score).unwrap_err().to_string();
        assert_eq!(message(" ", "mug", None), "a phrase without words; expected words such as 'red cup'");
        for score in [-0.1, 1.5, f32::NAN, f32::INFINITY] {
            assert!(message("cup", "", Some(score)).ends_with("expected 0 to 1"), "{score}");
        }
        assert!(message("cup", &"x".repeat(200), None).starts_with("the class 'xxx"));
    }

    #[test]
    fn a_list_has_each_phrase_once() {
        let mut list = Vec::new();
        let mut add = |text: &str, class: &str| add_phrase(&mut list, Phrase::with(text, class, None).unwrap());
        assert_eq!(add("cup", ""), Ok(()));
        assert_eq!(add("Cup", ""), Ok(()));
        assert_eq!(add("CUP", "mug"), Err(PhraseError::Twice { text: "CUP".into() }));
        for i in 1..MAX_PHRASES {
            assert_eq!(add(&format!("cup {i}"), ""), Ok(()));
        }
        assert_eq!(add("one more", ""), Err(PhraseError::TooMany { found: MAX_PHRASES + 1 }));
        assert_eq!(list.len(), MAX_PHRASES);
    }
}
