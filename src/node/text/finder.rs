//! The text model, as the text thread uses it.

use std::sync::Arc;

use image::RgbImage;
use tokio::sync::Mutex;

use crate::engine::Refusal;
use crate::model::Decoded;
use crate::monitor::TextSessions;
use crate::prompt::BoxPrompt;
use crate::text::Phrase;

/// An object of a phrase.
#[derive(Debug, Clone)]
pub struct FoundObject {
    /// Index of the phrase.
    pub phrase: usize,
    /// In pixels of the image.
    pub bbox: BoxPrompt,
    /// From 0 to 1.
    pub score: f32,
    /// Mask of the object, from a text model that makes masks.
    pub mask: Option<Decoded>,
}

/// Limits of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchLimits {
    /// Least score of the objects of phrases that have none of their own; `None`: that of the text model.
    pub min_score: Option<f32>,
    /// Most objects: those with the highest scores.
    pub max_objects: usize,
}

/// A text model. Tests implement this trait with a fake.
pub trait FindPhrases: Send {
    /// Prepares a phrase for searches.
    ///
    /// # Errors
    /// The model cannot read the phrase, or its bank does not have the phrase.
    fn understand(&mut self, phrase: &Phrase) -> Result<(), Refusal>;

    /// Searches an image for the objects of phrases that were prepared. Returns them by falling score.
    ///
    /// # Errors
    /// The runtime fails.
    fn find(
        &mut self,
        image: &Arc<RgbImage>,
        phrases: &[Phrase],
        limits: SearchLimits,
    ) -> Result<Vec<FoundObject>, Refusal>;
}

/// The text model that all cameras share.
pub struct SharedTextModel {
    /// Name in diagnostics.
    pub name: String,
    /// The providers of its parts, for diagnostics.
    pub sessions: TextSessions,
    /// tokio's mutex is fair: the camera that waits longest is next.
    pub finder: Mutex<Box<dyn FindPhrases>>,
}

impl SharedTextModel {
    pub fn new(name: String, sessions: TextSessions, finder: impl FindPhrases + 'static) -> Self {
        SharedTextModel { name, sessions, finder: Mutex::new(Box::new(finder)) }
    }
}
