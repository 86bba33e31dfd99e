//! What a model with memory keeps of an object, and the order of frames that it counts in.
//!
//! Frames count in the order in which objects were followed over them. A frame that came while the last one was at work is
//! skipped, and leaves no gap: memories are of the frames that were processed.

use std::collections::{BTreeMap, VecDeque};

use crate::video::{Position, Track};

/// Frames whose positions are known: more than are kept for prompts by default.
const POSITIONS: usize = 256;

/// What a model with memory keeps of an object.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    pub track: Track,
    /// Number of the frame of each prompt that the track has not settled: a skipped frame shares its position.
    pub prompted: BTreeMap<Position, u64>,
}

/// What an object remembers before a prompt is taken back.
pub struct Remembered {
    /// Number of the frame that it was prompted on.
    pub prompted_on: Option<u64>,
    /// Width and height of the picture, in pixels.
    pub image: (u32, u32),
    pub memory: Memory,
}

/// Places of frames in the order of tracking.
#[derive(Debug, Default)]
pub struct Positions {
    /// Number and position of the last frames, in order.
    last: VecDeque<(u64, Position)>,
}

impl Positions {
    /// The position of a frame; a newer one than all so far gets the next. One that was skipped counts as the last that was
    /// followed over before it.
    pub fn of(&mut self, number: u64) -> Position {
        let newest = self.last.back().copied();
        if let Some((_, position)) = self.last.iter().rev().find(|(n, _)| *n <= number)
            && newest.is_some_and(|(n, _)| n >= number)
        {
            return *position;
        }
        match newest {
            // Older than all that is known.
            Some((n, _)) if n > number => self.last.front().map_or(0, |(_, position)| *position),
            _ => {
                let position = newest.map_or(0, |(_, position)| position + 1);
                if self.last.len() == POSITIONS {
                    self.last.pop_front();
                }
                self.last.push_back((number, position));
                position
            }
        }
    }
}
