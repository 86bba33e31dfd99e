//! The real text model: from the parameters to the trait that the text thread uses.

use std::path::Path;
use std::slice;
use std::sync::Arc;

use image::RgbImage;

use super::finder::{FindPhrases, FoundObject, SearchLimits, SharedTextModel};
use crate::engine::{Refusal, RefusalKind};
use crate::model::{ModelInfo, SessionOptions};
use crate::monitor::TextSessions;
use crate::node::config::TextConfig;
use crate::node::error::NodeError;
use crate::prompt::BoxPrompt;
use crate::text::{Error, Limits, Phrase, Sight, TextDetection, TextModel};

/// Opens the text model of a folder, and runs it once, as the model that makes masks.
///
/// # Errors
/// The text model finds boxes, and the model that makes masks takes none; a file, a graph or the bank is missing or unusable.
pub fn open(
    folder: &Path,
    config: &TextConfig,
    options: &SessionOptions,
    masks: &ModelInfo,
) -> Result<SharedTextModel, NodeError> {
    let failed = |e: Error| NodeError::Text(e.to_string());
    let mut model = TextModel::open(folder, options, config.bank.as_deref()).map_err(failed)?;
    if !masks.takes_boxes && !model.makes_masks() {
        let message = format!(
            "the text model '{}' finds boxes, and the model '{}' takes none; choose another model, a text model that makes masks, or \
             leave text.model empty",
            model.name(),
            masks.name
        );
        return Err(NodeError::Text(message));
    }
    model.look(&RgbImage::new(640, 480)).map_err(failed)?;
    let name = match model.bank_len() {
        Some(phrases) => format!("{}, bank of {phrases} phrases", model.name()),
        None => model.name().to_owned(),
    };
    let sessions = TextSessions::from_reports(&model.reports());
    Ok(SharedTextModel::new(name, sessions, Finder { model, last: None }))
}

/// A text model, and what it saw last.
struct Finder {
    model: TextModel,
    /// The image of the last search: other phrases on the same image cost little.
    last: Option<(Arc<RgbImage>, Sight)>,
}

impl FindPhrases for Finder {
    fn understand(&mut self, phrase: &Phrase) -> Result<(), Refusal> {
        self.model.understand(slice::from_ref(phrase)).map(drop).map_err(|e| refusal(&e))
    }

    fn find(
        &mut self,
        image: &Arc<RgbImage>,
        phrases: &[Phrase],
        limits: SearchLimits,
    ) -> Result<Vec<FoundObject>, Refusal> {
        let failed = |e: Error| refusal(&e);
        let features = self.model.understand(phrases).map_err(failed)?;
        let sight = match self.last.take() {
            Some((last, sight)) if Arc::ptr_eq(&last, image) => sight,
            _ => self.model.look(image).map_err(failed)?,
        };
        let SearchLimits { min_score, max_objects } = limits;
        let defaults = self.model.limits(phrases, max_objects);
        let limits = Limits { min_score: min_score.unwrap_or(defaults.min_score), ..defaults };
        let found = self.model.detect(&sight, &features, &limits).map_err(failed)?;
        self.last = Some((Arc::clone(image), sight));
        Ok(found.detections.into_iter().map(found_object).collect())
    }
}

fn found_object(detection: TextDetection) -> FoundObject {
    let TextDetection { phrase, bbox: [x_min, y_min, x_max, y_max], score, mask } = detection;
    FoundObject { phrase, bbox: BoxPrompt { x_min, y_min, x_max, y_max }, score, mask }
}

/// Returns the refusal of a phrase, or of an image, that the model does not take.
fn refusal(error: &Error) -> Refusal {
    let kind = match error {
        Error::TooManyTokens { .. } => RefusalKind::BadPhrase,
        Error::NotInBank { .. } | Error::NoTextTower { .. } | Error::UnknownToken { .. } => RefusalKind::UnknownPhrase,
        _ => RefusalKind::ModelFailed,
    };
    Refusal::new(kind, error.to_string())
}
