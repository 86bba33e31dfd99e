//! The loop over crops and clicks.

use std::ops::ControlFlow;
use std::sync::mpsc;

use image::RgbImage;
use thiserror::Error as ThisError;

use super::crops::{Crop, crops};
use super::filter::{Filter, GeneratedMask};
use super::grid;
use super::network::{Decoder, Encoder};
use super::nms::box_nms;
use super::regions::without_small_regions;
use super::settings::{Settings, SettingsError};
use crate::model::{self, Candidates, Embedding, LowResMasks};
use crate::pixels::MaskUpscaler;
use crate::prompt::Prompt;

/// Why there are no masks.
#[derive(Debug, ThisError)]
pub enum Error {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the image has no pixels: {width} x {height}")]
    NoPixels { width: u32, height: u32 },
    #[error(transparent)]
    Model(#[from] model::Error),
    #[error("the generation was cancelled")]
    Cancelled,
}

/// How far a generation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Clicks that were decoded.
    pub decoded: u64,
    /// All clicks of the image.
    pub points: u64,
    /// Masks that were kept so far; duplicates are removed later.
    pub masks: usize,
}

/// Finds the masks of everything in an image: `SamAutomaticMaskGenerator` and `SAM2AutomaticMaskGenerator` of the reference.
#[derive(Debug, Clone)]
pub struct AutomaticMaskGenerator {
    settings: Settings,
}

impl AutomaticMaskGenerator {
    /// # Errors
    /// A parameter is out of range.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(AutomaticMaskGenerator { settings })
    }

    /// Finds the masks of an image, in the order of the reference: the order of the last non-maximum suppression.
    ///
    /// The next crop is encoded while the masks of a crop are decoded. `progress` is called after each batch of clicks, and
    /// ends the generation with [`ControlFlow::Break`].
    ///
    /// # Errors
    /// [`Error::NoPixels`] for an image without pixels, [`Error::Cancelled`] when `progress` ended it, [`Error::Model`] when
    /// a session fails.
    pub fn generate(
        &self,
        encoder: &mut dyn Encoder,
        decoder: &mut dyn Decoder,
        image: &RgbImage,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Vec<GeneratedMask>, Error> {
        let (width, height) = image.dimensions();
        if width == 0 || height == 0 {
            return Err(Error::NoPixels { width, height });
        }
        let crops = crops(width, height, self.settings.crop_n_layers, self.settings.crop_overlap_ratio);
        let points = crops.iter().map(|crop| u64::from(self.settings.points_per_side_of(crop.layer)).pow(2)).sum();
        let mut run = Run { settings: &self.settings, decoder, image: (width, height), progress, decoded: 0, points };
        let mut masks = Vec::new();
        match crops.as_slice() {
            [whole] => masks = run.crop(*whole, &encoder.encode(image)?, 0)?,
            _ => std::thread::scope(|scope| {
                // One crop waits encoded while another is decoded; the encoder stops when the receiver is gone.
                let (sender, encoded) = mpsc::sync_channel(1);
                let all = &crops;
                scope.spawn(move || {
                    for crop in all {
                        let embedding = encoder.encode(&cut(image, crop));
                        let is_over = embedding.is_err();
                        if sender.send(embedding).is_err() || is_over {
                            return;
                        }
                    }
                });
                for (crop, embedding) in crops.iter().zip(encoded) {
                    let of_crop = run.crop(*crop, &embedding?, masks.len())?;
                    masks.extend(of_crop);
                }
                Ok::<_, Error>(())
            })?,
        }
        if crops.len() > 1 {
            masks = without_duplicates(masks, self.settings.crop_nms_thresh, |mask| {
                1.0 / (mask.crop.width as f32 * mask.crop.height as f32)
            });
        }
        if self.settings.min_mask_region_area > 0 {
            masks = self.without_small_regions(masks);
        }
        Ok(masks)
    }

    /// `postprocess_small_regions`: cleans every mask, and removes the duplicates that this makes. A mask that did not have
    /// to be changed is preferred.
    fn without_small_regions(&self, masks: Vec<GeneratedMask>) -> Vec<GeneratedMask> {
        let clean = |mut found: GeneratedMask| {
            let cleaned = without_small_regions(&found.mask.to_mask(), self.settings.min_mask_region_area);
            let is_changed = cleaned.is_some();
            if let Some(mask) = cleaned {
                found.set_mask(&mask);
            }
            (found, is_changed)
        };
        let (masks, is_changed): (Vec<_>, Vec<_>) = masks.into_iter().map(clean).unzip();
        let scores: Vec<f32> = is_changed.iter().map(|changed| if *changed { 0.0 } else { 1.0 }).collect();
        suppress(masks, &scores, self.settings.box_nms_thresh.max(self.settings.crop_nms_thresh))
    }
}

/// One generation.
struct Run<'a> {
    settings: &'a Settings,
    decoder: &'a mut dyn Decoder,
    image: (u32, u32),
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    decoded: u64,
    points: u64,
}

impl Run<'_> {
    /// The masks of one crop, without duplicates. `masks`: how many the crops before have.
    fn crop(&mut self, crop: Crop, embedding: &Embedding, masks: usize) -> Result<Vec<GeneratedMask>, Error> {
        let upscaler = MaskUpscaler::new(self.decoder.low_res_side(), &embedding.geometry);
        let filter = Filter {
            settings: self.settings,
            upscaler: &upscaler,
            mask_threshold: self.decoder.mask_threshold(),
            crop,
            image: self.image,
        };
        let points = grid::points(self.settings.points_per_side_of(crop.layer), crop.rect.width, crop.rect.height);
        let mut kept = Vec::new();
        for batch in points.chunks(self.settings.points_per_batch) {
            for (point, low_res) in self.decode(embedding, batch)? {
                for (iou, logits) in low_res.iter() {
                    kept.extend(filter.keep(logits, iou, point));
                }
            }
            self.decoded += batch.len() as u64;
            let progress = Progress { decoded: self.decoded, points: self.points, masks: masks + kept.len() };
            if (self.progress)(progress).is_break() {
                return Err(Error::Cancelled);
            }
        }
        Ok(without_duplicates(kept, self.settings.box_nms_thresh, |mask| mask.predicted_iou))
    }

    /// The masks of a batch of clicks, each with its click.
    fn decode(&mut self, embedding: &Embedding, points: &[[f64; 2]]) -> Result<Vec<([f64; 2], LowResMasks)>, Error> {
        let candidates = if self.settings.multimask_output { Candidates::Multi } else { Candidates::Single };
        let prompts: Vec<Prompt> = points.iter().map(|point| grid::click(*point)).collect();
        let answers = self.decoder.low_res_masks(embedding, &prompts, candidates)?;
        if !self.settings.use_m2m {
            return Ok(points.iter().copied().zip(answers).collect());
        }
        let mut refined = Vec::new();
        for (point, answer) in points.iter().zip(&answers) {
            let prompts: Vec<Prompt> = answer.as_prompts().map(|mask| grid::click(*point).with_mask(mask)).collect();
            refined.extend(prompts.into_iter().map(|prompt| (*point, prompt)));
        }
        let mut answers = Vec::with_capacity(refined.len());
        for batch in refined.chunks(self.settings.points_per_batch) {
            let prompts: Vec<Prompt> = batch.iter().map(|(_, prompt)| prompt.clone()).collect();
            let masks = self.decoder.low_res_masks(embedding, &prompts, Candidates::Single)?;
            answers.extend(batch.iter().map(|(point, _)| *point).zip(masks));
        }
        Ok(answers)
    }
}

fn cut(image: &RgbImage, crop: &Crop) -> RgbImage {
    let rect = crop.rect;
    image::imageops::crop_imm(image, rect.x, rect.y, rect.width, rect.height).to_image()
}

fn without_duplicates(
    masks: Vec<GeneratedMask>,
    threshold: f64,
    score: impl Fn(&GeneratedMask) -> f32,
) -> Vec<GeneratedMask> {
    let scores: Vec<f32> = masks.iter().map(score).collect();
    suppress(masks, &scores, threshold)
}

/// The masks that remain of those with overlapping boxes, highest score first.
fn suppress(masks: Vec<GeneratedMask>, scores: &[f32], threshold: f64) -> Vec<GeneratedMask> {
    let boxes: Vec<[f32; 4]> = masks.iter().map(|mask| mask.bbox.corners()).collect();
    let mut masks: Vec<Option<GeneratedMask>> = masks.into_iter().map(Some).collect();
    box_nms(&boxes, scores, threshold).into_iter().filter_map(|index| masks[index].take()).collect()
}
