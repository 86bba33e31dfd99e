//! Objects that phrases name, for `segment`, `track` and `label`.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;
use promptseg::engine::DetectedBox;
use promptseg::model::{DecodeTimings, Decoded, EncodeTimings, ModelInfo, ProviderReport, SessionOptions};
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
    /// Folder of a text model, as `promptseg-export owlv2` and `promptseg-export sam3` write it.
    #[arg(long, value_name = "DIR", requires = "text")]
    text_model: Option<PathBuf>,
    /// Features of phrases that `promptseg text-bank` computed. The text model needs no text tower for them.
    #[arg(long, value_name = "FILE", requires = "text")]
    text_bank: Option<PathBuf>,
    /// Least score of an object [default: of the text model; 0.1 for OWLv2, 0.3 for SAM 3].
    #[arg(long, value_name = "SCORE", requires = "text")]
    text_min_score: Option<f32>,
    /// Most objects of an image, those of the best scores.
    #[arg(long, value_name = "N", default_value_t = 20, requires = "text")]
    text_max_objects: usize,
}

/// An object that a phrase names.
#[derive(Debug, Clone)]
pub struct Named {
    /// The phrase.
    pub class: String,
    pub score: f32,
    pub bbox: BoxPrompt,
    /// Mask of the object, from a text model that makes masks.
    pub mask: Option<Decoded>,
}

/// The objects that phrases name in an image, the best score first.
#[derive(Default)]
pub struct Found {
    pub named: Vec<Named>,
    /// Time of the image tower, with its picture.
    pub encode: EncodeTimings,
    /// Time of everything that depends on phrases.
    pub decode: DecodeTimings,
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

    /// Opens the text model, and understands the phrases. Returns none without `--text`.
    pub fn open(&self, options: &SessionOptions) -> Result<Option<TextFinder>, Failure> {
        let (Some(phrases), Some(folder)) = (self.phrases()?, &self.text_model) else { return Ok(None) };
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

    /// Returns the name of the text model.
    pub fn name(&self) -> &str {
        self.model.name()
    }

    /// Returns which execution provider runs the image tower.
    pub fn image_tower(&self) -> &ProviderReport {
        self.model.image_tower()
    }

    /// Returns whether the text model makes the masks of objects itself.
    pub fn makes_masks(&self) -> bool {
        self.model.makes_masks()
    }

    /// Checks that the boxes of the text model, if it makes no masks, are prompts of the model that makes masks.
    pub fn check_masks_of(&self, info: &ModelInfo) -> Result<(), Failure> {
        if self.makes_masks() || info.takes_boxes {
            return Ok(());
        }
        let (text, name, takes) = (self.name(), &info.name, info.takes());
        Err(format!("{name} takes no boxes, which --text with {text} needs; it takes {takes}").into())
    }

    /// Returns the classes of the objects.
    pub fn classes(&self) -> Vec<String> {
        self.phrases.iter().map(|phrase| phrase.class_id.clone()).collect()
    }

    /// Finds the objects in an image.
    pub fn find(&mut self, image: &RgbImage) -> Result<Found, Error> {
        let sight = self.model.look(image)?;
        let found = self.model.detect(&sight, &self.features, &self.limits)?;
        let named = found.detections.into_iter().filter_map(|detection| {
            let [x_min, y_min, x_max, y_max] = detection.bbox;
            let class = self.phrases.get(detection.phrase)?.class_id.clone();
            let bbox = BoxPrompt { x_min, y_min, x_max, y_max };
            Some(Named { class, score: detection.score, bbox, mask: detection.mask })
        });
        Ok(Found { named: named.collect(), encode: sight.timings, decode: found.timings })
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
        if number.is_multiple_of(self.every) { Ok(self.finder.find(image)?.named) } else { Ok(Vec::new()) }
    }
}

impl Named {
    /// Returns the object as one of a detector.
    pub fn detection(self) -> DetectedBox {
        let Named { class, score, bbox, mask } = self;
        DetectedBox { bbox, mask, class_id: class, tag: String::new(), score: Some(f64::from(score)) }
    }
}
