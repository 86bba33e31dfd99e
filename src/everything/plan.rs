//! What the generator prompts the decoder with, crop by crop.

use super::crops::{Crop, crops};
use super::grid;
use super::search::{Search, SearchError};
use super::settings::Settings;
use crate::prompt::Prompt;

/// One prompt of a crop.
#[derive(Debug, Clone)]
pub(super) struct Seed {
    /// The prompt, in pixels of the crop.
    pub prompt: Prompt,
    /// The click, or the middle of the box, in pixels of the crop.
    pub point: [f64; 2],
    /// Whether the prompt belongs to the first pass of a search from coarse to fine.
    pub is_coarse: bool,
}

/// The crops of an image of `width` by `height` pixels with their prompts, in the order of the reference. Crops without a
/// prompt are left out.
///
/// # Errors
/// The region lies outside the image or holds no click, or a box lies outside the image.
pub(super) fn plan(settings: &Settings, width: u32, height: u32) -> Result<Vec<(Crop, Vec<Seed>)>, SearchError> {
    if let Some(within) = &settings.within {
        within.check(width, height)?;
    }
    let crops = crops(width, height, settings.crop_n_layers, settings.crop_overlap_ratio);
    if let Search::Boxes(boxes) = &settings.search {
        let seed = |(index, bbox)| {
            let prompt = Prompt { bbox: Some(bbox), ..Prompt::default() };
            let prompt = prompt.check(width, height).map_err(|reason| SearchError::Box { index, reason })?;
            let middle = |low: f32, high: f32| f64::from(low + high) / 2.0;
            let point = prompt.bbox.map_or([0.0; 2], |b| [middle(b.x_min, b.x_max), middle(b.y_min, b.y_max)]);
            Ok(Seed { prompt, point, is_coarse: true })
        };
        let seeds = boxes.iter().copied().enumerate().map(seed).collect::<Result<Vec<_>, _>>()?;
        return Ok(crops.into_iter().zip([seeds]).collect());
    }
    let (mut clicks, mut plan) = (0, Vec::new());
    for crop in crops {
        let all = clicks_of(settings, crop);
        clicks += all.len();
        let offset = [f64::from(crop.rect.x), f64::from(crop.rect.y)];
        let is_inside = |seed: &Seed| {
            let position = [seed.point[0] + offset[0], seed.point[1] + offset[1]];
            settings.within.as_ref().is_none_or(|within| within.contains(position))
        };
        let seeds: Vec<Seed> = all.into_iter().filter(is_inside).collect();
        if !seeds.is_empty() {
            plan.push((crop, seeds));
        }
    }
    if plan.is_empty() { Err(SearchError::NoClicks { clicks }) } else { Ok(plan) }
}

/// The clicks of a crop.
fn clicks_of(settings: &Settings, crop: Crop) -> Vec<Seed> {
    let (width, height) = (crop.rect.width, crop.rect.height);
    let per_side = settings.points_per_side_of(crop.layer);
    let points = match &settings.point_grids {
        Some(grids) => {
            let scaled = |point: &[f64; 2]| [point[0] * f64::from(width), point[1] * f64::from(height)];
            grids.get(crop.layer as usize).map_or_else(Vec::new, |grid| grid.iter().map(scaled).collect())
        }
        None => grid::points(per_side, width, height),
    };
    let (in_passes, per_side) = (settings.search == Search::CoarseToFine, per_side as usize);
    let is_even = |position: usize| position.is_multiple_of(2);
    let is_coarse = |index: usize| !in_passes || (is_even(index % per_side) && is_even(index / per_side));
    let seed = |(index, point)| Seed { prompt: grid::click(point), point, is_coarse: is_coarse(index) };
    points.into_iter().enumerate().map(seed).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::search::Within;
    use super::*;
    use crate::pixels::{Mask, PixelRect};
    use crate::prompt::BoxPrompt;

    fn settings(points_per_side: u32) -> Settings {
        Settings { points_per_side, ..Settings::default() }
    }

    fn points(plan: &[(Crop, Vec<Seed>)]) -> Vec<[f64; 2]> {
        plan.iter().flat_map(|(_, seeds)| seeds.iter().map(|seed| seed.point)).collect()
    }

    #[test]
    fn a_quarter_of_the_grid_comes_first() {
        let coarse = Settings { search: Search::CoarseToFine, ..settings(4) };
        let planned = plan(&coarse, 8, 8).unwrap();
        let first: Vec<[f64; 2]> = planned[0].1.iter().filter(|seed| seed.is_coarse).map(|seed| seed.point).collect();
        assert_eq!(first, [[1.0, 1.0], [5.0, 1.0], [1.0, 5.0], [5.0, 5.0]]);
        assert_eq!(planned[0].1.len(), 16);
        assert!(plan(&settings(4), 8, 8).unwrap()[0].1.iter().all(|seed| seed.is_coarse));
    }

    #[test]
    fn clicks_outside_the_region_and_crops_without_a_click_are_left_out() {
        let within = Some(Within::Rect(PixelRect { x: 0, y: 0, width: 30, height: 30 }));
        let region = Settings { within, crop_n_layers: 1, ..settings(4) };
        let planned = plan(&region, 100, 100).unwrap();
        // The whole image, and the crop in the top-left corner; the other crops begin at 33 pixels.
        assert_eq!(planned.iter().map(|(crop, _)| crop.rect.x + crop.rect.y).collect::<Vec<_>>(), [0, 0]);
        assert_eq!(
            points(&planned),
            [[12.5, 12.5], [8.375, 8.375], [25.125, 8.375], [8.375, 25.125], [25.125, 25.125]]
        );
        let one = Mask::from_data(2, 2, &[0, 0, 1, 0]).unwrap();
        let mask = Settings { within: Some(Within::Mask(Arc::new(one))), ..settings(2) };
        assert_eq!(points(&plan(&mask, 2, 2).unwrap()), [[0.5, 1.5]]);
    }

    #[test]
    fn a_region_between_the_clicks_is_refused() {
        let within = Some(Within::Rect(PixelRect { x: 0, y: 0, width: 2, height: 2 }));
        let refusal = plan(&Settings { within, ..settings(4) }, 100, 100).unwrap_err();
        assert_eq!(refusal, SearchError::NoClicks { clicks: 16 });
    }

    #[test]
    fn boxes_replace_the_grid_and_are_checked() {
        let bbox = |x_min, x_max| BoxPrompt { x_min, y_min: 10.0, x_max, y_max: 20.0 };
        let boxes = |boxes| Settings { search: Search::Boxes(boxes), ..settings(4) };
        let planned = plan(&boxes(vec![bbox(-10.0, 30.0), bbox(50.0, 60.0)]), 100, 100).unwrap();
        assert_eq!(points(&planned), [[15.0, 15.0], [55.0, 15.0]]);
        assert_eq!(planned[0].1[0].prompt.bbox, Some(bbox(0.0, 30.0)));
        let refusal = plan(&boxes(vec![bbox(0.0, 30.0), bbox(200.0, 300.0)]), 100, 100).unwrap_err();
        assert!(refusal.to_string().contains("box 1: box (200, 10)"), "{refusal}");
    }

    #[test]
    fn explicit_grids_are_scaled_to_each_crop() {
        let grids = Some(vec![vec![[0.25, 0.5]], vec![[0.5, 0.5]]]);
        let explicit = Settings { point_grids: grids, crop_n_layers: 1, ..Settings::default() };
        let planned = plan(&explicit, 100, 100).unwrap();
        assert_eq!(points(&planned)[..2], [[25.0, 50.0], [33.5, 33.5]]);
        assert_eq!(planned.len(), 5);
    }
}
