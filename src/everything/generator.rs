//! The loop over crops and clicks.

use std::ops::ControlFlow;
use std::sync::mpsc;

use image::RgbImage;
use thiserror::Error as ThisError;

use super::crops::Crop;
use super::filter::{Filter, GeneratedMask};
use super::network::{Decoder, Encoder};
use super::nms::box_nms;
use super::plan::{Seed, plan};
use super::regions::without_small_regions;
use super::search::{Search, SearchError};
use super::settings::{Settings, SettingsError};
use super::unique;
use crate::model::{self, Candidates, Embedding, LowResMasks, MEGABYTE};
use crate::pixels::MaskUpscaler;
use crate::prompt::Prompt;

/// Why there are no masks.
#[derive(Debug, ThisError)]
pub enum Error {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the image has {width} x {height} pixels; expected at least 2 pixels")]
    TooSmall { width: u32, height: u32 },
    #[error(transparent)]
    Search(#[from] SearchError),
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
    /// All clicks of the image. A search from coarse to fine subtracts the clicks that are not needed.
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
    /// [`Error::TooSmall`] for an image of one pixel or none, [`Error::Search`] if the region or a box lies outside the image,
    /// [`Error::Cancelled`] when `progress` ended it, [`Error::Model`] if the model does not take the prompts or a session
    /// fails.
    pub fn generate(
        &self,
        encoder: &mut dyn Encoder,
        decoder: &mut dyn Decoder,
        image: &RgbImage,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Vec<GeneratedMask>, Error> {
        let (width, height) = check_size(image)?;
        self.check_prompts(decoder)?;
        let plan = plan(&self.settings, width, height)?;
        let points = plan.iter().map(|(_, seeds)| seeds.len() as u64).sum();
        let batch = batch_size(self.settings.points_per_batch, self.settings.batch_megabytes, decoder);
        let settings = &self.settings;
        let mut run = Run { settings, decoder, batch, image: (width, height), progress, decoded: 0, points };
        let mut masks = Vec::new();
        match plan.as_slice() {
            [(whole, seeds)] if whole.layer == 0 => masks = run.crop(*whole, seeds, &encoder.encode(image)?, 0)?,
            _ => std::thread::scope(|scope| {
                // One crop waits encoded while another is decoded; the encoder stops when the receiver is gone.
                let (sender, encoded) = mpsc::sync_channel(1);
                let all = &plan;
                scope.spawn(move || {
                    for (crop, _) in all {
                        let embedding = encoder.encode(&cut(image, crop));
                        let is_over = embedding.is_err();
                        if sender.send(embedding).is_err() || is_over {
                            return;
                        }
                    }
                });
                for ((crop, seeds), embedding) in plan.iter().zip(encoded) {
                    let of_crop = run.crop(*crop, seeds, &embedding?, masks.len())?;
                    masks.extend(of_crop);
                }
                Ok::<_, Error>(())
            })?,
        }
        if settings.crop_n_layers > 0 {
            masks = without_duplicates(masks, settings.crop_nms_thresh, |mask| {
                1.0 / (mask.crop.width as f32 * mask.crop.height as f32)
            });
        }
        if settings.min_mask_region_area > 0 {
            masks = self.without_small_regions(masks);
        }
        if let Some(overlap) = settings.mask_nms {
            masks = unique::without_duplicates(masks, overlap);
            unique::link_parts(&mut masks, overlap);
        }
        if let Some(priority) = settings.disjoint {
            masks = unique::disjoint(masks, priority);
        }
        Ok(masks)
    }

    /// Checks that the model takes the prompts of this generator.
    fn check_prompts(&self, decoder: &dyn Decoder) -> Result<(), Error> {
        Ok(decoder.check_kinds(&self.settings.example_prompt())?)
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

/// Returns the size of an image that has more than one pixel.
pub(super) fn check_size(image: &RgbImage) -> Result<(u32, u32), Error> {
    let (width, height) = image.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > 1 { Ok((width, height)) } else { Err(Error::TooSmall { width, height }) }
}

/// Returns the number of prompts of one run of the decoder: at most `prompts`, and fewer if they need more memory.
pub(super) fn batch_size(prompts: usize, megabytes: usize, decoder: &dyn Decoder) -> usize {
    let fitting = megabytes.saturating_mul(MEGABYTE) / decoder.bytes_per_prompt().max(1);
    prompts.min(fitting.max(1))
}

/// One generation.
struct Run<'a> {
    settings: &'a Settings,
    decoder: &'a mut dyn Decoder,
    /// Prompts of one run of the decoder.
    batch: usize,
    image: (u32, u32),
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    decoded: u64,
    points: u64,
}

impl Run<'_> {
    /// The masks of one crop, without duplicates. `masks`: how many the crops before have.
    fn crop(
        &mut self,
        crop: Crop,
        seeds: &[Seed],
        embedding: &Embedding,
        masks: usize,
    ) -> Result<Vec<GeneratedMask>, Error> {
        let upscaler = MaskUpscaler::new(self.decoder.low_res_side(), &embedding.geometry);
        let filter = Filter {
            settings: self.settings,
            upscaler: &upscaler,
            mask_threshold: self.settings.mask_threshold.unwrap_or_else(|| self.decoder.mask_threshold()),
            crop,
            image: self.image,
        };
        let (coarse, fine): (Vec<&Seed>, Vec<&Seed>) = seeds.iter().partition(|seed| seed.is_coarse);
        let mut kept = Vec::new();
        self.batches(&coarse, embedding, &filter, masks, &mut kept)?;
        if !fine.is_empty() {
            let free = without_covered(&fine, crop, &kept, self.image);
            self.points -= (fine.len() - free.len()) as u64;
            self.batches(&free, embedding, &filter, masks, &mut kept)?;
        }
        Ok(without_duplicates(kept, self.settings.box_nms_thresh, |mask| mask.predicted_iou))
    }

    /// Adds the masks of all seeds to `kept`.
    fn batches(
        &mut self,
        seeds: &[&Seed],
        embedding: &Embedding,
        filter: &Filter<'_>,
        masks: usize,
        kept: &mut Vec<GeneratedMask>,
    ) -> Result<(), Error> {
        for batch in seeds.chunks(self.batch) {
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
        Ok(())
    }

    /// The masks of a batch of seeds, each with the position of its seed.
    fn decode(&mut self, embedding: &Embedding, seeds: &[&Seed]) -> Result<Vec<([f64; 2], LowResMasks)>, Error> {
        let is_ambiguous = self.settings.multimask_output && !matches!(self.settings.search, Search::Boxes(_));
        let candidates = if is_ambiguous { Candidates::Multi } else { Candidates::Single };
        let prompts: Vec<Prompt> = seeds.iter().map(|seed| seed.prompt.clone()).collect();
        let answers = self.decoder.low_res_masks(embedding, &prompts, candidates)?;
        if !self.settings.use_m2m {
            return Ok(seeds.iter().map(|seed| seed.point).zip(answers).collect());
        }
        let mut refined = Vec::new();
        for (seed, answer) in seeds.iter().zip(&answers) {
            refined.extend(answer.as_prompts().map(|mask| (seed.point, seed.prompt.clone().with_mask(mask))));
        }
        let mut answers = Vec::with_capacity(refined.len());
        for batch in refined.chunks(self.batch) {
            let prompts: Vec<Prompt> = batch.iter().map(|(_, prompt)| prompt.clone()).collect();
            let masks = self.decoder.low_res_masks(embedding, &prompts, Candidates::Single)?;
            answers.extend(batch.iter().map(|(point, _)| *point).zip(masks));
        }
        Ok(answers)
    }
}

/// Returns the seeds of a crop that no mask covers. `image`: width and height in pixels.
fn without_covered<'a>(seeds: &[&'a Seed], crop: Crop, masks: &[GeneratedMask], image: (u32, u32)) -> Vec<&'a Seed> {
    let (width, height) = (image.0 as usize, image.1 as usize);
    // Column by column, as the run lengths.
    let mut is_covered = vec![false; width * height];
    for run in masks.iter().flat_map(|mask| mask.mask.inside()) {
        is_covered[run].fill(true);
    }
    let is_free = |seed: &&Seed| {
        let (x, y) = (crop.rect.x as usize + seed.point[0] as usize, crop.rect.y as usize + seed.point[1] as usize);
        !is_covered[x.min(width - 1) * height + y.min(height - 1)]
    };
    seeds.iter().copied().filter(is_free).collect()
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
