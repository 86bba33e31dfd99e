//! `promptseg segment`: one picture, one object.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use promptseg::model::{Candidates, DecodeOptions};
use promptseg::pixels::{OverlayObject, decode_compressed, draw_overlay};
use promptseg::prompt::{BoxPrompt, Point, Prompt};
use promptseg::segmenter::Segmenter;
use serde_json::json;

#[derive(clap::Args)]
pub struct Arguments {
    /// JPEG or PNG.
    image: PathBuf,
    /// The object is here: pixels from the top-left corner. May be given several times.
    #[arg(long, value_name = "X,Y", allow_hyphen_values = true)]
    click: Vec<Numbers<2>>,
    /// The object is not here. May be given several times.
    #[arg(long, value_name = "X,Y", allow_hyphen_values = true)]
    background: Vec<Numbers<2>>,
    /// The object is in this box: two corners.
    #[arg(long = "box", value_name = "X0,Y0,X1,Y1", allow_hyphen_values = true)]
    bbox: Option<Numbers<4>>,
    /// Every candidate instead of the best one.
    #[arg(long)]
    all: bool,
    /// Where the picture with the mask goes.
    #[arg(long, value_name = "FILE", default_value = "overlay.png")]
    out: PathBuf,
    /// Where the mask goes: mono, 0 or 255.
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: super::ModelArguments,
}

/// `N` numbers with commas between them.
#[derive(Debug, Clone, Copy)]
pub struct Numbers<const N: usize>([f32; N]);

impl<const N: usize> FromStr for Numbers<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<f32>, _> = text.split(',').map(|n| n.trim().parse::<f32>()).collect();
        let numbers = numbers.map_err(|e| format!("{e}; expected {N} numbers with commas between them"))?;
        let found = numbers.len();
        numbers.try_into().map(Numbers).map_err(|_| format!("{found} numbers, expected {N} with commas between them"))
    }
}

pub fn run(arguments: &Arguments) -> Result<(), super::Failure> {
    let prompt = prompt(arguments).map_err(super::Failure::Usage)?;
    let content = std::fs::read(&arguments.image).map_err(|e| format!("{}: {e}", arguments.image.display()))?;
    let image = decode_compressed(&content, "").map_err(|e| format!("{}: {e}", arguments.image.display()))?;
    let mut segmenter = Segmenter::new(arguments.model.open()?);
    let encode = segmenter.set_image(&image)?.timings;
    let candidates = if arguments.all { Candidates::Multi } else { Candidates::Auto };
    let options = DecodeOptions { candidates, all_masks: arguments.all, ..DecodeOptions::default() };
    let mut decodes = segmenter.predict_many(std::slice::from_ref(&prompt), &options)?;
    let decoded = decodes.objects.pop().ok_or("the model gave no mask")?;
    let masks: Vec<_> = std::iter::once(&decoded.best).chain(&decoded.others).collect();
    for (i, candidate) in masks.iter().enumerate() {
        let path = numbered(&arguments.out, i);
        let object = OverlayObject {
            mask: &candidate.mask,
            id: i as u32 + 1,
            iou: candidate.iou,
            class_id: "",
            points: &prompt.points,
            bbox: prompt.bbox,
        };
        save(&path, draw_overlay(&image, &[object]).save(&path))?;
        if let Some(mask) = &arguments.mask {
            let path = numbered(mask, i);
            let gray = image::GrayImage::from_raw(candidate.mask.width, candidate.mask.height, candidate.mask.full());
            save(&path, gray.ok_or("a mask of another size than its image")?.save(&path))?;
        }
        if !arguments.json {
            let b = candidate.mask.bbox;
            let b = b.map_or("empty".into(), |b| format!("box {},{} {}x{}", b.x, b.y, b.width, b.height));
            let (iou, stability, area) = (candidate.iou, candidate.mask.stability, candidate.mask.area);
            println!("IoU {iou:.3}  stability {stability:.3}  area {area}  {b}  -> {}", path.display());
        }
    }
    if arguments.json {
        let list: Vec<_> =
            masks.iter().enumerate().map(|(i, c)| candidate_json(c, &numbered(&arguments.out, i))).collect();
        let ms = json!({
            "preprocess": encode.preprocess_ms,
            "encode": encode.run_ms,
            "decode": decodes.timings.run_ms,
            "postprocess": decodes.timings.postprocess_ms,
        });
        println!("{}", json!({ "model": segmenter.info().name, "masks": list, "ms": ms }));
    }
    Ok(())
}

fn prompt(arguments: &Arguments) -> Result<Prompt, String> {
    let mut points: Vec<Point> = arguments.click.iter().map(|Numbers([x, y])| Point::foreground(*x, *y)).collect();
    points.extend(arguments.background.iter().map(|Numbers([x, y])| Point::background(*x, *y)));
    let bbox = arguments.bbox.map(|Numbers([x_min, y_min, x_max, y_max])| BoxPrompt { x_min, y_min, x_max, y_max });
    if points.is_empty() && bbox.is_none() {
        return Err("nothing to segment: give --click X,Y or --box X0,Y0,X1,Y1".into());
    }
    Ok(Prompt { points, bbox, mask: None })
}

fn candidate_json(candidate: &promptseg::model::Candidate, overlay: &Path) -> serde_json::Value {
    let b = candidate.mask.bbox.map(|b| [b.x, b.y, b.width, b.height]);
    json!({
        "iou": candidate.iou,
        "stability": candidate.mask.stability,
        "area": candidate.mask.area,
        "box": b,
        "overlay": overlay,
    })
}

/// `overlay.png`, then `overlay.2.png`, ...
fn numbered(path: &Path, index: usize) -> PathBuf {
    if index == 0 {
        return path.to_owned();
    }
    let extension = path.extension().map_or_else(|| "png".into(), |e| e.to_string_lossy().into_owned());
    path.with_extension(format!("{}.{extension}", index + 1))
}

fn save(path: &Path, outcome: image::ImageResult<()>) -> Result<(), String> {
    outcome.map_err(|e| format!("{}: {e}", path.display()))
}
