//! The masks of a picture: of prompts, of boxes that phrases name, or of a text model that makes masks itself.

use image::RgbImage;
use promptseg::model::{DecodeOptions, Decodes};
use promptseg::prompt::Prompt;
use promptseg::segmenter::Segmenter;

use super::answer::{Answer, Origin};
use super::arguments::Arguments;
use super::prompts::Prompts;
use crate::failure::Failure;
use crate::terminal;
use crate::text::{Found, Named, TextFinder};

/// Where the masks of a picture come from.
pub enum Masks {
    /// Points, boxes and a mask of the command line.
    Prompted(Box<Segmenter>, Prompts),
    /// Boxes of the objects that phrases name.
    Boxes(Box<Segmenter>, Box<TextFinder>),
    /// Masks of the objects that phrases name.
    Own(Box<TextFinder>),
}

impl Masks {
    /// Opens the models that the arguments need. `prompts` are none with `--text`.
    pub fn open(arguments: &Arguments, prompts: Option<Prompts>) -> Result<Self, Failure> {
        let finder = arguments.text.open(&arguments.model.session_options()?)?.map(Box::new);
        match finder {
            Some(finder) if finder.makes_masks() && arguments.model.is_given() => {
                let name = finder.name();
                Err(Failure::Usage(format!(
                    "the text model {name} makes the masks of --text itself: leave out --model"
                )))
            }
            Some(finder) if finder.makes_masks() => Ok(Masks::Own(finder)),
            finder => {
                let spinner = terminal::spinner("loading the model");
                let model = arguments.model.open(false);
                spinner.finish_and_clear();
                let segmenter = Box::new(Segmenter::new(model?));
                match (prompts, finder) {
                    (Some(prompts), _) => Ok(Masks::Prompted(segmenter, prompts)),
                    (None, Some(finder)) => {
                        finder.check_masks_of(segmenter.info())?;
                        Ok(Masks::Boxes(segmenter, finder))
                    }
                    (None, None) => Err(Failure::Usage("nothing to segment".to_owned())),
                }
            }
        }
    }

    /// Returns the finder of the objects; none if the command line prompts them.
    pub fn finder(&self) -> Option<&TextFinder> {
        match self {
            Masks::Prompted(..) => None,
            Masks::Boxes(_, finder) | Masks::Own(finder) => Some(finder),
        }
    }

    /// Returns the model that makes the masks.
    pub fn origin(&self) -> Origin {
        match self {
            Masks::Prompted(segmenter, _) | Masks::Boxes(segmenter, _) => {
                Origin { model: segmenter.info().name.clone(), encoder: segmenter.providers().clone() }
            }
            Masks::Own(finder) => Origin { model: finder.name().to_owned(), encoder: finder.image_tower().clone() },
        }
    }

    /// Returns the masks of a picture.
    ///
    /// # Errors
    /// A prompt does not fit the picture, or a model fails.
    pub fn on(&mut self, image: RgbImage, options: &DecodeOptions) -> Result<Answer, String> {
        let failed = |e: &dyn std::fmt::Display| e.to_string();
        match self {
            Masks::Prompted(segmenter, prompts) => {
                let side = segmenter.info().low_res_size;
                let geometry = segmenter.set_image(&image).map_err(|e| failed(&e))?.geometry;
                decode(segmenter, image, prompts.on(&geometry, side)?, Vec::new(), options)
            }
            Masks::Boxes(segmenter, finder) => {
                segmenter.set_image(&image).map_err(|e| failed(&e))?;
                let named = finder.find(&image).map_err(|e| failed(&e))?.named;
                let prompts = named.iter().map(box_of).collect();
                decode(segmenter, image, prompts, named, options)
            }
            Masks::Own(finder) => {
                let Found { mut named, encode, decode } = finder.find(&image).map_err(|e| failed(&e))?;
                let objects = named.iter_mut().filter_map(|named| named.mask.take()).collect();
                let prompts = named.iter().map(box_of).collect();
                Ok(Answer { image, prompts, named, objects, encode, decode, in_depth: Vec::new() })
            }
        }
    }
}

fn box_of(named: &Named) -> Prompt {
    Prompt { bbox: Some(named.bbox), ..Prompt::default() }
}

/// Decodes prompts on the current image of a segmenter, which is `image`.
fn decode(
    segmenter: &mut Segmenter,
    image: RgbImage,
    prompts: Vec<Prompt>,
    named: Vec<Named>,
    options: &DecodeOptions,
) -> Result<Answer, String> {
    let decodes = match prompts.as_slice() {
        [] => Decodes::default(),
        prompts => segmenter.predict_many(prompts, options).map_err(|e| e.to_string())?,
    };
    let encode = segmenter.embedding().map(|embedding| embedding.timings).unwrap_or_default();
    let Decodes { objects, timings: decode } = decodes;
    Ok(Answer { image, prompts, named, objects, encode, decode, in_depth: Vec::new() })
}
