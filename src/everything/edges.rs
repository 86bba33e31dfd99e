//! Zero-shot edges: an image of edges from masks that nobody asked for (Kirillov et al. 2023, appendix D.2).
//!
//! A grid of clicks gives three masks each. Duplicates are removed by their boxes, nothing else is filtered. The Sobel
//! gradient of each mask's probabilities counts where it lies on the outer boundary of the mask. The largest value of each
//! pixel over all masks, scaled to 0..1, is the edge; thinning leaves its ridge.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use image::{GrayImage, RgbImage};

use super::filter::CornerBox;
use super::generator::{Error, Progress, batch_size, check_size};
use super::grid;
use super::network::{Decoder, Encoder};
use super::nms::box_nms;
use super::settings::{Settings, SettingsError};
use super::thinning::thin;
use crate::model::{Candidates, Embedding, LowResMasks};
use crate::pixels::{Mask, MaskUpscaler};
use crate::prompt::Prompt;

/// Parameters of the edges, with the values of the paper as defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeSettings {
    /// Clicks along each side of the image.
    pub points_per_side: u32,
    /// Most clicks that are decoded in one go.
    pub points_per_batch: usize,
    /// Most memory of one run of the decoder, in megabytes.
    pub batch_megabytes: usize,
    /// Of two masks whose boxes overlap with an IoU above this, the less certain one is dropped.
    pub box_nms_thresh: f64,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        EdgeSettings { points_per_side: 16, points_per_batch: 64, batch_megabytes: 512, box_nms_thresh: 0.7 }
    }
}

impl EdgeSettings {
    /// Checks every parameter.
    ///
    /// # Errors
    /// As for [`Settings::check`].
    pub fn check(&self) -> Result<(), SettingsError> {
        let EdgeSettings { points_per_side, points_per_batch, batch_megabytes, box_nms_thresh } = *self;
        Settings { points_per_side, points_per_batch, batch_megabytes, box_nms_thresh, ..Settings::default() }.check()
    }
}

/// How strong the edge is at each pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeMap {
    /// Width and height of the image, in pixels.
    pub width: u32,
    pub height: u32,
    /// `width * height` values from 0 to 1, row by row.
    pub strength: Vec<f32>,
}

impl EdgeMap {
    /// The ridges of the edges; the other pixels are 0.
    #[must_use]
    pub fn thinned(&self) -> EdgeMap {
        EdgeMap { strength: thin(&self.strength, self.width as usize), ..*self }
    }

    /// 8 bits for each pixel: 255 is the strongest edge.
    pub fn to_image(&self) -> GrayImage {
        let byte = |strength: &f32| (strength.clamp(0.0, 1.0) * 255.0).round() as u8;
        let pixels = self.strength.iter().map(byte).collect();
        // The buffer has one byte for each pixel.
        GrayImage::from_raw(self.width, self.height, pixels).unwrap_or_default()
    }
}

/// A mask of the decoder, by its click and its place among the masks of that click.
struct Candidate {
    point: usize,
    mask: usize,
    bbox: [f32; 4],
    iou: f32,
}

/// Finds the edges of an image, before thinning.
///
/// The clicks whose masks remain after the removal of duplicates are decoded a second time, so that no more than one
/// batch of logits is in memory.
///
/// # Errors
/// As for [`super::AutomaticMaskGenerator::generate`], and [`Error::Settings`].
pub fn edges(
    settings: &EdgeSettings,
    encoder: &mut dyn Encoder,
    decoder: &mut dyn Decoder,
    image: &RgbImage,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<EdgeMap, Error> {
    let (width, height) = check_size(image)?;
    settings.check()?;
    decoder.check_kinds(&Prompt::point(0.0, 0.0))?;
    let batch_size = batch_size(settings.points_per_batch, settings.batch_megabytes, decoder);
    let embedding = encoder.encode(image)?;
    let upscaler = MaskUpscaler::new(decoder.low_res_side(), &embedding.geometry);
    let threshold = decoder.mask_threshold();
    let points = grid::points(settings.points_per_side, width, height);
    let mut candidates = Vec::new();
    let mut decoded = 0;
    for batch in points.chunks(batch_size) {
        for (index, masks) in decode(decoder, &embedding, batch)?.iter().enumerate() {
            for (mask, (iou, logits)) in masks.iter().enumerate() {
                let bbox = CornerBox::of(&upscaler.mask(logits, threshold, 0.0)).corners();
                candidates.push(Candidate { point: decoded + index, mask, bbox, iou });
            }
        }
        decoded += batch.len();
        let progress_now = Progress { decoded: decoded as u64, points: points.len() as u64, masks: candidates.len() };
        if progress(progress_now).is_break() {
            return Err(Error::Cancelled);
        }
    }
    let boxes: Vec<[f32; 4]> = candidates.iter().map(|candidate| candidate.bbox).collect();
    let scores: Vec<f32> = candidates.iter().map(|candidate| candidate.iou).collect();
    let mut kept: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in box_nms(&boxes, &scores, settings.box_nms_thresh) {
        kept.entry(candidates[index].point).or_default().push(candidates[index].mask);
    }
    let mut strength = vec![0.0; width as usize * height as usize];
    let kept: Vec<(usize, Vec<usize>)> = kept.into_iter().collect();
    for batch in kept.chunks(batch_size) {
        let clicks: Vec<[f64; 2]> = batch.iter().map(|(point, _)| points[*point]).collect();
        for (masks, (_, kept)) in decode(decoder, &embedding, &clicks)?.iter().zip(batch) {
            for (_, (_, logits)) in masks.iter().enumerate().filter(|(index, _)| kept.contains(index)) {
                let probabilities = upscaler.logits(logits).into_iter().map(sigmoid).collect::<Vec<_>>();
                draw(&mut strength, &probabilities, &upscaler.mask(logits, threshold, 0.0));
            }
        }
        let progress_now = Progress { decoded: decoded as u64, points: points.len() as u64, masks: boxes.len() };
        if progress(progress_now).is_break() {
            return Err(Error::Cancelled);
        }
    }
    normalise(&mut strength);
    Ok(EdgeMap { width, height, strength })
}

fn decode(decoder: &mut dyn Decoder, embedding: &Embedding, points: &[[f64; 2]]) -> Result<Vec<LowResMasks>, Error> {
    let prompts: Vec<Prompt> = points.iter().map(|point| grid::click(*point)).collect();
    Ok(decoder.low_res_masks(embedding, &prompts, Candidates::Multi)?)
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Raises the strength of the pixels on the outer boundary of a mask to the gradient of its probabilities.
fn draw(strength: &mut [f32], probabilities: &[f32], mask: &Mask) {
    let Some(b) = mask.bbox else { return };
    let (width, height) = (mask.width, mask.height);
    let inside = |x: i64, y: i64| x >= 0 && y >= 0 && mask.contains(x as u32, y as u32);
    for y in b.y.saturating_sub(1)..(b.y + b.height + 1).min(height) {
        for x in b.x.saturating_sub(1)..(b.x + b.width + 1).min(width) {
            let (column, row) = (i64::from(x), i64::from(y));
            let touches = (-1..=1).any(|dy| (-1..=1).any(|dx| inside(column + dx, row + dy)));
            if touches && !inside(column, row) {
                let at = y as usize * width as usize + x as usize;
                strength[at] = strength[at].max(sobel(probabilities, width, height, x, y));
            }
        }
    }
}

/// Magnitude of the Sobel gradient; pixels beyond the border are those at the border.
fn sobel(values: &[f32], width: u32, height: u32, x: u32, y: u32) -> f32 {
    let at = |dx: i64, dy: i64| {
        let column = (i64::from(x) + dx).clamp(0, i64::from(width) - 1) as usize;
        let row = (i64::from(y) + dy).clamp(0, i64::from(height) - 1) as usize;
        values[row * width as usize + column]
    };
    let along_x = at(1, -1) + 2.0 * at(1, 0) + at(1, 1) - at(-1, -1) - 2.0 * at(-1, 0) - at(-1, 1);
    let along_y = at(-1, 1) + 2.0 * at(0, 1) + at(1, 1) - at(-1, -1) - 2.0 * at(0, -1) - at(1, -1);
    along_x.hypot(along_y)
}

/// Scales the values so that the smallest is 0 and the largest is 1; a constant image becomes 0.
fn normalise(values: &mut [f32]) {
    let (least, most) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    let range = most - least;
    for value in values {
        *value = if range > 0.0 { (*value - least) / range } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_of_a_square_lies_just_outside_of_it() {
        let (width, height) = (9, 7);
        let inside = |at: usize| (3..6).contains(&(at % 9)) && (2..5).contains(&(at / 9));
        let data: Vec<u8> = (0..width * height).map(|at| u8::from(inside(at as usize))).collect();
        let mask = Mask::from_data(width, height, &data).unwrap();
        let probabilities: Vec<f32> = data.iter().map(|v| f32::from(*v)).collect();
        let mut strength = vec![0.0; data.len()];
        draw(&mut strength, &probabilities, &mask);
        let at = |x: usize, y: usize| strength[y * 9 + x];
        assert_eq!(at(2, 3), 4.0, "the middle of a side");
        assert_eq!((at(3, 3), at(1, 3), at(0, 0)), (0.0, 0.0, 0.0));
        assert!((at(2, 1) - 2f32.sqrt()).abs() < 1e-6, "a corner");
        normalise(&mut strength);
        assert_eq!(strength.iter().copied().fold(0.0, f32::max), 1.0);
        let mut flat = vec![3.0; 4];
        normalise(&mut flat);
        assert_eq!(flat, [0.0; 4]);
    }
}
