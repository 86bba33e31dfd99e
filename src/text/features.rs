//! Features of phrases.

use std::sync::Arc;

/// Features of a phrase: what a text tower computes of its words.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// The phrase, in lower case.
    pub(super) text: String,
    /// `[n, C]`: one row for the whole phrase (OWLv2), or one for each of its tokens (SAM 3).
    pub(super) values: Vec<f32>,
    /// Number of rows.
    pub(super) rows: usize,
    /// Hash of the text model that the features belong to.
    pub(super) model: Arc<str>,
}

impl Features {
    /// Returns the phrase, in lower case.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the features, `[n, C]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns the number of rows, `n`: 1 for the whole phrase (OWLv2), or the number of its tokens with start and end (SAM 3).
    pub fn rows(&self) -> usize {
        self.rows
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
