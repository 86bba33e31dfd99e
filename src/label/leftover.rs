//! The stage of everything: masks of the automatic mask generator where no other object is.

use std::ops::ControlFlow;

use image::RgbImage;

use super::identity::link;
use super::labeller::{LabelError, Labelled, Labeller};
use super::record::Source;
use crate::everything::unique::shared_area;
use crate::everything::{Encoder, GeneratedMask};
use crate::model::{self, Embedding, Model};
use crate::pixels::{Mask, RunLengths};

/// A mask of the automatic mask generator is left out if more than this share of it lies inside another object.
pub(super) const COVERED: f32 = 0.5;

impl Labeller {
    /// Adds the masks of everything that the other objects leave over.
    pub(super) fn add_everything(
        &mut self,
        image: &RgbImage,
        embedding: &Embedding,
        objects: &mut Vec<Labelled>,
    ) -> Result<(), LabelError> {
        let Some(generator) = &self.generator else { return Ok(()) };
        let Model { encoder, decoder, .. } = &mut self.model;
        let mut encoder = Encoded { embedding, encoder, size: image.dimensions() };
        let found = generator.generate(&mut encoder, decoder, image, &mut |_| ControlFlow::Continue(()))?;
        let others: Vec<RunLengths> = objects.iter().map(|object| RunLengths::of(&object.mask)).collect();
        let is_free = |mask: &GeneratedMask| {
            let covered = others.iter().map(|other| shared_area(other, &mask.mask)).max().unwrap_or(0);
            covered as f32 <= COVERED * mask.area as f32 && mask.area > 0
        };
        let free: Vec<GeneratedMask> = found.into_iter().filter(is_free).collect();
        let before = self.of_source(Source::Auto, objects);
        let (old, new): (Vec<&RunLengths>, Vec<&RunLengths>) =
            (before.iter().map(|p| &p.mask).collect(), free.iter().map(|m| &m.mask).collect());
        let links = link(&old, &new, self.settings.link_iou, |_, _| true);
        let links: Vec<Option<u32>> = links.iter().map(|l| l.map(|i| before[i].object)).collect();
        for (found, linked) in free.into_iter().zip(links) {
            let object = linked.unwrap_or_else(|| self.new_object());
            let mask = Mask { stability: found.stability_score, ..found.mask.to_mask() };
            let (iou, source) = (found.predicted_iou, Source::Auto);
            let (class, object_score, detection_score) = (String::new(), None, None);
            objects.push(Labelled { object, class, source, iou, object_score, detection_score, mask });
        }
        Ok(())
    }
}

/// An encoder that has encoded the whole image already; crops are encoded.
struct Encoded<'a> {
    embedding: &'a Embedding,
    encoder: &'a mut model::ImageEncoder,
    /// Size of the whole image in pixels.
    size: (u32, u32),
}

impl Encoder for Encoded<'_> {
    fn encode(&mut self, crop: &RgbImage) -> Result<Embedding, model::Error> {
        if crop.dimensions() == self.size {
            return Ok(self.embedding.clone());
        }
        self.encoder.encode(crop)
    }
}
