//! Prompts of `promptseg track`: a point, a box or a mask after `[OBJECT][@FRAME]:`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{OsStringValueParser, TypedValueParser};
use promptseg::prompt::{BoxPrompt, Point, Prompt};

use crate::failure::Failure;

/// Largest id of an object: label pictures have 16 bits.
pub(super) const MAX_OBJECT: u32 = u16::MAX as u32;

/// A point, a box or a mask file, with the object and the frame that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed<T> {
    object: u32,
    frame: usize,
    value: T,
}

impl<T: FromStr> FromStr for Placed<T>
where
    T::Err: std::fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, value) = match text.split_once(':') {
            Some((place, value)) if place.bytes().all(|b| b.is_ascii_digit() || b == b'@') => (place, value),
            _ => ("", text),
        };
        let (object, frame) = place.split_once('@').unwrap_or((place, ""));
        let number = |text: &str, default: usize, kind: &str| match text {
            "" => Ok(default),
            text => text.parse().map_err(|_| format!("'{text}' is not the number of {kind}")),
        };
        let object = number(object, 1, "an object")?;
        let object = u32::try_from(object).ok().filter(|id| (1..=MAX_OBJECT).contains(id));
        Ok(Placed {
            object: object.ok_or_else(|| format!("objects are numbered from 1 to {MAX_OBJECT}"))?,
            frame: number(frame, 0, "a frame")?,
            value: value.parse().map_err(|e| format!("{e}"))?,
        })
    }
}

/// Reads the object, the frame and the path of a mask. The path may hold bytes that are not UTF-8.
fn placed_mask(text: OsString) -> Result<Placed<PathBuf>, String> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|b| !b.is_ascii_digit() && *b != b'@').filter(|i| bytes[*i] == b':');
    let place = colon.map_or("", |i| std::str::from_utf8(&bytes[..=i]).unwrap_or_default());
    let file = PathBuf::from(OsStr::from_bytes(&bytes[place.len()..]));
    // Object and frame have the syntax of other prompts. "FILE" stands for the path, which may not be a `str`.
    let Placed { object, frame, .. } = Placed::<String>::from_str(&format!("{place}FILE"))?;
    Ok(Placed { object, frame, value: file })
}

#[derive(clap::Args)]
pub struct PromptArguments {
    /// A point on the object, in pixels from the top-left corner of the frame; X,Y,0 is a point outside the object. Repeatable.
    #[arg(long, value_name = "[OBJECT][@FRAME:]X,Y[,0]", allow_hyphen_values = true)]
    point: Vec<Placed<Point>>,
    /// A box around the object on a frame: two corners. Repeatable.
    #[arg(long = "box", value_name = "[OBJECT][@FRAME:]X0,Y0,X1,Y1", allow_hyphen_values = true)]
    bbox: Vec<Placed<BoxPrompt>>,
    /// The mask of the object on a frame: a picture of the frame's size, black outside and one other colour inside. Repeatable.
    #[arg(long, value_name = "[OBJECT][@FRAME:]FILE", value_parser = OsStringValueParser::new().try_map(placed_mask))]
    mask: Vec<Placed<PathBuf>>,
}

/// Prompt of one object on one frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FramePrompt {
    /// Points and box.
    pub prompt: Prompt,
    /// File of the mask.
    pub mask: Option<PathBuf>,
}

/// Prompts by frame and object.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompts(BTreeMap<usize, BTreeMap<u32, FramePrompt>>);

impl PromptArguments {
    /// Returns the files of the masks.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.mask.iter().map(|mask| &mask.value)
    }
}

impl Prompts {
    /// Reads the prompts. `has_text`: whether phrases name objects too, so that there may be no prompt.
    pub fn read(arguments: &PromptArguments, has_text: bool) -> Result<Self, Failure> {
        let prompts = Self::collect(arguments).map_err(Failure::Usage)?;
        if prompts.0.is_empty() && !has_text {
            let message = "nothing to track: give --point X,Y, --box X0,Y0,X1,Y1, --mask FILE or --text PHRASES";
            return Err(Failure::Usage(message.to_owned()));
        }
        Ok(prompts)
    }

    /// Groups the prompts by frame and object.
    fn collect(arguments: &PromptArguments) -> Result<Self, String> {
        let mut all: BTreeMap<usize, BTreeMap<u32, FramePrompt>> = BTreeMap::new();
        for Placed { object, frame, value } in &arguments.point {
            all.entry(*frame).or_default().entry(*object).or_default().prompt.points.push(*value);
        }
        for Placed { object, frame, value } in &arguments.bbox {
            let on_frame = all.entry(*frame).or_default().entry(*object).or_default();
            if on_frame.prompt.bbox.replace(*value).is_some() {
                return Err(format!(
                    "object {object} has two boxes on frame {frame}; number the objects: --box 2@{frame}:..."
                ));
            }
        }
        for Placed { object, frame, value } in &arguments.mask {
            let on_frame = all.entry(*frame).or_default().entry(*object).or_default();
            if on_frame.mask.replace(value.clone()).is_some() {
                return Err(format!(
                    "object {object} has two masks on frame {frame}; number the objects: --mask 2@{frame}:..."
                ));
            }
        }
        Ok(Prompts(all))
    }

    /// Returns the prompts on a frame, by object.
    pub fn on(&self, frame: usize) -> impl Iterator<Item = (u32, &FramePrompt)> {
        self.0.get(&frame).into_iter().flatten().map(|(id, on_frame)| (*id, on_frame))
    }

    /// Returns the first frame with a prompt.
    pub fn first(&self) -> usize {
        self.0.keys().next().copied().unwrap_or_default()
    }

    /// Returns the last frame with a prompt.
    pub fn last(&self) -> usize {
        self.0.keys().next_back().copied().unwrap_or_default()
    }

    /// Returns the ids of all objects.
    pub fn objects(&self) -> BTreeSet<u32> {
        self.0.values().flat_map(|objects| objects.keys().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_and_frame_are_optional() {
        let read = |text: &str| text.parse::<Placed<Point>>().map(|a| (a.object, a.frame, a.value));
        let point = Point::foreground(10.0, 20.5);
        assert_eq!(read("10,20.5"), Ok((1, 0, point)));
        assert_eq!(read("3:10,20.5"), Ok((3, 0, point)));
        assert_eq!(read("@7:10,20.5"), Ok((1, 7, point)));
        assert_eq!(read("3@7:10,20.5,0"), Ok((3, 7, Point::background(10.0, 20.5))));
        let file = "2@5:C:\\masks\\a:b.png".parse::<Placed<PathBuf>>().unwrap();
        assert_eq!((file.object, file.value), (2, PathBuf::from("C:\\masks\\a:b.png")));
        for (bad, part) in [("0:1,2", "from 1"), ("70000:1,2", "65535"), ("2@@3:1,2", "not the number"), ("1@2:x", "x")]
        {
            let error = read(bad).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }

    #[test]
    fn prompts_are_grouped_by_frame_and_object() {
        let arguments = PromptArguments {
            point: ["1,1", "2@5:3,3", "2,2,0"].map(|p| p.parse().unwrap()).to_vec(),
            bbox: ["2@5:0,0,9,9"].map(|b| b.parse().unwrap()).to_vec(),
            mask: Vec::new(),
        };
        let prompts = Prompts::collect(&arguments).unwrap();
        let points = |frame| prompts.on(frame).map(|(id, s)| (id, s.prompt.points.len(), s.prompt.bbox.is_some()));
        assert_eq!(points(0).collect::<Vec<_>>(), [(1, 2, false)]);
        assert_eq!(points(5).collect::<Vec<_>>(), [(2, 1, true)]);
        assert_eq!((prompts.first(), prompts.last(), prompts.objects().len()), (0, 5, 2));
        let twice = PromptArguments { bbox: ["0,0,9,9", "1,1,5,5"].map(|b| b.parse().unwrap()).to_vec(), ..arguments };
        assert!(Prompts::collect(&twice).unwrap_err().contains("--box 2@0"));
    }
}
