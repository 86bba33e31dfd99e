//! A piece of a track: one object, followed from one mask over the frames of one window.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::record::{ObjectRecord, Source};

/// What a tracklet depends on, apart from the images and the settings of the run. A stored tracklet with an equal beginning is
/// not computed again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beginning {
    pub object: u32,
    pub class: String,
    pub source: Source,
    pub detection_score: Option<f64>,
    /// Index of the frame that the whole span is followed from.
    pub anchor: usize,
    /// Index of the frame whose mask the memory begins with: the anchor, or the last frame of the window before.
    pub at: usize,
    /// Width and height of that frame in pixels.
    pub size: (u32, u32),
    /// The mask as COCO's compressed run lengths.
    pub counts: String,
    /// Indices of the frames of this window to which the object is followed.
    pub frames: Range<usize>,
}

impl Beginning {
    /// Begins at an anchor with the mask of an object, which lies in an image of this size.
    pub fn at_anchor(anchor: usize, object: &ObjectRecord, size: (u32, u32), frames: Range<usize>) -> Self {
        Beginning {
            object: object.object,
            class: object.class.clone(),
            source: object.source,
            detection_score: object.detection_score,
            anchor,
            at: anchor,
            size,
            counts: object.counts.clone(),
            frames,
        }
    }

    pub fn is_backward(&self) -> bool {
        self.frames.start < self.at
    }
}

/// An object on a frame to which it was followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// Index of the frame among the frames of the run.
    pub at: usize,
    /// Width and height of the frame in pixels.
    pub size: (u32, u32),
    pub object: ObjectRecord,
}

/// An object over the frames of one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tracklet {
    pub beginning: Beginning,
    /// Frames on which the object was seen, in the order of following.
    pub sightings: Vec<Sighting>,
    /// Number of the object of the first pass whose mask this object met, which ended the tracklet.
    pub met: Option<u32>,
    /// Frame on which the object was given up as lost, which ended the tracklet.
    pub lost: Option<usize>,
}

impl Tracklet {
    /// Makes a tracklet without sightings.
    pub fn new(beginning: Beginning) -> Self {
        Tracklet { beginning, sightings: Vec::new(), met: None, lost: None }
    }

    /// Returns what following from another beginning would give, if this tracklet has it: the beginning is the same, and so are the
    /// frames, or the first of them.
    pub fn part(&self, beginning: &Beginning) -> Option<Tracklet> {
        let (own, frames) = (&self.beginning.frames, &beginning.frames);
        let has_frames = match beginning.is_backward() {
            true => own.end == frames.end && own.start <= frames.start,
            false => own.start == frames.start && own.end >= frames.end,
        };
        if !has_frames || self.beginning != (Beginning { frames: own.clone(), ..beginning.clone() }) {
            return None;
        }
        // Meetings are those of objects of detections, whose frames never change.
        let sightings = self.sightings.iter().filter(|sighting| frames.contains(&sighting.at)).cloned().collect();
        let lost = self.lost.filter(|at| frames.contains(at));
        Some(Tracklet { beginning: beginning.clone(), sightings, met: self.met, lost })
    }

    /// Returns how the object goes on over `frames` of the next window. `last` is the last frame of this window that has an
    /// image. None if the object ended, or is hidden on that frame.
    pub fn next(&self, frames: Range<usize>, last: Option<usize>) -> Option<Beginning> {
        if self.met.is_some() || self.lost.is_some() || frames.is_empty() {
            return None;
        }
        let beginning = Beginning { frames, ..self.beginning.clone() };
        let Some(last) = last.filter(|last| self.beginning.frames.contains(last)) else { return Some(beginning) };
        let sighting = self.sightings.iter().find(|sighting| sighting.at == last)?;
        Some(Beginning { at: last, size: sighting.size, counts: sighting.object.counts.clone(), ..beginning })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracklet(seen: &[usize]) -> Tracklet {
        let beginning = Beginning {
            object: 3,
            class: "cup".into(),
            source: Source::Detection,
            detection_score: Some(0.5),
            anchor: 25,
            at: 25,
            size: (4, 2),
            counts: "26".into(),
            frames: 20..25,
        };
        let sighting = |at: &usize| Sighting {
            at: *at,
            size: (5, 2),
            object: ObjectRecord {
                object: 3,
                class: "cup".into(),
                source: Source::Detection,
                iou: 0.9,
                stability: 1.0,
                object_score: None,
                detection_score: None,
                area: 1,
                bbox: [0, 0, 1, 1],
                counts: format!("mask of {at}"),
            },
        };
        Tracklet { sightings: seen.iter().map(sighting).collect(), ..Tracklet::new(beginning) }
    }

    #[test]
    fn an_object_goes_on_with_its_mask_on_the_last_frame_with_an_image() {
        let next = tracklet(&[24, 22, 20]).next(10..20, Some(20)).unwrap();
        assert_eq!((next.at, next.size, next.counts.as_str(), next.frames), (20, (5, 2), "mask of 20", 10..20));
        assert_eq!(next.anchor, 25);
        assert_eq!(tracklet(&[24, 22]).next(10..20, Some(22)).unwrap().at, 22, "the frames 20 and 21 have no image");
        assert_eq!(tracklet(&[]).next(10..20, None).unwrap().at, 25, "no frame of the window has an image");
        assert_eq!(tracklet(&[]).next(10..20, Some(27)).unwrap().at, 25, "only frames before the object have one");
    }

    #[test]
    fn a_tracklet_has_its_first_frames_too_but_no_others() {
        let whole = Tracklet { lost: Some(21), ..tracklet(&[24, 22]) };
        let of = |frames| Beginning { frames, ..whole.beginning.clone() };
        assert_eq!(whole.part(&of(20..25)), Some(whole.clone()));
        let part = whole.part(&of(23..25)).unwrap();
        assert_eq!((part.sightings.len(), part.lost, part.beginning), (1, None, of(23..25)));
        assert_eq!(whole.part(&of(19..25)), None, "more frames");
        assert_eq!(whole.part(&of(20..24)), None, "another first frame");
        assert_eq!(whole.part(&Beginning { counts: "17".into(), ..of(20..25) }), None, "another mask");
        let forward = Beginning { at: 19, ..of(20..25) };
        let forward = Tracklet { beginning: forward, ..tracklet(&[20, 24]) };
        let first = Beginning { frames: 20..22, ..forward.beginning.clone() };
        assert_eq!(forward.part(&first).unwrap().sightings.len(), 1);
    }

    #[test]
    fn an_object_that_ended_or_is_hidden_does_not_go_on() {
        let seen = tracklet(&[24, 20]);
        assert_eq!(tracklet(&[24, 22]).next(10..20, Some(20)), None);
        assert_eq!(seen.next(20..20, Some(20)), None);
        assert_eq!(Tracklet { met: Some(1), ..seen.clone() }.next(10..20, Some(20)), None);
        assert_eq!(Tracklet { lost: Some(20), ..seen }.next(10..20, Some(20)), None);
    }
}
