//! Segments everything: `models everything BUNDLE PRECISION THREADS`.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::Instant;

use image::RgbImage;
use promptseg::everything::proposals::{self, proposals};
use promptseg::everything::{AutomaticMaskGenerator, GeneratedMask, Progress, Search, Settings, Within};
use promptseg::model::{ImageEncoder, MaskDecoder, Model, SessionOptions};
use promptseg::pixels::{PixelRect, coco_string};
use promptseg::prompt::BoxPrompt;

use super::Outcome;

pub struct Everything {
    encoder: ImageEncoder,
    decoder: MaskDecoder,
    photo: RgbImage,
    /// The last masks with their scores, in the order of the result.
    masks: Vec<(f32, GeneratedMask)>,
}

impl Everything {
    pub fn new(bundle: &std::path::Path, options: &SessionOptions) -> Outcome<Self> {
        let Model { encoder, decoder, .. } = Model::open(bundle, None, options)?;
        Ok(Everything { encoder, decoder, photo: RgbImage::new(1, 1), masks: Vec::new() })
    }

    /// Answers the requests of `benches/compare/everything.py`:
    ///
    /// * `photo FILE`: `ok`.
    /// * `everything NAME=VALUE ...`: milliseconds, decoded prompts, masks, peak memory of the process in megabytes.
    /// * `proposals POINTS`: the same, for object proposals.
    /// * `save FILE`: writes the last masks as JSON; `ok`.
    pub fn answer(&mut self, line: &str) -> Outcome<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["photo", file] => {
                self.photo = image::open(file)?.to_rgb8();
                Ok("ok".into())
            }
            ["everything", changes @ ..] => {
                let settings = changes.iter().try_fold(Settings::default(), |settings, text| change(settings, text))?;
                self.generate(settings, |masks| masks.into_iter().map(|mask| (mask.predicted_iou, mask)).collect())
            }
            ["proposals", points] => {
                let settings = Settings { points_per_side: points.parse()?, ..proposals::settings() };
                let ranked = |masks: Vec<GeneratedMask>| {
                    proposals(&masks).into_iter().map(|found| (found.score, masks[found.mask].clone())).collect()
                };
                self.generate(settings, ranked)
            }
            ["save", file] => {
                std::fs::write(file, json(&self.masks)?)?;
                Ok("ok".into())
            }
            _ => Err(format!("unknown request `{line}`; see benches/compare/everything.py").into()),
        }
    }

    fn generate(
        &mut self,
        settings: Settings,
        rank: impl FnOnce(Vec<GeneratedMask>) -> Vec<(f32, GeneratedMask)>,
    ) -> Outcome<String> {
        let generator = AutomaticMaskGenerator::new(settings)?;
        let mut decoded = 0;
        let mut progress = |progress: Progress| {
            decoded = progress.decoded;
            ControlFlow::Continue(())
        };
        let start = Instant::now();
        let masks = generator.generate(&mut self.encoder, &mut self.decoder, &self.photo, &mut progress)?;
        self.masks = rank(masks);
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        Ok(format!("{milliseconds:.2} {decoded} {} {:.1}", self.masks.len(), peak_megabytes()?))
    }
}

/// Changes one parameter, by its name in the reference or `search`, `boxes`, `region`.
fn change(settings: Settings, text: &str) -> Outcome<Settings> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let numbers = || value.split(',').map(str::parse::<f32>).collect::<Result<Vec<_>, _>>();
    Ok(match name {
        "points_per_side" => Settings { points_per_side: value.parse()?, ..settings },
        "points_per_batch" => Settings { points_per_batch: value.parse()?, ..settings },
        "batch_megabytes" => Settings { batch_megabytes: value.parse()?, ..settings },
        "pred_iou_thresh" => Settings { pred_iou_thresh: value.parse()?, ..settings },
        "stability_score_thresh" => Settings { stability_score_thresh: value.parse()?, ..settings },
        "box_nms_thresh" => Settings { box_nms_thresh: value.parse()?, ..settings },
        "crop_n_layers" => Settings { crop_n_layers: value.parse()?, ..settings },
        "search" if value == "coarse_to_fine" => Settings { search: Search::CoarseToFine, ..settings },
        "boxes" => {
            let numbers = numbers()?;
            let bbox = |&[x_min, y_min, x_max, y_max]: &[f32; 4]| BoxPrompt { x_min, y_min, x_max, y_max };
            Settings { search: Search::Boxes(numbers.as_chunks().0.iter().map(bbox).collect()), ..settings }
        }
        "region" => {
            let [x, y, width, height] = numbers()?.try_into().map_err(|_| "a region is X,Y,WIDTH,HEIGHT")?;
            let [x, y, width, height] = [x, y, width, height].map(|v: f32| v as u32);
            Settings { within: Some(Within::Rect(PixelRect { x, y, width, height })), ..settings }
        }
        _ => return Err(format!("unknown parameter `{text}`").into()),
    })
}

/// Returns the largest resident memory since the start of the process.
fn peak_megabytes() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024.0 / 1e6)
}

fn json(masks: &[(f32, GeneratedMask)]) -> Outcome<String> {
    let mut text = String::from("[");
    for (index, (score, found)) in masks.iter().enumerate() {
        let [x, y, width, height] = found.bbox.xywh();
        let counts = serde_json::to_string(&coco_string(&found.mask.counts))?;
        let comma = if index > 0 { "," } else { "" };
        write!(
            text,
            "{comma}\n{{\"segmentation\": {{\"size\": [{}, {}], \"counts\": {counts}}}, \"bbox\": [{x}, {y}, {width}, {height}], \
             \"area\": {}, \"predicted_iou\": {}, \"stability_score\": {}, \"score\": {score}}}",
            found.mask.height, found.mask.width, found.area, found.predicted_iou, found.stability_score
        )?;
    }
    Ok(text + "\n]\n")
}
