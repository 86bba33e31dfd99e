//! Points, boxes and a mask on the command line become the prompts of objects.

use std::path::PathBuf;

use promptseg::pixels::{Geometry, MaskInput};
use promptseg::prompt::{BoxPrompt, LowResLogits, Point, Prompt};

use crate::{Failure, read_mask};

#[derive(clap::Args)]
pub struct PromptArguments {
    /// The object is here, in pixels from the top-left corner; with ,0 behind it: it is not here. Repeatable.
    #[arg(long, value_name = "X,Y[,0]", allow_hyphen_values = true)]
    point: Vec<Point>,
    /// The object is in this box: two corners. Several boxes are several objects.
    #[arg(long = "box", value_name = "X0,Y0,X1,Y1", allow_hyphen_values = true)]
    bbox: Vec<BoxPrompt>,
    /// The object is about here: a picture of the image's size, black outside and one other colour inside.
    #[arg(long, value_name = "FILE")]
    pub mask: Option<PathBuf>,
    /// Every --point is an object of its own.
    #[arg(long, requires = "point", conflicts_with_all = ["bbox", "mask"])]
    each: bool,
}

/// The prompts of all objects, for every picture.
pub struct Prompts {
    objects: Vec<Prompt>,
    /// Of the only object: what it is to the model depends on the picture.
    mask: Option<MaskInput>,
}

impl Prompts {
    pub fn read(arguments: &PromptArguments) -> Result<Prompts, Failure> {
        let objects = objects(arguments).map_err(Failure::Usage)?;
        let mask = match &arguments.mask {
            Some(path) => Some(read_mask(path)?),
            None => None,
        };
        Ok(Prompts { objects, mask })
    }

    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// The prompts for a picture.
    pub fn on(&self, geometry: &Geometry, side: usize) -> Result<Vec<Prompt>, String> {
        let mut prompts = self.objects.clone();
        if let Some(mask) = &self.mask {
            let (MaskInput::Binary { width, height, .. } | MaskInput::Logits { width, height, .. }) = mask;
            if (*width, *height) != geometry.image {
                let (w, h) = geometry.image;
                return Err(format!("--mask is of {width}x{height} pixels, the image of {w}x{h}; they must be alike"));
            }
            let low_res = mask.to_low_res(geometry, side).map(|data| LowResLogits { side, data: data.into() });
            prompts.iter_mut().for_each(|prompt| prompt.mask.clone_from(&low_res));
        }
        Ok(prompts)
    }
}

fn objects(arguments: &PromptArguments) -> Result<Vec<Prompt>, String> {
    let points = arguments.point.clone();
    let of = |points: Vec<Point>, bbox: Option<&BoxPrompt>| Prompt { points, bbox: bbox.copied(), mask: None };
    match arguments.bbox.as_slice() {
        [] if points.is_empty() && arguments.mask.is_none() => {
            Err("nothing to segment: give --point X,Y, --box X0,Y0,X1,Y1 or --mask FILE".to_owned())
        }
        [] if arguments.each => Ok(points.into_iter().map(|point| of(vec![point], None)).collect()),
        [] => Ok(vec![of(points, None)]),
        [one] => Ok(vec![of(points, Some(one))]),
        several if points.is_empty() && arguments.mask.is_none() => {
            Ok(several.iter().map(|corners| of(Vec::new(), Some(corners))).collect())
        }
        _ => {
            Err("several --box are an object each, so that --point and --mask belong to none; give one --box, or the \
                  boxes alone"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(point: &[&str], bbox: &[&str], each: bool) -> PromptArguments {
        PromptArguments {
            point: point.iter().map(|p| p.parse().unwrap()).collect(),
            bbox: bbox.iter().map(|b| b.parse().unwrap()).collect(),
            mask: None,
            each,
        }
    }

    #[test]
    fn points_are_one_object_and_boxes_one_each() {
        let one = objects(&given(&["1,2", "3,4,0"], &["0,0,9,9"], false)).unwrap();
        assert_eq!(
            one,
            [Prompt::bbox(0.0, 0.0, 9.0, 9.0)
                .with_point(Point::foreground(1.0, 2.0))
                .with_point(Point::background(3.0, 4.0))]
        );
        assert_eq!(objects(&given(&[], &["0,0,9,9", "1,1,2,2"], false)).unwrap().len(), 2);
        assert_eq!(objects(&given(&["1,2", "3,4"], &[], true)).unwrap().len(), 2);
        assert!(objects(&given(&["1,2"], &["0,0,9,9", "1,1,2,2"], false)).is_err());
        assert!(objects(&given(&[], &[], false)).unwrap_err().contains("--point"));
    }
}
