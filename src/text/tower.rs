//! The text tower: the tokens of a phrase to its features.

use ort::session::SessionInputValue;
use ort::value::Tensor;

use super::description::TextBundle;
use super::error::Error;
use super::fields::{Family, TEXT_TOWER, TOKENIZER};
use super::tokens::PhraseTokenizer;
use crate::model;
use crate::model::graph::{Graph, GraphTensors};
use crate::model::runtime::Requests;

/// What a text tower computes of the tokens of a phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// One row of features, from the place of the end (OWLv2).
    Query,
    /// A row for each token (SAM 3).
    Rows,
}

/// The text tower of one model, with its tokenizer. It belongs to one thread.
pub struct TextTower {
    graph: Graph,
    tokenizer: PhraseTokenizer,
    output: Output,
    tokens: usize,
    channels: usize,
    pad_token: u32,
}

impl Output {
    /// Returns the name of the input beside the tokens, and the name and the rows of the output.
    fn tensors(self, tokens: usize) -> (&'static str, &'static str, Vec<i64>) {
        match self {
            Output::Query => ("end_token", "query", vec![1]),
            Output::Rows => ("token_mask", "features", vec![1, tokens as i64]),
        }
    }
}

impl TextTower {
    /// Opens the text tower of a bundle whose graph was verified.
    ///
    /// # Errors
    /// The errors of the files, of the tokenizer, and of opening the graph.
    pub fn open(bundle: &TextBundle, requests: &Requests<'_>) -> Result<Self, Error> {
        let fields = &bundle.fields;
        let content = bundle.files.read(TOKENIZER)?;
        let tokenizer = PhraseTokenizer::load(&content, &bundle.files.path(TOKENIZER).display().to_string())?;
        let output = if matches!(fields.family, Family::Sam3(_)) { Output::Rows } else { Output::Query };
        let (tokens, channels) = (fields.tokens, fields.channels);
        let (marks, features, mut shape) = output.tensors(tokens);
        shape.push(channels as i64);
        let tensors = GraphTensors {
            inputs: vec![
                GraphTensors::tensor("token_ids", "i32", &[1, tokens as i64]),
                GraphTensors::tensor(marks, "f32", &[1, tokens as i64]),
            ],
            outputs: vec![GraphTensors::tensor(features, "f32", &shape)],
            most: 1,
        };
        let graph = Graph::open("text tower", &bundle.files.path(TEXT_TOWER), &tensors, requests)?;
        Ok(TextTower { graph, tokenizer, output, tokens, channels, pad_token: fields.pad_token })
    }

    /// Returns the graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Returns the graph, to run it and to add to its report.
    pub fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// Computes the features of a phrase, `[n, C]`, and the number of rows `n`.
    ///
    /// # Errors
    /// [`Error::TooManyTokens`] for a phrase that is too long, and the errors of running the graph.
    pub fn run(&mut self, phrase: &str) -> Result<(Vec<f32>, usize), Error> {
        let mut ids = self.tokenizer.ids(phrase)?;
        let (found, most) = (ids.len(), self.tokens);
        if found > most {
            return Err(Error::TooManyTokens { phrase: phrase.to_owned(), found, most });
        }
        let known = self.tokenizer.len();
        if let Some(token) = ids.iter().copied().find(|id| *id as usize >= known) {
            return Err(Error::UnknownToken { phrase: phrase.to_owned(), token, most: known });
        }
        let mut marks = vec![0.0_f32; most];
        let rows = match self.output {
            // As in `Owlv2TextTransformer`: the end is the first of the highest token.
            Output::Query => {
                let highest = ids.iter().copied().max().unwrap_or(self.pad_token);
                marks[ids.iter().position(|id| *id == highest).unwrap_or(0)] = 1.0;
                1
            }
            Output::Rows => {
                marks[..found].fill(1.0);
                found
            }
        };
        ids.resize(most, self.pad_token);
        let ids = ids.into_iter().map(|id| id as i32).collect::<Vec<_>>();
        let (marks_name, features, _) = self.output.tensors(most);
        let failed = |e: ort::Error| model::Error::Session { file: TEXT_TOWER.to_owned(), reason: e.to_string() };
        let ids = Tensor::from_array(([1, most], ids)).map_err(failed)?;
        let marks = Tensor::from_array(([1, most], marks)).map_err(failed)?;
        let inputs = vec![
            ("token_ids".to_owned(), SessionInputValue::from(ids)),
            (marks_name.to_owned(), SessionInputValue::from(marks)),
        ];
        let mut values = self.graph.run(inputs)?.numbers(features)?;
        // The rows behind the end of the phrase are padding.
        values.truncate(rows * self.channels);
        Ok((values, rows))
    }
}
