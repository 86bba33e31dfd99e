//! The tree of frames over time: the counterpart of tf2's `BufferCore` (geometry2, tf2/src/buffer_core.cpp), on
//! nalgebra.

use std::collections::HashMap;

use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion};

use super::edge::{Edge, FrameId, Outside, Sample};
use super::transform_error::{Nanoseconds, TransformError};

/// Most frames that are kept, so that a publisher of ever new names cannot exhaust the memory. A new frame replaces the
/// frames without a transform for the longest time.
pub const MAX_FRAMES: usize = 4096;
/// Number of frames that are removed at a time.
const EVICTED: usize = MAX_FRAMES / 8;
/// Most frames on the way to a root; a longer way must be a loop. tf2's `MAX_GRAPH_DEPTH`.
const MAX_DEPTH: usize = 1000;
/// Largest deviation of the square of a quaternion's length from 1: tf2's `QUATERNION_NORMALIZATION_TOLERANCE`.
const QUATERNION_TOLERANCE: f64 = 0.01;
/// Most frames that an error lists.
const LISTED: usize = 20;

/// The pose of a frame in its parent: the fields of `geometry_msgs/TransformStamped`.
#[derive(Debug, Clone, PartialEq)]
pub struct StampedTransform {
    /// `header.frame_id`. A leading `/` is stripped from both names.
    pub parent: String,
    /// `child_frame_id`
    pub child: String,
    /// Nanoseconds; without meaning if the transform is static.
    pub stamp: i64,
    /// x, y, z of the child's origin in the parent, in metres.
    pub translation: [f64; 3],
    /// `parent_from_child` as a unit quaternion: x, y, z, w.
    pub rotation: [f64; 4],
}

/// The received transforms: the last 10 s of each frame (at most 10000 poses), and all static transforms.
#[derive(Debug, Clone, Default)]
pub struct Transforms {
    ids: HashMap<String, FrameId>,
    frames: Vec<Frame>,
    /// Indices in `frames` of removed frames.
    free: Vec<FrameId>,
    /// Number of accepted transforms, which is the clock for the age of frames.
    accepted: u64,
}

#[derive(Debug, Clone)]
struct Frame {
    name: String,
    /// Edge to the parent; none for a root.
    edge: Option<Edge>,
    /// Number of the last transform of the frame, or of a frame in it.
    last_used: u64,
}

impl Transforms {
    /// Makes an empty tree.
    pub fn new() -> Self {
        Transforms::default()
    }

    /// Inserts a transform of `/tf`, or of `/tf_static` if `is_static`. A frame has one parent at a time: the parent of
    /// its newest transform at or before the requested time. A repeated transform changes nothing.
    ///
    /// Rotations are normalised, which tf2 leaves to the caller.
    ///
    /// # Errors
    /// * [`TransformError::EmptyName`], [`TransformError::SelfTransform`] for invalid names.
    /// * [`TransformError::NotFinite`] (tf2 refuses NaN only), [`TransformError::NotUnit`] for invalid values.
    /// * [`TransformError::TooOld`], [`TransformError::TooManyFrames`].
    pub fn insert(&mut self, transform: &StampedTransform, is_static: bool) -> Result<(), TransformError> {
        let (parent, child) = (strip(&transform.parent), strip(&transform.child));
        let parent_from_child = check(transform, parent, child)?;
        self.accepted += 1;
        let child_id = self.intern(child, None)?;
        let parent_id = self.intern(parent, Some(child_id))?;
        let sample = Sample { stamp: transform.stamp, parent: parent_id, parent_from_child };
        let edge = &mut self.frames[child_id].edge;
        let Some(edge) = edge else {
            *edge = Some(Edge::new(sample, is_static));
            return Ok(());
        };
        edge.insert(sample, is_static).map_err(|latest| TransformError::TooOld {
            parent: parent.to_owned(),
            child: child.to_owned(),
            stamp: Nanoseconds(transform.stamp),
            latest: Nanoseconds(latest),
        })
    }

    /// Returns `target_from_source`, which takes points of `source_frame` to `target_frame`, at a time in nanoseconds.
    /// `None` and 0 mean the [latest common time](Transforms::latest_common_time).
    ///
    /// Only the edges between the two frames and their common ancestor must be known at that time.
    ///
    /// # Errors
    /// * [`TransformError::NothingYet`], [`TransformError::UnknownFrame`], [`TransformError::Disconnected`].
    /// * [`TransformError::Future`], [`TransformError::Past`] if an edge is not known at that time.
    /// * [`TransformError::Loop`].
    pub fn lookup(
        &self,
        target_frame: &str,
        source_frame: &str,
        time: Option<i64>,
    ) -> Result<Isometry3<f64>, TransformError> {
        // As in tf2, also for an unknown frame: points in the frame of a camera need no TF.
        if strip(target_frame) == strip(source_frame) {
            return Ok(Isometry3::identity());
        }
        let (target, source) = (self.find(target_frame)?, self.find(source_frame)?);
        let time = match time.filter(|t| *t != 0) {
            Some(time) => Some(time),
            None => self.common_time(target, source)?,
        };

        // Each frame from the source upwards, with its transform from the source.
        let mut above_source = vec![(source, Isometry3::identity())];
        let (mut frame, mut frame_from_source) = (source, Isometry3::identity());
        let mut stopped = None;
        loop {
            match self.parent_of(frame, time) {
                Ok(Some((parent, parent_from_frame))) => {
                    (frame, frame_from_source) = (parent, parent_from_frame * frame_from_source);
                }
                Ok(None) => break,
                // The target may still be below this frame.
                Err(error) => {
                    stopped = Some(error);
                    break;
                }
            }
            if frame == target {
                return Ok(frame_from_source);
            }
            above_source.push((frame, frame_from_source));
            self.check_depth(above_source.len(), source)?;
        }
        let source_root = frame;

        let (mut frame, mut frame_from_target) = (target, Isometry3::identity());
        for depth in 0.. {
            if let Some((_, frame_from_source)) = above_source.iter().find(|(id, _)| *id == frame) {
                return Ok(frame_from_target.inverse() * frame_from_source);
            }
            match self.parent_of(frame, time)? {
                Some((parent, parent_from_frame)) => {
                    (frame, frame_from_target) = (parent, parent_from_frame * frame_from_target);
                }
                None => break,
            }
            self.check_depth(depth, target)?;
        }
        Err(stopped.unwrap_or_else(|| self.disconnected(target, source, frame, source_root)))
    }

    /// Returns the latest time, in nanoseconds, at which all edges between two frames are known (tf2's
    /// `getLatestCommonTime`). `None` if all of them are static.
    ///
    /// # Errors
    /// As [`Transforms::lookup`], except for past and future.
    pub fn latest_common_time(&self, target_frame: &str, source_frame: &str) -> Result<Option<i64>, TransformError> {
        let (target, source) = (self.find(target_frame)?, self.find(source_frame)?);
        if target == source {
            return Ok(self.latest(source).and_then(|(stamp, _)| stamp));
        }
        self.common_time(target, source)
    }

    /// Removes all transforms except static ones, after the clock jumped back (a bag that starts over).
    pub fn clear(&mut self) {
        for frame in &mut self.frames {
            frame.edge.take_if(|edge| matches!(edge, Edge::Moving(_)));
        }
    }

    /// Returns the names of all frames, sorted.
    pub fn frames(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.ids.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    fn common_time(&self, target: FrameId, source: FrameId) -> Result<Option<i64>, TransformError> {
        let earlier = |a: Option<i64>, b: Option<i64>| a.into_iter().chain(b).min();
        // Each frame from the source upwards, with the latest common time of the edges down to the source.
        let mut above_source = vec![(source, None)];
        let (mut frame, mut time) = (source, None);
        while let Some((stamp, parent)) = self.latest(frame) {
            (frame, time) = (parent, earlier(time, stamp));
            if frame == target {
                return Ok(time);
            }
            above_source.push((frame, time));
            self.check_depth(above_source.len(), source)?;
        }
        let source_root = frame;

        let (mut frame, mut time) = (target, None);
        for depth in 0.. {
            if let Some((_, time_of_source)) = above_source.iter().find(|(id, _)| *id == frame) {
                return Ok(earlier(time, *time_of_source));
            }
            let Some((stamp, parent)) = self.latest(frame) else { break };
            (frame, time) = (parent, earlier(time, stamp));
            self.check_depth(depth, target)?;
        }
        Err(self.disconnected(target, source, frame, source_root))
    }

    fn latest(&self, frame: FrameId) -> Option<(Option<i64>, FrameId)> {
        self.frames[frame].edge.as_ref().and_then(Edge::latest)
    }

    /// Returns the parent of a frame and `parent_from_frame` at a time; `None` for a root.
    fn parent_of(
        &self,
        frame: FrameId,
        time: Option<i64>,
    ) -> Result<Option<(FrameId, Isometry3<f64>)>, TransformError> {
        let Some(edge) = &self.frames[frame].edge else { return Ok(None) };
        let outside = match edge.at(time) {
            Ok(sample) => return Ok(Some((sample.parent, sample.parent_from_child))),
            Err(outside) => outside,
        };
        let Some((parent, oldest, latest)) = edge.interval() else { return Ok(None) };
        let (parent, child) = (self.frames[parent].name.clone(), self.frames[frame].name.clone());
        let (oldest, latest) = (Nanoseconds(oldest), Nanoseconds(latest));
        let requested = time.map_or(latest, Nanoseconds);
        Err(match outside {
            Outside::Future => TransformError::Future { parent, child, requested, oldest, latest },
            Outside::Past => TransformError::Past { parent, child, requested, oldest, latest },
        })
    }

    fn find(&self, name: &str) -> Result<FrameId, TransformError> {
        let name = strip(name);
        if let Some(id) = self.ids.get(name) {
            return Ok(*id);
        }
        let frame = name.to_owned();
        if self.ids.is_empty() {
            return Err(TransformError::NothingYet { frame });
        }
        let names = self.frames();
        let mut known = names.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
        if names.len() > LISTED {
            known += &format!(" and {} more", names.len() - LISTED);
        }
        Err(TransformError::UnknownFrame { frame, known })
    }

    /// Returns the index of a frame, which is added if it is unknown. `kept` is not removed to make room.
    fn intern(&mut self, name: &str, kept: Option<FrameId>) -> Result<FrameId, TransformError> {
        if let Some(id) = self.ids.get(name) {
            self.frames[*id].last_used = self.accepted;
            return Ok(*id);
        }
        if self.ids.len() >= MAX_FRAMES {
            self.evict_stale(kept);
        }
        let frame = Frame { name: name.to_owned(), edge: None, last_used: self.accepted };
        let id = match self.free.pop() {
            Some(id) => {
                self.frames[id] = frame;
                id
            }
            None if self.frames.len() < MAX_FRAMES => {
                self.frames.push(frame);
                self.frames.len() - 1
            }
            None => return Err(TransformError::TooManyFrames { frame: name.to_owned(), limit: MAX_FRAMES }),
        };
        self.ids.insert(name.to_owned(), id);
        Ok(id)
    }

    /// Removes the frames without a transform for the longest time. Static frames, which are published once, and parents
    /// of other frames stay.
    fn evict_stale(&mut self, kept: Option<FrameId>) {
        let mut is_parent = vec![false; self.frames.len()];
        for parent in self.frames.iter().filter_map(|frame| frame.edge.as_ref()).flat_map(Edge::parents) {
            is_parent[parent] = true;
        }
        let mut stale: Vec<FrameId> = (0..self.frames.len())
            .filter(|id| {
                let is_static = matches!(self.frames[*id].edge, Some(Edge::Static(_)));
                !is_parent[*id] && !is_static && Some(*id) != kept
            })
            .collect();
        stale.sort_unstable_by_key(|id| self.frames[*id].last_used);
        stale.truncate(EVICTED);
        for id in stale {
            let frame = &mut self.frames[id];
            frame.edge = None;
            self.ids.remove(&std::mem::take(&mut frame.name));
            self.free.push(id);
        }
    }

    fn check_depth(&self, depth: usize, frame: FrameId) -> Result<(), TransformError> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(TransformError::Loop { frame: self.frames[frame].name.clone() })
    }

    fn disconnected(&self, target: FrameId, source: FrameId, target_root: FrameId, root: FrameId) -> TransformError {
        let name = |id: FrameId| self.frames[id].name.clone();
        TransformError::Disconnected {
            target_frame: name(target),
            source_frame: name(source),
            target_root: name(target_root),
            source_root: name(root),
        }
    }
}

/// Removes a leading slash: frames of tf2 have none, and older publishers mean the same frame.
fn strip(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

/// Checks a transform. Returns `parent_from_child`.
fn check(transform: &StampedTransform, parent: &str, child: &str) -> Result<Isometry3<f64>, TransformError> {
    let names = || (parent.to_owned(), child.to_owned());
    if parent.is_empty() || child.is_empty() {
        let (parent, child) = names();
        return Err(TransformError::EmptyName { parent, child });
    }
    if parent == child {
        return Err(TransformError::SelfTransform { frame: child.to_owned() });
    }
    let ([tx, ty, tz], [x, y, z, w]) = (transform.translation, transform.rotation);
    if ![tx, ty, tz, x, y, z, w].iter().all(|v| v.is_finite()) {
        let (parent, child) = names();
        return Err(TransformError::NotFinite { parent, child });
    }
    let rotation = Quaternion::new(w, x, y, z);
    if (rotation.norm_squared() - 1.0).abs() >= QUATERNION_TOLERANCE {
        let (parent, child) = names();
        return Err(TransformError::NotUnit { parent, child, norm: rotation.norm() });
    }
    Ok(Isometry3::from_parts(Translation3::new(tx, ty, tz), UnitQuaternion::new_normalize(rotation)))
}

#[cfg(test)]
#[path = "transforms_tests.rs"]
mod tests;
