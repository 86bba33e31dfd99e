//! Measures the steps of a text model: `models text BUNDLE PRECISION THREADS`.

use std::path::Path;
use std::time::Instant;

use image::RgbImage;
use promptseg::model::SessionOptions;
use promptseg::text::{Phrase, Sight, TextModel};

use super::Outcome;

pub struct Text {
    model: TextModel,
    photo: RgbImage,
    sight: Option<Sight>,
    /// Number of phrases so far: each request has a phrase that was not computed before.
    phrases: usize,
}

impl Text {
    pub fn new(bundle: &Path, options: &SessionOptions) -> Outcome<Self> {
        let model = TextModel::open(bundle, options, None)?;
        Ok(Text { model, photo: RgbImage::new(1, 1), sight: None, phrases: 0 })
    }

    /// Answers `photo FILE` with `ok`, and with milliseconds: `image` computes everything that does not depend on a phrase,
    /// `phrase` the features of a phrase, `first` a phrase on a new image, `second` another phrase on the same image.
    pub fn answer(&mut self, line: &str) -> Outcome<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["photo", file] = words.as_slice() {
            (self.photo, self.sight) = (image::open(file)?.to_rgb8(), None);
            return Ok("ok".into());
        }
        let start = Instant::now();
        match words.as_slice() {
            ["image"] => self.sight = Some(self.model.look(&self.photo)?),
            ["phrase"] => drop(self.phrase()?),
            ["first"] => {
                self.sight = Some(self.model.look(&self.photo)?);
                self.find()?;
            }
            ["second"] => self.find()?,
            _ => return Err(format!("unknown request `{line}`; see benches/compare/text.py").into()),
        }
        Ok(format!("{:.4}", start.elapsed().as_secs_f64() * 1e3))
    }

    /// Computes the features of a new phrase.
    fn phrase(&mut self) -> Outcome<(Phrase, std::sync::Arc<promptseg::text::Features>)> {
        self.phrases += 1;
        let phrase = Phrase::new(&format!("a photo of the cup {}", self.phrases))?;
        let features = self.model.understand(std::slice::from_ref(&phrase))?.pop().ok_or("no features")?;
        Ok((phrase, features))
    }

    fn find(&mut self) -> Outcome<()> {
        let (phrase, features) = self.phrase()?;
        let limits = self.model.limits(&[phrase], 20);
        let sight = self.sight.as_ref().ok_or("no image yet: send `image` first")?;
        self.model.detect(sight, &[features], &limits)?;
        Ok(())
    }
}
