//! The tree of frames over time: what tf2's `BufferCore` is (geometry2, tf2/src/buffer_core.cpp), on nalgebra.

use std::collections::HashMap;

use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion};

use super::edge::{Edge, FrameId, Outside, Sample};
use super::transform_error::{Nanoseconds, TransformError};

/// Most frames that are kept, so that a publisher that invents names cannot eat the memory. A further one takes the place of
/// those that were not heard of for longest.
pub const MAX_FRAMES: usize = 4096;
/// Frames that are forgotten at a time.
const FORGOTTEN: usize = MAX_FRAMES / 8;
/// Frames in a row above which there must be a loop: tf2's `MAX_GRAPH_DEPTH`.
const MAX_DEPTH: usize = 1000;
/// How far the square of a quaternion's length may be from 1: tf2's `QUATERNION_NORMALIZATION_TOLERANCE`.
const QUATERNION_TOLERANCE: f64 = 0.01;
/// Most frames that a message lists.
const LISTED: usize = 20;

/// The pose of a frame in its parent, as `geometry_msgs/TransformStamped` carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct StampedTransform {
    /// `header.frame_id`. A leading `/` is stripped from both names.
    pub parent: String,
    /// `child_frame_id`
    pub child: String,
    /// Nanoseconds; without meaning where the transform is static.
    pub stamp: i64,
    /// x, y, z of the child's origin in the parent, in metres.
    pub translation: [f64; 3],
    /// x, y, z, w of the unit quaternion that turns vectors of the child into vectors of the parent.
    pub rotation: [f64; 4],
}

/// All transforms that were received: the last 10 s of each frame (at most 10000 poses), static ones for ever.
#[derive(Debug, Clone, Default)]
pub struct Transforms {
    ids: HashMap<String, FrameId>,
    frames: Vec<Frame>,
    /// Places in `frames` of frames that were forgotten.
    free: Vec<FrameId>,
    /// Transforms that were taken, which is the time by which frames grow old.
    taken: u64,
}

#[derive(Debug, Clone)]
struct Frame {
    name: String,
    /// Way to the parent; a root has none.
    edge: Option<Edge>,
    /// Number of the last transform that named the frame.
    heard: u64,
}

impl Transforms {
    pub fn new() -> Self {
        Transforms::default()
    }

    /// Takes a transform of `/tf`, or of `/tf_static` when `is_static`. A frame has one parent at a time: the one of its
    /// newest transform at or before the time that is asked for. A repeated transform changes nothing.
    ///
    /// tf2 refuses NaN; here infinity is refused too. Rotations are normalised, which tf2 leaves to those who use them.
    pub fn insert(&mut self, transform: &StampedTransform, is_static: bool) -> Result<(), TransformError> {
        let (parent, child) = (strip(&transform.parent), strip(&transform.child));
        let pose = check(transform, parent, child)?;
        self.taken += 1;
        let child_id = self.intern(child, None)?;
        let parent_id = self.intern(parent, Some(child_id))?;
        let sample = Sample { stamp: transform.stamp, parent: parent_id, pose };
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

    /// The transform that takes points of `source_frame` to points of `target_frame` at a time (nanoseconds). `None`,
    /// and zero as everywhere in ROS, is the [latest common time](Transforms::latest_common_time).
    ///
    /// Only the edges between the two frames and their common ancestor must be known at that time.
    pub fn lookup(
        &self,
        target_frame: &str,
        source_frame: &str,
        time: Option<i64>,
    ) -> Result<Isometry3<f64>, TransformError> {
        // Also of a frame that nobody has heard of, as in tf2: a camera needs no TF for what is in its own frame.
        if strip(target_frame) == strip(source_frame) {
            return Ok(Isometry3::identity());
        }
        let (target, source) = (self.find(target_frame)?, self.find(source_frame)?);
        let time = match time.filter(|t| *t != 0) {
            Some(time) => Some(time),
            None => self.common_time(target, source)?,
        };

        // Every frame from the source upwards, with the pose of the source in it.
        let mut from_source = vec![(source, Isometry3::identity())];
        let (mut frame, mut pose) = (source, Isometry3::identity());
        let mut stopped = None;
        loop {
            match self.parent_of(frame, time) {
                Ok(Some((parent, edge))) => (frame, pose) = (parent, edge * pose),
                Ok(None) => break,
                // There may still be a way down from here.
                Err(error) => {
                    stopped = Some(error);
                    break;
                }
            }
            if frame == target {
                return Ok(pose);
            }
            from_source.push((frame, pose));
            self.check_depth(from_source.len(), source)?;
        }
        let source_root = frame;

        let (mut frame, mut pose) = (target, Isometry3::identity());
        for depth in 0.. {
            if let Some((_, source_pose)) = from_source.iter().find(|(id, _)| *id == frame) {
                return Ok(pose.inverse() * source_pose);
            }
            match self.parent_of(frame, time)? {
                Some((parent, edge)) => (frame, pose) = (parent, edge * pose),
                None => break,
            }
            self.check_depth(depth, target)?;
        }
        Err(stopped.unwrap_or_else(|| self.disconnected(target, source, frame, source_root)))
    }

    /// The latest time (nanoseconds) at which everything between the two frames is known; `None` where all of it is
    /// static. tf2's `getLatestCommonTime`.
    pub fn latest_common_time(&self, target_frame: &str, source_frame: &str) -> Result<Option<i64>, TransformError> {
        let (target, source) = (self.find(target_frame)?, self.find(source_frame)?);
        if target == source {
            return Ok(self.latest(source).and_then(|(stamp, _)| stamp));
        }
        self.common_time(target, source)
    }

    /// Forgets everything but what is static, for a clock that jumped back (a bag that starts over).
    pub fn clear(&mut self) {
        for frame in &mut self.frames {
            frame.edge.take_if(|edge| matches!(edge, Edge::Moving(_)));
        }
    }

    /// Names of all frames, sorted.
    pub fn frames(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.ids.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    fn common_time(&self, target: FrameId, source: FrameId) -> Result<Option<i64>, TransformError> {
        let earlier = |a: Option<i64>, b: Option<i64>| a.into_iter().chain(b).min();
        // The parents of the source, upwards, each with the latest time of its chain down to the source.
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
            if let Some((_, of_source)) = above_source.iter().find(|(id, _)| *id == frame) {
                return Ok(earlier(time, *of_source));
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

    /// Parent of a frame and its pose in it at a time; `None` for a root.
    fn parent_of(
        &self,
        frame: FrameId,
        time: Option<i64>,
    ) -> Result<Option<(FrameId, Isometry3<f64>)>, TransformError> {
        let Some(edge) = &self.frames[frame].edge else { return Ok(None) };
        let outside = match edge.at(time) {
            Ok(sample) => return Ok(Some((sample.parent, sample.pose))),
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

    /// The place of a frame, which is made if there is none. `kept` is not forgotten for it.
    fn intern(&mut self, name: &str, kept: Option<FrameId>) -> Result<FrameId, TransformError> {
        if let Some(id) = self.ids.get(name) {
            self.frames[*id].heard = self.taken;
            return Ok(*id);
        }
        if self.ids.len() >= MAX_FRAMES {
            self.forget_stale(kept);
        }
        let frame = Frame { name: name.to_owned(), edge: None, heard: self.taken };
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

    /// Forgets the frames that were not heard of for longest. Static ones stay, which are heard of once, and so do those
    /// that are the parent of another.
    fn forget_stale(&mut self, kept: Option<FrameId>) {
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
        stale.sort_unstable_by_key(|id| self.frames[*id].heard);
        stale.truncate(FORGOTTEN);
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

/// tf2 frames have no leading slash; those who still write one mean the same frame.
fn strip(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

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
