//! The network of a text model, of each family: an image to everything that does not depend on a phrase, and phrases to objects.

use std::sync::Arc;
use std::time::Instant;

use image::RgbImage;

use super::description::TextBundle;
use super::detection::{Limits, TextDetection};
use super::error::Error;
use super::features::Features;
use super::fields::Family;
use super::instances::{self, MaskArtist};
use super::owlv2::{self, Owlv2};
use super::phrase::MAX_PHRASES;
use super::sam3::{self, Sam3};
use super::selection;
use crate::model::graph::Graph;
use crate::model::runtime::Requests;
use crate::model::timing::milliseconds;
use crate::model::{DecodeTimings, EncodeTimings};

/// Tokens of a phrase of a trial run, if the model has features of tokens.
const TRIAL_ROWS: usize = 4;

/// An image as the model sees it, for any number of phrases.
pub struct Sight {
    /// Width and height of the image, in pixels.
    size: (u32, u32),
    seen: Seen,
    model: Arc<str>,
    pub timings: EncodeTimings,
}

enum Seen {
    Owlv2(owlv2::Seen),
    Sam3(sam3::Seen),
}

impl Sight {
    /// Returns width and height of the image, in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }
}

/// Outputs of the graphs for phrases on an image, before any threshold.
pub enum Answers {
    /// OWLv2: the same boxes for all phrases.
    Owlv2 {
        /// `[P, Q]`: logits of each box for each phrase.
        logits: Vec<f32>,
        /// `[P, 4]`: corners relative to the padded square.
        boxes: Vec<f32>,
        /// `[P]`: logits of the boxes being an object of any kind.
        objectness: Vec<f32>,
    },
    /// SAM 3: the masks of each phrase.
    Sam3(Vec<sam3::Answer>),
}

/// Objects of phrases on an image, the best score first.
#[derive(Debug, Default)]
pub struct TextDetections {
    pub detections: Vec<TextDetection>,
    /// Time of the graphs, and of the masks at the size of the image.
    pub timings: DecodeTimings,
}

/// The graphs of a model that look at images. They belong to one thread.
pub struct Network {
    graphs: Graphs,
    channels: usize,
    model: Arc<str>,
}

enum Graphs {
    Owlv2(Box<Owlv2>),
    Sam3(Box<Masks>),
}

/// SAM 3's graphs, with what draws their masks.
struct Masks {
    graphs: Sam3,
    artist: MaskArtist,
    /// Side of the detector's masks, in cells.
    side: usize,
    /// Probability above which a pixel is inside a mask.
    threshold: f32,
}

impl Network {
    /// Opens the graphs that look at images, of a bundle whose files were verified.
    ///
    /// # Errors
    /// The errors of opening the graphs.
    pub fn open(bundle: &TextBundle, requests: &Requests<'_>) -> Result<Self, Error> {
        let graphs = match &bundle.fields.family {
            Family::Owlv2(fields) => Graphs::Owlv2(Box::new(Owlv2::open(bundle, fields, requests)?)),
            Family::Sam3(fields) => Graphs::Sam3(Box::new(Masks {
                graphs: Sam3::open(bundle, fields, requests)?,
                artist: MaskArtist::default(),
                side: fields.mask_size,
                threshold: fields.mask_threshold,
            })),
            // The description of the bundle was checked.
            Family::Unknown(name) => {
                let (path, found) = (bundle.folder.clone(), format!("it is of the family {name}"));
                return Err(Error::NoTextModel { path, found });
            }
        };
        Ok(Network { graphs, channels: bundle.fields.channels, model: Arc::clone(&bundle.hash) })
    }

    /// Returns the graphs, the image tower first.
    pub fn graphs(&self) -> [&Graph; 2] {
        match &self.graphs {
            Graphs::Owlv2(graphs) => graphs.graphs(),
            Graphs::Sam3(masks) => masks.graphs.graphs(),
        }
    }

    /// Returns the graphs, to add to their reports, the image tower first.
    pub fn graphs_mut(&mut self) -> [&mut Graph; 2] {
        match &mut self.graphs {
            Graphs::Owlv2(graphs) => graphs.graphs_mut(),
            Graphs::Sam3(masks) => masks.graphs.graphs_mut(),
        }
    }

    /// Returns features of a phrase that nobody said, for trial runs: the same pseudo-random values for each `seed`.
    pub fn trial_features(&self, seed: u32) -> Features {
        let rows = if self.makes_masks() { TRIAL_ROWS } else { 1 };
        let mut state = 0x9e37_79b9_u32 ^ seed;
        let mut value = || {
            // Linear congruential generator of Numerical Recipes; the upper bits are used.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let values = (0..rows * self.channels).map(|_| value()).collect();
        Features { text: format!("trial {seed}"), values, rows, model: Arc::clone(&self.model) }
    }

    /// Returns whether the model makes the masks of objects itself.
    pub fn makes_masks(&self) -> bool {
        matches!(self.graphs, Graphs::Sam3(_))
    }

    /// Computes everything about an image that does not depend on a phrase.
    ///
    /// # Errors
    /// [`Error::Pixels`] for an image without pixels, and the errors of running the graph.
    pub fn look(&mut self, image: &RgbImage) -> Result<Sight, Error> {
        let (seen, timings) = match &mut self.graphs {
            Graphs::Owlv2(graphs) => graphs.look(image).map(|(seen, timings)| (Seen::Owlv2(seen), timings))?,
            Graphs::Sam3(masks) => masks.graphs.look(image).map(|(seen, timings)| (Seen::Sam3(seen), timings))?,
        };
        Ok(Sight { size: image.dimensions(), seen, model: Arc::clone(&self.model), timings })
    }

    /// Returns the outputs of the graphs for phrases on an image.
    ///
    /// # Errors
    /// [`Error::Phrases`] for none or too many, [`Error::ForeignFeatures`] for features or a sight of another model, and the errors
    /// of running the graphs.
    pub fn answers(&mut self, sight: &Sight, features: &[Arc<Features>]) -> Result<Answers, Error> {
        self.check(sight, features)?;
        match (&mut self.graphs, &sight.seen) {
            (Graphs::Owlv2(graphs), Seen::Owlv2(seen)) => {
                let (boxes, objectness) = (seen.boxes.clone(), seen.objectness.clone());
                Ok(Answers::Owlv2 { logits: graphs.logits(seen, features)?, boxes, objectness })
            }
            (Graphs::Sam3(masks), Seen::Sam3(seen)) => {
                let answers = features.iter().map(|features| masks.graphs.answer(seen, features));
                Ok(Answers::Sam3(answers.collect::<Result<_, _>>()?))
            }
            _ => Err(foreign(features)),
        }
    }

    /// Finds the objects that phrases name in an image, within checked limits.
    ///
    /// # Errors
    /// As [`Self::answers`].
    pub fn detect(
        &mut self,
        sight: &Sight,
        features: &[Arc<Features>],
        limits: &Limits,
    ) -> Result<TextDetections, Error> {
        self.check(sight, features)?;
        let start = Instant::now();
        match (&mut self.graphs, &sight.seen) {
            (Graphs::Owlv2(graphs), Seen::Owlv2(seen)) => {
                let logits = graphs.logits(seen, features)?;
                let timings = DecodeTimings { run_ms: milliseconds(start), postprocess_ms: 0.0 };
                let image = (seen.square, sight.size);
                let detections = selection::select(&logits, features.len(), &seen.boxes, image, limits);
                Ok(TextDetections { detections, timings })
            }
            (Graphs::Sam3(masks), Seen::Sam3(seen)) => {
                let Masks { graphs, artist, side, threshold } = masks.as_mut();
                let mut found = Vec::new();
                for (phrase, features) in features.iter().enumerate() {
                    // The outputs of one phrase are large, and end before those of the next.
                    let answer = graphs.answer(seen, features)?;
                    instances::select(&answer, phrase, sight.size, limits, &mut found)?;
                }
                let run_ms = milliseconds(start);
                let start = Instant::now();
                let draw = |instance| artist.draw(instance, *side, *threshold, sight.size);
                let detections = found.into_iter().map(draw).collect();
                Ok(TextDetections {
                    detections,
                    timings: DecodeTimings { run_ms, postprocess_ms: milliseconds(start) },
                })
            }
            _ => Err(foreign(features)),
        }
    }

    /// Checks that sight and features belong to the model.
    fn check(&self, sight: &Sight, features: &[Arc<Features>]) -> Result<(), Error> {
        let found = features.len();
        if !(1..=MAX_PHRASES).contains(&found) {
            return Err(Error::Phrases { found });
        }
        let is_foreign = |f: &&Arc<Features>| f.model != self.model || f.values.len() != f.rows * self.channels;
        match features.iter().find(is_foreign) {
            Some(features) => Err(foreign(std::slice::from_ref(features))),
            None if sight.model != self.model => Err(foreign(features)),
            None => Ok(()),
        }
    }
}

fn foreign(features: &[Arc<Features>]) -> Error {
    Error::ForeignFeatures { phrase: features.first().map_or_else(String::new, |f| f.text.clone()) }
}
