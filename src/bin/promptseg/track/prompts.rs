//! What is said of which object on which frame: `[OBJECT][@FRAME]:` before a point, a box or a mask.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{OsStringValueParser, TypedValueParser};
use promptseg::prompt::{BoxPrompt, Point, Prompt};

use crate::Failure;

/// Largest id: label pictures have 16 bits.
const MOST: u32 = u16::MAX as u32;

/// A point, a box or a mask file, with its object and its frame.
#[derive(Debug, Clone, PartialEq)]
pub struct At<T> {
    object: u32,
    frame: usize,
    what: T,
}

impl<T: FromStr> FromStr for At<T>
where
    T::Err: std::fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, what) = match text.split_once(':') {
            Some((place, what)) if place.bytes().all(|b| b.is_ascii_digit() || b == b'@') => (place, what),
            _ => ("", text),
        };
        let (object, frame) = place.split_once('@').unwrap_or((place, ""));
        let number = |text: &str, default: usize, of: &str| match text {
            "" => Ok(default),
            text => text.parse().map_err(|_| format!("'{text}' is not the number of {of}")),
        };
        let object = number(object, 1, "an object")?;
        let object = u32::try_from(object).ok().filter(|id| (1..=MOST).contains(id));
        Ok(At {
            object: object.ok_or_else(|| format!("objects are numbered from 1 to {MOST}"))?,
            frame: number(frame, 0, "a frame")?,
            what: what.parse().map_err(|e| format!("{e}"))?,
        })
    }
}

/// A mask's place and its path, which may be any bytes.
fn mask_at(text: OsString) -> Result<At<PathBuf>, String> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|b| !b.is_ascii_digit() && *b != b'@').filter(|at| bytes[*at] == b':');
    let place = colon.map_or("", |at| std::str::from_utf8(&bytes[..=at]).unwrap_or_default());
    let file = PathBuf::from(OsStr::from_bytes(&bytes[place.len()..]));
    // The place alone, as of any other prompt; whatever is said of is put in afterwards.
    let At { object, frame, .. } = At::<String>::from_str(&format!("{place}FILE"))?;
    Ok(At { object, frame, what: file })
}

#[derive(clap::Args)]
pub struct PromptArguments {
    /// The object is here on a frame, in pixels from the top-left corner; with ,0 behind it: it is not here. Repeatable.
    #[arg(long, value_name = "[OBJECT][@FRAME:]X,Y[,0]", allow_hyphen_values = true)]
    point: Vec<At<Point>>,
    /// The object is in this box on a frame: two corners. Repeatable.
    #[arg(long = "box", value_name = "[OBJECT][@FRAME:]X0,Y0,X1,Y1", allow_hyphen_values = true)]
    bbox: Vec<At<BoxPrompt>>,
    /// The object is this on a frame: a picture of the frame's size, black outside and one other colour inside. Repeatable.
    #[arg(long, value_name = "[OBJECT][@FRAME:]FILE", value_parser = OsStringValueParser::new().try_map(mask_at))]
    mask: Vec<At<PathBuf>>,
}

/// All that is said of one object on one frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    pub prompt: Prompt,
    pub mask: Option<PathBuf>,
}

/// By frame and object.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompts(BTreeMap<usize, BTreeMap<u32, Said>>);

impl PromptArguments {
    /// The files of masks.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.mask.iter().map(|mask| &mask.what)
    }
}

impl Prompts {
    pub fn read(arguments: &PromptArguments) -> Result<Self, Failure> {
        Self::of(arguments).map_err(Failure::Usage)
    }

    fn of(arguments: &PromptArguments) -> Result<Self, String> {
        let mut all: BTreeMap<usize, BTreeMap<u32, Said>> = BTreeMap::new();
        for At { object, frame, what } in &arguments.point {
            all.entry(*frame).or_default().entry(*object).or_default().prompt.points.push(*what);
        }
        for At { object, frame, what } in &arguments.bbox {
            let said = all.entry(*frame).or_default().entry(*object).or_default();
            if said.prompt.bbox.replace(*what).is_some() {
                return Err(format!(
                    "object {object} has two boxes on frame {frame}; number them: --box 2@{frame}:..."
                ));
            }
        }
        for At { object, frame, what } in &arguments.mask {
            let said = all.entry(*frame).or_default().entry(*object).or_default();
            if said.mask.replace(what.clone()).is_some() {
                return Err(format!(
                    "object {object} has two masks on frame {frame}; number them: --mask 2@{frame}:..."
                ));
            }
        }
        if all.is_empty() {
            return Err("nothing to track: give --point X,Y, --box X0,Y0,X1,Y1 or --mask FILE".to_owned());
        }
        Ok(Prompts(all))
    }

    pub fn on(&self, frame: usize) -> impl Iterator<Item = (u32, &Said)> {
        self.0.get(&frame).into_iter().flatten().map(|(id, said)| (*id, said))
    }

    pub fn first(&self) -> usize {
        self.0.keys().next().copied().unwrap_or_default()
    }

    pub fn last(&self) -> usize {
        self.0.keys().next_back().copied().unwrap_or_default()
    }

    pub fn objects(&self) -> BTreeSet<u32> {
        self.0.values().flat_map(|objects| objects.keys().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_and_frame_may_be_left_out() {
        let read = |text: &str| text.parse::<At<Point>>().map(|a| (a.object, a.frame, a.what));
        let point = Point::foreground(10.0, 20.5);
        assert_eq!(read("10,20.5"), Ok((1, 0, point)));
        assert_eq!(read("3:10,20.5"), Ok((3, 0, point)));
        assert_eq!(read("@7:10,20.5"), Ok((1, 7, point)));
        assert_eq!(read("3@7:10,20.5,0"), Ok((3, 7, Point::background(10.0, 20.5))));
        let file = "2@5:C:\\masks\\a:b.png".parse::<At<PathBuf>>().unwrap();
        assert_eq!((file.object, file.what), (2, PathBuf::from("C:\\masks\\a:b.png")));
        for (bad, says) in [("0:1,2", "from 1"), ("70000:1,2", "65535"), ("2@@3:1,2", "not the number"), ("1@2:x", "x")]
        {
            let said = read(bad).unwrap_err();
            assert!(said.contains(says), "{bad}: {said}");
        }
    }

    #[test]
    fn what_is_said_is_gathered_by_frame_and_object() {
        let arguments = PromptArguments {
            point: ["1,1", "2@5:3,3", "2,2,0"].map(|p| p.parse().unwrap()).to_vec(),
            bbox: ["2@5:0,0,9,9"].map(|b| b.parse().unwrap()).to_vec(),
            mask: Vec::new(),
        };
        let prompts = Prompts::of(&arguments).unwrap();
        let points = |frame| prompts.on(frame).map(|(id, s)| (id, s.prompt.points.len(), s.prompt.bbox.is_some()));
        assert_eq!(points(0).collect::<Vec<_>>(), [(1, 2, false)]);
        assert_eq!(points(5).collect::<Vec<_>>(), [(2, 1, true)]);
        assert_eq!((prompts.first(), prompts.last(), prompts.objects().len()), (0, 5, 2));
        let twice = PromptArguments { bbox: ["0,0,9,9", "1,1,5,5"].map(|b| b.parse().unwrap()).to_vec(), ..arguments };
        assert!(Prompts::of(&twice).unwrap_err().contains("--box 2@0"));
    }
}
