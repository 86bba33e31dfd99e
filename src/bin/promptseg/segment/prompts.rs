//! Points, boxes and a mask on the command line become the prompts of objects.

use std::path::PathBuf;
use std::str::FromStr;

use promptseg::pixels::{Geometry, MaskInput};
use promptseg::prompt::{BoxPrompt, LowResLogits, Point, Prompt};

use crate::{Failure, read_image};

#[derive(clap::Args)]
pub struct PromptArguments {
    /// The object is here, in pixels from the top-left corner; with ,0 behind it: it is not here. Repeatable.
    #[arg(long, value_name = "X,Y[,0]", allow_hyphen_values = true)]
    point: Vec<Click>,
    /// The object is in this box: two corners. Several boxes are several objects.
    #[arg(long = "box", value_name = "X0,Y0,X1,Y1", allow_hyphen_values = true)]
    bbox: Vec<Corners>,
    /// The object is about here: a picture of the image's size, white inside and black outside.
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    /// Every --point is an object of its own.
    #[arg(long, requires = "point", conflicts_with_all = ["bbox", "mask"])]
    each: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Click(Point);

impl FromStr for Click {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match numbers(text)?[..] {
            [x, y] | [x, y, 1.0] => Ok(Click(Point::foreground(x, y))),
            [x, y, 0.0] => Ok(Click(Point::background(x, y))),
            [_, _, label] => Err(format!("label {label}; expected 1 (the object is here) or 0 (it is not)")),
            ref other => Err(format!("{} numbers; expected X,Y or X,Y,0", other.len())),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Corners(BoxPrompt);

impl FromStr for Corners {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match numbers(text)?[..] {
            [x0, y0, x1, y1] if x0 < x1 && y0 < y1 => {
                Ok(Corners(BoxPrompt { x_min: x0, y_min: y0, x_max: x1, y_max: y1 }))
            }
            [_, _, _, _] => Err("no area; expected X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1".to_owned()),
            ref other => Err(format!("{} numbers; expected X0,Y0,X1,Y1", other.len())),
        }
    }
}

fn numbers(text: &str) -> Result<Vec<f32>, String> {
    let number = |part: &str| match part.trim().parse::<f32>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("'{part}' is not a number; expected numbers with commas between them")),
    };
    text.split(',').map(number).collect()
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
            Some(path) => {
                let image = read_image(path)?;
                let data = image.pixels().map(|p| if p.0.iter().any(|v| *v > 127) { 255 } else { 0 }).collect();
                Some(MaskInput::Binary { width: image.width(), height: image.height(), data })
            }
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
    let points: Vec<Point> = arguments.point.iter().map(|Click(point)| *point).collect();
    let of = |points: Vec<Point>, bbox: Option<&Corners>| Prompt { points, bbox: bbox.map(|c| c.0), mask: None };
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

    #[test]
    fn what_is_no_point_or_box_is_said() {
        for (text, says) in
            [("1", "1 numbers"), ("1,a", "'a' is not a number"), ("1,2,3", "label 3"), ("1,inf", "'inf'")]
        {
            let said = text.parse::<Click>().unwrap_err();
            assert!(said.contains(says), "{said}");
        }
        assert!("5,5,1,9".parse::<Corners>().unwrap_err().contains("X0 < X1"));
    }
}
