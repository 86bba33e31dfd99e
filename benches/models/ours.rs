//! promptseg as a contender, through the library interface.

use std::path::Path;

use image::RgbImage;
use promptseg::model::{DecodeOptions, Model, SessionOptions};
use promptseg::pixels::Mask;
use promptseg::prompt::Prompt;
use promptseg::segmenter::Segmenter;

use super::{Contender, Outcome};

pub struct Ours {
    segmenter: Segmenter,
    image: RgbImage,
    last: Option<Mask>,
}

impl Ours {
    pub fn new(bundle: &Path, options: &SessionOptions) -> Outcome<Self> {
        let segmenter = Segmenter::new(Model::open(bundle, None, options)?);
        Ok(Ours { segmenter, image: RgbImage::new(1, 1), last: None })
    }
}

impl Contender for Ours {
    fn photo(&mut self, image: RgbImage) -> Outcome<()> {
        self.image = image;
        Ok(())
    }

    fn encode(&mut self) -> Outcome<()> {
        self.segmenter.set_image(&self.image)?;
        Ok(())
    }

    fn image_to_mask(&mut self, click: [f32; 2]) -> Outcome<()> {
        self.segmenter.set_image(&self.image)?;
        self.click(click)
    }

    fn click(&mut self, [x, y]: [f32; 2]) -> Outcome<()> {
        let decoded = self.segmenter.predict(&Prompt::point(x, y), &DecodeOptions::default())?;
        self.last = Some(decoded.best.mask);
        Ok(())
    }

    fn boxes(&mut self, boxes: &[[f32; 4]]) -> Outcome<()> {
        let prompts: Vec<Prompt> = boxes.iter().map(|&[x0, y0, x1, y1]| Prompt::bbox(x0, y0, x1, y1)).collect();
        if self.segmenter.embedding().is_none() {
            self.segmenter.set_image(&self.image)?;
        }
        let mut decoded = self.segmenter.predict_many(&prompts, &DecodeOptions::default())?;
        self.last = decoded.objects.pop().map(|object| object.best.mask);
        Ok(())
    }

    fn mask(&self) -> Outcome<Vec<u8>> {
        Ok(self.last.as_ref().ok_or("no mask yet: send `image_to_mask` first")?.full())
    }
}
