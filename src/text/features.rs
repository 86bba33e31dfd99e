//! Features of phrases.

use std::sync::Arc;

/// Features of a phrase: what a text tower computes of its words.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// The phrase, in lower case.
    pub(super) text: String,
    /// `[D]`, of length 1.
    pub(super) vector: Vec<f32>,
    /// Hash of the text model that the features belong to.
    pub(super) model: Arc<str>,
}

impl Features {
    /// Returns the phrase, in lower case.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the features, `[D]`.
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }
}

/// Returns the form of a phrase under which its features are kept. Tokenizers of CLIP put each character into lower case, so that
/// phrases of the same form have the same tokens.
pub fn key(phrase: &str) -> String {
    let words = phrase.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn capitals_and_spaces_do_not_count() {
        assert_eq!(key("  Red \n CUP "), "red cup");
        // Without regard to its place in a word, as the tokenizer does it.
        assert_eq!(key("ΣΊΣΥΦΟΣ"), "σίσυφοσ");
    }
}
