//! Phrases to tokens, by the tokenizer of the checkpoint.

use tokenizers::Tokenizer;

use super::error::Error;

/// The tokenizer of a text model.
pub struct PhraseTokenizer(Tokenizer);

impl PhraseTokenizer {
    /// Reads the content of `tokenizer.json`; `file` is its name in messages.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for another content.
    pub fn load(content: &[u8], file: &str) -> Result<Self, Error> {
        let failed = |e: tokenizers::Error| Error::Tokenizer { file: file.to_owned(), reason: e.to_string() };
        let mut tokenizer = Tokenizer::from_bytes(content).map_err(failed)?;
        // Phrases that are too long are refused, not cut, and the text tower pads.
        tokenizer.with_truncation(None).map_err(failed)?;
        tokenizer.with_padding(None);
        Ok(PhraseTokenizer(tokenizer))
    }

    /// Returns the tokens of a text with its start and its end, of any length.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the tokenizer fails.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, Error> {
        let failed =
            |e: tokenizers::Error| Error::Tokenizer { file: "tokenizer.json".to_owned(), reason: e.to_string() };
        Ok(self.0.encode(text, true).map_err(failed)?.get_ids().to_vec())
    }

    /// Returns the number of tokens that the tokenizer knows.
    pub fn len(&self) -> usize {
        self.0.get_vocab_size(true)
    }

    /// Returns whether the tokenizer knows no token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
