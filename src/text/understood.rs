//! Answer to phrases: which ones are searched for, and which ones were refused.

use std::fmt;

use super::phrase::Phrase;

/// Answer to phrases.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Understood {
    /// Phrases that are searched for.
    pub accepted: Vec<Phrase>,
    pub refused: Vec<RefusedPhrase>,
}

/// A phrase that is not searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedPhrase {
    /// The phrase as it came.
    pub text: String,
    pub reason: String,
}

impl Understood {
    /// Returns the refusals in words.
    pub fn refusals(&self) -> String {
        let refused = self.refused.iter().map(|RefusedPhrase { text, reason }| format!("'{text}': {reason}"));
        refused.collect::<Vec<_>>().join("; ")
    }
}

/// The answer in words.
impl fmt::Display for Understood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.accepted.is_empty(), self.refused.is_empty()) {
            (true, true) => write!(f, "no phrases any more"),
            (true, false) => write!(f, "refused: {}", self.refusals()),
            (false, is_all) => {
                let accepted = self.accepted.iter().map(|phrase| format!("'{}'", phrase.text));
                write!(f, "searching for {}", accepted.collect::<Vec<_>>().join(", "))?;
                if is_all { Ok(()) } else { write!(f, "; refused: {}", self.refusals()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_what_is_searched_for_and_what_is_not() {
        let refused = RefusedPhrase { text: "dog".into(), reason: "not in the bank".into() };
        let accepted = ["red cup", "person"].map(|text| Phrase::new(text).unwrap()).to_vec();
        let words = |accepted: &[Phrase], refused: &[RefusedPhrase]| {
            Understood { accepted: accepted.to_vec(), refused: refused.to_vec() }.to_string()
        };
        assert_eq!(words(&[], &[]), "no phrases any more");
        assert_eq!(words(&accepted, &[]), "searching for 'red cup', 'person'");
        let all = words(&accepted, std::slice::from_ref(&refused));
        assert_eq!(all, "searching for 'red cup', 'person'; refused: 'dog': not in the bank");
        assert_eq!(words(&[], &[refused]), "refused: 'dog': not in the bank");
    }
}
