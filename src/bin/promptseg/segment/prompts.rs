//! Prompts of `promptseg segment`: points, boxes and a mask on the command line, grouped into objects.

use std::path::PathBuf;

use promptseg::pixels::{Geometry, MaskInput};
use promptseg::prompt::{BoxPrompt, LowResLogits, Point, Prompt};

use crate::failure::Failure;
use crate::pictures::read_mask;

#[derive(clap::Args)]
pub struct PromptArguments {
    /// A point on the object, in pixels from the top-left corner; X,Y,0 is a point outside the object. Repeatable.
    #[arg(long, value_name = "X,Y[,0]", allow_hyphen_values = true)]
    point: Vec<Point>,
    /// A box around the object: two corners. Several boxes are several objects.
    #[arg(long = "box", value_name = "X0,Y0,X1,Y1", allow_hyphen_values = true)]
    bbox: Vec<BoxPrompt>,
    /// A rough mask of the object: a picture of the image's size, black outside and one other colour inside.
    #[arg(long, value_name = "FILE")]
    pub mask: Option<PathBuf>,
    /// Make every --point an object of its own.
    #[arg(long, requires = "point", conflicts_with_all = ["bbox", "mask"])]
    each: bool,
}

/// Prompts of all objects, the same for every picture.
pub struct Prompts {
    objects: Vec<Prompt>,
    /// Mask of the only object. Its low-resolution logits depend on the size of the picture.
    mask: Option<MaskInput>,
}

impl Prompts {
    /// Reads the prompts. None with `--text`, whose objects are found on each picture.
    pub fn read(arguments: &PromptArguments, has_text: bool) -> Result<Option<Prompts>, Failure> {
        let is_empty = arguments.point.is_empty() && arguments.bbox.is_empty() && arguments.mask.is_none();
        match (has_text, is_empty) {
            (true, true) => Ok(None),
            (true, false) => {
                let message = "--text finds the objects by itself: leave out --point, --box and --mask";
                Err(Failure::Usage(message.to_owned()))
            }
            (false, _) => Self::of(arguments).map(Some),
        }
    }

    fn of(arguments: &PromptArguments) -> Result<Prompts, Failure> {
        let objects = objects(arguments).map_err(Failure::Usage)?;
        let mask = match &arguments.mask {
            Some(path) => Some(read_mask(path)?),
            None => None,
        };
        Ok(Prompts { objects, mask })
    }

    /// Returns the number of objects.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// Returns the prompts for a picture; `side` is the side of the model's low-resolution logits.
    pub fn on(&self, geometry: &Geometry, side: usize) -> Result<Vec<Prompt>, String> {
        let mut prompts = self.objects.clone();
        if let Some(mask) = &self.mask {
            let (MaskInput::Binary { width, height, .. } | MaskInput::Logits { width, height, .. }) = mask;
            if (*width, *height) != geometry.image {
                let (w, h) = geometry.image;
                return Err(format!(
                    "--mask is {width}x{height} pixels, the image is {w}x{h}; give a mask of the image's size"
                ));
            }
            let low_res = mask.to_low_res(geometry, side).map(|data| LowResLogits { side, data: data.into() });
            prompts.iter_mut().for_each(|prompt| prompt.mask.clone_from(&low_res));
        }
        Ok(prompts)
    }
}

/// Groups points and boxes into the prompts of objects.
fn objects(arguments: &PromptArguments) -> Result<Vec<Prompt>, String> {
    let points = arguments.point.clone();
    let object = |points: Vec<Point>, bbox: Option<&BoxPrompt>| Prompt { points, bbox: bbox.copied(), mask: None };
    match arguments.bbox.as_slice() {
        [] if points.is_empty() && arguments.mask.is_none() => {
            Err("nothing to segment: give --point X,Y, --box X0,Y0,X1,Y1, --mask FILE or --text PHRASES".to_owned())
        }
        [] if arguments.each => Ok(points.into_iter().map(|point| object(vec![point], None)).collect()),
        [] => Ok(vec![object(points, None)]),
        [only] => Ok(vec![object(points, Some(only))]),
        several if points.is_empty() && arguments.mask.is_none() => {
            Ok(several.iter().map(|corners| object(Vec::new(), Some(corners))).collect())
        }
        _ => Err("several --box are an object each, so --point and --mask belong to none of them; give one --box, or \
                 the boxes alone"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(point: &[&str], bbox: &[&str], each: bool) -> PromptArguments {
        PromptArguments {
            point: point.iter().map(|p| p.parse().unwrap()).collect(),
            bbox: bbox.iter().map(|b| b.parse().unwrap()).collect(),
            mask: None,
            each,
        }
    }

    #[test]
    fn all_points_are_one_object_and_each_box_is_an_object() {
        let one = objects(&arguments(&["1,2", "3,4,0"], &["0,0,9,9"], false)).unwrap();
        assert_eq!(
            one,
            [Prompt::bbox(0.0, 0.0, 9.0, 9.0)
                .with_point(Point::foreground(1.0, 2.0))
                .with_point(Point::background(3.0, 4.0))]
        );
        assert_eq!(objects(&arguments(&[], &["0,0,9,9", "1,1,2,2"], false)).unwrap().len(), 2);
        assert_eq!(objects(&arguments(&["1,2", "3,4"], &[], true)).unwrap().len(), 2);
        assert!(objects(&arguments(&["1,2"], &["0,0,9,9", "1,1,2,2"], false)).is_err());
        assert!(objects(&arguments(&[], &[], false)).unwrap_err().contains("--point"));
    }
}
