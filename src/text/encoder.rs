//! Phrases to features: from the bank, from memory, or by the text tower.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::bank::Bank;
use super::description::TextBundle;
use super::error::Error;
use super::features::{Features, key};
use super::opening;
use super::phrase::Phrase;
use super::tower::TextTower;
use crate::model::graph::Graph;
use crate::model::{GpuOptions, InferencePrecision, OpenVinoOptions, ProviderReport, SessionOptions};

/// Phrases whose features are kept. A robot asks for a few again and again.
const MAX_KEPT: usize = 1000;

/// Computes and keeps the features of phrases.
pub struct TextEncoder {
    bundle: TextBundle,
    options: SessionOptions,
    bank: Option<Bank>,
    /// Opened at once without a bank; with a bank for the first phrase that is not in the bank.
    tower: Option<TextTower>,
    kept: HashMap<String, Arc<Features>>,
}

impl TextEncoder {
    /// Opens the text tower of a bundle, or with `bank` the bank of its model. The text tower runs in fp32.
    ///
    /// # Errors
    /// [`Error::NoTextTower`] if the folder has no text tower and no bank is given, and the errors of the bundle, the bank and of
    /// opening the graph.
    pub fn open(folder: &Path, options: &SessionOptions, bank: Option<&Path>) -> Result<Self, Error> {
        Self::of_bundle(TextBundle::open(folder)?, options, bank)
    }

    pub(super) fn of_bundle(bundle: TextBundle, options: &SessionOptions, bank: Option<&Path>) -> Result<Self, Error> {
        let options = exact(options);
        let bank = bank.map(|path| Bank::read(path, &bundle)).transpose()?;
        let tower = match (&bank, bundle.missing_text_file()) {
            (Some(_), _) => None,
            (None, Some(missing)) => return Err(Error::NoTextTower { folder: bundle.folder, missing }),
            (None, None) => Some(opening::open_text_tower(&bundle, &options)?),
        };
        Ok(TextEncoder { bundle, options, bank, tower, kept: HashMap::new() })
    }

    /// Makes an encoder without bank and text tower, which refuses every phrase.
    pub(super) fn without_tower(bundle: TextBundle, options: &SessionOptions) -> Self {
        TextEncoder { bundle, options: exact(options), bank: None, tower: None, kept: HashMap::new() }
    }

    /// Returns the graph of the text tower, if it is open.
    pub(super) fn graph(&self) -> Option<&Graph> {
        self.tower.as_ref().map(TextTower::graph)
    }

    pub(super) fn bundle(&self) -> &TextBundle {
        &self.bundle
    }

    /// Returns the name of the model.
    pub fn name(&self) -> &str {
        &self.bundle.fields.name
    }

    /// Returns the number of phrases of the bank; none without a bank.
    pub fn bank_len(&self) -> Option<usize> {
        self.bank.as_ref().map(Bank::len)
    }

    /// Returns which execution provider runs the text tower, if it is open.
    pub fn report(&self) -> Option<&ProviderReport> {
        self.graph().map(Graph::report)
    }

    /// Returns the features of phrases, in their order.
    ///
    /// # Errors
    /// [`Error::TooManyTokens`] or [`Error::NotInBank`] for the first phrase that the model cannot understand, and the errors of
    /// running the text tower.
    pub fn understand(&mut self, phrases: &[Phrase]) -> Result<Vec<Arc<Features>>, Error> {
        phrases.iter().map(|phrase| self.features(&phrase.text)).collect()
    }

    fn features(&mut self, phrase: &str) -> Result<Arc<Features>, Error> {
        if let Some(features) = self.bank.as_ref().and_then(|bank| bank.get(phrase)) {
            return Ok(Arc::clone(features));
        }
        let text = key(phrase);
        if let Some(features) = self.kept.get(&text) {
            return Ok(Arc::clone(features));
        }
        let (values, rows) = self.tower(phrase)?.run(phrase)?;
        let features = Arc::new(Features { text: text.clone(), values, rows, model: Arc::clone(&self.bundle.hash) });
        if self.kept.len() >= MAX_KEPT {
            self.kept.clear();
        }
        self.kept.insert(text, Arc::clone(&features));
        Ok(features)
    }

    /// Returns the text tower, which is opened if it is not open yet.
    fn tower(&mut self, phrase: &str) -> Result<&mut TextTower, Error> {
        let tower = match self.tower.take() {
            Some(tower) => tower,
            None => {
                if let (Some(missing), bank) = (self.bundle.missing_text_file(), &self.bank) {
                    let folder = self.bundle.folder.clone();
                    return Err(match bank {
                        Some(bank) => {
                            Error::NotInBank { phrase: phrase.to_owned(), bank: bank.path().to_owned(), folder }
                        }
                        None => Error::NoTextTower { folder, missing },
                    });
                }
                opening::open_text_tower(&self.bundle, &self.options)?
            }
        };
        Ok(self.tower.insert(tower))
    }
}

/// Returns options with which the text tower is computed in fp32, so that the features of a bank are those of every machine.
fn exact(options: &SessionOptions) -> SessionOptions {
    SessionOptions {
        precision: None,
        cpu_bf16: false,
        gpu: GpuOptions { fp16: false, int8: false, ..options.gpu.clone() },
        openvino: OpenVinoOptions { precision: InferencePrecision::F32, ..options.openvino.clone() },
        ..options.clone()
    }
}
