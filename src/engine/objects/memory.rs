//! Memory of an object that a model with memory follows, and the order of its frames.
//!
//! Positions count the frames over which objects were followed. A frame that arrived while another one was processed is
//! skipped and leaves no gap between positions.

use std::collections::{BTreeMap, VecDeque};

use crate::video::{Position, Track};

/// Most frames whose positions are stored: more than the default number of kept frames.
const MAX_POSITIONS: usize = 256;

/// Memory of one object.
#[derive(Debug, Clone, Default)]
pub struct ObjectMemory {
    pub track: Track,
    /// Frame number of each prompt that the track has not encoded yet. A skipped frame shares its position with another
    /// frame, so that the position alone does not identify the frame.
    pub prompted: BTreeMap<Position, u64>,
}

/// Memory of an object before a prompt is undone.
pub struct MemorySnapshot {
    /// Number of the frame that was prompted last.
    pub prompted_on: Option<u64>,
    /// Width and height of that frame's image, in pixels.
    pub image_size: (u32, u32),
    pub memory: ObjectMemory,
}

/// Positions of the last frames in the order of tracking.
#[derive(Debug, Default)]
pub struct FramePositions {
    /// Frame number and position, in ascending order.
    last: VecDeque<(u64, Position)>,
}

impl FramePositions {
    /// Returns the position of a frame. A frame newer than all others gets the next position; a skipped frame has the
    /// position of the frame before it.
    pub fn position(&mut self, number: u64) -> Position {
        let newest = self.last.back().copied();
        if let Some((_, position)) = self.last.iter().rev().find(|(n, _)| *n <= number)
            && newest.is_some_and(|(n, _)| n >= number)
        {
            return *position;
        }
        match newest {
            // Older than all stored frames.
            Some((n, _)) if n > number => self.last.front().map_or(0, |(_, position)| *position),
            _ => {
                let position = newest.map_or(0, |(_, position)| position + 1);
                if self.last.len() == MAX_POSITIONS {
                    self.last.pop_front();
                }
                self.last.push_back((number, position));
                position
            }
        }
    }
}
