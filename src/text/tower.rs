//! The text tower: the tokens of a phrase to its features.

use ort::session::SessionInputValue;
use ort::value::Tensor;

use super::description::{TEXT_TOWER, TOKENIZER, TextBundle};
use super::error::Error;
use super::tokens::PhraseTokenizer;
use crate::model::graph::{Graph, GraphTensors};
use crate::model::{self, ProviderReport, SessionOptions};

/// The text tower of one model, with its tokenizer. It belongs to one thread.
pub struct TextTower {
    graph: Graph,
    tokenizer: PhraseTokenizer,
    tokens: usize,
    pad_token: u32,
}

impl TextTower {
    /// Opens the text tower of a bundle.
    ///
    /// # Errors
    /// The errors of the files, of the tokenizer, and of opening the graph.
    pub fn open(bundle: &TextBundle, options: &SessionOptions) -> Result<Self, Error> {
        let fields = &bundle.fields;
        let content = bundle.files.read(TOKENIZER)?;
        let tokenizer = PhraseTokenizer::load(&content, &bundle.files.path(TOKENIZER).display().to_string())?;
        let (tokens, channels) = (fields.tokens as i64, fields.channels as i64);
        let tensors = GraphTensors {
            inputs: vec![
                GraphTensors::tensor("token_ids", "i32", &[1, tokens]),
                GraphTensors::tensor("end_token", "f32", &[1, tokens]),
            ],
            outputs: vec![GraphTensors::tensor("query", "f32", &[1, channels])],
            most: 1,
        };
        let graph = Graph::open(&bundle.files.verify(TEXT_TOWER)?, &tensors, options)?;
        Ok(TextTower { graph, tokenizer, tokens: fields.tokens, pad_token: fields.pad_token })
    }

    /// Returns which execution provider runs the text tower.
    pub fn report(&self) -> &ProviderReport {
        self.graph.report()
    }

    /// Computes the features of a phrase, `[D]`.
    ///
    /// # Errors
    /// [`Error::TooManyTokens`] for a phrase that is too long, and the errors of running the graph.
    pub fn run(&mut self, phrase: &str) -> Result<Vec<f32>, Error> {
        let mut ids = self.tokenizer.ids(phrase)?;
        let (found, most) = (ids.len(), self.tokens);
        if found > most {
            return Err(Error::TooManyTokens { phrase: phrase.to_owned(), found, most });
        }
        let known = self.tokenizer.len();
        if let Some(token) = ids.iter().copied().find(|id| *id as usize >= known) {
            return Err(Error::UnknownToken { phrase: phrase.to_owned(), token, most: known });
        }
        // As in `Owlv2TextTransformer`: the end is the first of the highest token.
        let highest = ids.iter().copied().max().unwrap_or(self.pad_token);
        let end = ids.iter().position(|id| *id == highest).unwrap_or(0);
        ids.resize(most, self.pad_token);
        let ids = ids.into_iter().map(|id| id as i32).collect::<Vec<_>>();
        let mut end_token = vec![0.0_f32; most];
        end_token[end] = 1.0;
        let failed = |e: ort::Error| model::Error::Session { file: TEXT_TOWER.to_owned(), reason: e.to_string() };
        let ids = Tensor::from_array(([1, most], ids)).map_err(failed)?;
        let end_token = Tensor::from_array(([1, most], end_token)).map_err(failed)?;
        let inputs = vec![
            ("token_ids".to_owned(), SessionInputValue::from(ids)),
            ("end_token".to_owned(), SessionInputValue::from(end_token)),
        ];
        Ok(self.graph.run(inputs)?.numbers("query")?)
    }
}
