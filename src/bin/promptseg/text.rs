//! Objects that phrases name, for `segment`, `track` and `label`.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;
use promptseg::engine::DetectedBox;
use promptseg::model::{ModelInfo, SessionOptions};
use promptseg::prompt::BoxPrompt;
use promptseg::text::{Error, Features, Limits, Phrase, TextModel, parse_phrases};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::formats::rounded;
use crate::terminal;

#[derive(clap::Args)]
#[command(next_help_heading = "Text")]
pub struct TextArguments {
    /// Phrases with commas between them, such as "red cup, person": each object that they name.
    #[arg(long, value_name = "PHRASES", requires = "text_model")]
    pub text: Option<String>,
    /// Folder of a text model, as `promptseg-export owlv2` writes it.
    #[arg(long, value_name = "DIR", requires = "text")]
    text_model: Option<PathBuf>,
    /// Features of phrases that `promptseg text-bank` computed. The text model needs no text tower for them.
    #[arg(long, value_name = "FILE", requires = "text")]
    text_bank: Option<PathBuf>,
    /// Least score of an object [default: of the text model; 0.1 for OWLv2].
    #[arg(long, value_name = "SCORE", requires = "text")]
    text_min_score: Option<f32>,
    /// Most objects of an image, those of the best scores.
    #[arg(long, value_name = "N", default_value_t = 20, requires = "text")]
    text_max_objects: usize,
}

/// An object that a phrase names.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// The phrase.
    pub class: String,
    pub score: f32,
    pub bbox: BoxPrompt,
}

impl TextArguments {
    /// Returns the files that the arguments name.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.text_bank.iter()
    }

    /// Returns the phrases; none without `--text`.
    pub fn phrases(&self) -> Result<Option<Vec<Phrase>>, Failure> {
        let Some(text) = &self.text else { return Ok(None) };
        let phrases = parse_phrases(text).map_err(|e| Failure::Usage(format!("--text: {e}")))?;
        if phrases.is_empty() {
            return Err(Failure::Usage("--text has no phrase, expected words such as \"red cup, person\"".to_owned()));
        }
        Ok(Some(phrases))
    }

    /// Opens the text model, and understands the phrases. Returns none without `--text`. `masks` describes the model that makes
    /// masks of the boxes.
    pub fn open(&self, options: &SessionOptions, masks: &ModelInfo) -> Result<Option<TextFinder>, Failure> {
        let (Some(phrases), Some(folder)) = (self.phrases()?, &self.text_model) else { return Ok(None) };
        if !masks.takes_boxes {
            let (name, takes) = (&masks.name, masks.takes());
            return Err(format!("{name} takes no boxes, which --text needs; it takes {takes}").into());
        }
        let spinner = terminal::spinner("loading the text model");
        let finder = TextFinder::open(self, folder, phrases, options);
        spinner.finish_and_clear();
        match finder {
            Err(Error::Limit { field, found, expected }) => {
                Err(Failure::Usage(format!("--text: the {field} is {found}, expected {expected}")))
            }
            other => Ok(Some(other?)),
        }
    }
}

/// Finds the objects that phrases name.
pub struct TextFinder {
    model: TextModel,
    phrases: Vec<Phrase>,
    features: Vec<Arc<Features>>,
    limits: Limits,
}

impl TextFinder {
    fn open(
        arguments: &TextArguments,
        folder: &std::path::Path,
        phrases: Vec<Phrase>,
        options: &SessionOptions,
    ) -> Result<Self, Error> {
        let mut model = TextModel::open(folder, options, arguments.text_bank.as_deref())?;
        let mut limits = model.limits(&phrases, arguments.text_max_objects);
        limits.min_score = arguments.text_min_score.unwrap_or(limits.min_score);
        limits.check()?;
        let features = model.understand(&phrases)?;
        Ok(TextFinder { model, phrases, features, limits })
    }

    /// Returns the classes of the objects.
    pub fn classes(&self) -> Vec<String> {
        self.phrases.iter().map(|phrase| phrase.class_id.clone()).collect()
    }

    /// Finds the objects in an image, the best score first.
    pub fn find(&mut self, image: &RgbImage) -> Result<Vec<Named>, Error> {
        let sight = self.model.look(image)?;
        let detections = self.model.detect(&sight, &self.features, &self.limits)?;
        let named = detections.into_iter().filter_map(|detection| {
            let [x_min, y_min, x_max, y_max] = detection.bbox;
            let class = self.phrases.get(detection.phrase)?.class_id.clone();
            Some(Named { class, score: detection.score, bbox: BoxPrompt { x_min, y_min, x_max, y_max } })
        });
        Ok(named.collect())
    }

    /// Describes what the objects depend on.
    pub fn description(&self) -> Value {
        json!({
            "model": self.model.name(),
            "hash": self.model.hash(),
            "phrases": self.phrases.iter().map(|phrase| phrase.text.as_str()).collect::<Vec<_>>(),
            "min_score": rounded(self.limits.min_score),
            "max_objects": self.limits.max_objects,
        })
    }
}

/// A finder, and the frames on which it looks.
pub struct PeriodicFinder {
    pub finder: TextFinder,
    /// The finder looks on every frame whose number is a multiple of this.
    pub every: usize,
}

impl PeriodicFinder {
    /// Finds the objects on a frame, if it is one of the frames of the finder.
    pub fn on(&mut self, number: usize, image: &RgbImage) -> Result<Vec<Named>, Error> {
        if number.is_multiple_of(self.every) { self.finder.find(image) } else { Ok(Vec::new()) }
    }
}

impl Named {
    /// Returns the object as a box of a detector.
    pub fn detection(self) -> DetectedBox {
        DetectedBox { bbox: self.bbox, mask: None, class_id: self.class, tag: String::new(), score: Some(f64::from(self.score)) }
    }
}
