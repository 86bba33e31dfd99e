//! The edge from a frame to its parent: a static pose, or poses over time with interpolation between them.
//!
//! The behaviour is that of tf2's `StaticCache` and `TimeCache` (geometry2, tf2/src/static_cache.cpp and cache.cpp).

use std::collections::VecDeque;

use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion};

/// Time for which poses are kept, counted back from the latest pose, in nanoseconds: tf2's default of 10 s.
pub(super) const KEEP_NS: i64 = 10_000_000_000;
/// Most poses that are kept of a frame: 1 kHz during [`KEEP_NS`].
pub(super) const KEEP_COUNT: usize = 10_000;

/// Index of a frame in the tree.
pub(super) type FrameId = usize;

/// The pose of a frame in its parent at a stamp, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub stamp: i64,
    pub parent: FrameId,
    /// The pose of the frame, in metres.
    pub parent_from_child: Isometry3<f64>,
}

/// The poses of a frame in its parent.
#[derive(Debug, Clone)]
pub(super) enum Edge {
    /// A pose that is valid at all times.
    Static(Sample),
    /// Poses by stamp, the oldest first; never empty.
    Moving(VecDeque<Sample>),
}

/// Side of the known interval on which a time without a pose lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outside {
    Future,
    Past,
}

impl Edge {
    pub(super) fn new(sample: Sample, is_static: bool) -> Edge {
        if is_static { Edge::Static(sample) } else { Edge::Moving(VecDeque::from([sample])) }
    }

    /// Adds a pose. An edge that changes from static to moving, or from moving to static, starts empty, as in tf2.
    ///
    /// # Errors
    /// The latest stamp, if the pose is older than the poses that are kept.
    pub(super) fn insert(&mut self, sample: Sample, is_static: bool) -> Result<(), i64> {
        let Edge::Moving(samples) = self else {
            *self = Edge::new(sample, is_static);
            return Ok(());
        };
        if is_static {
            *self = Edge::Static(sample);
            return Ok(());
        }
        if let Some(latest) = samples.back().map(|s| s.stamp)
            && sample.stamp < latest.saturating_sub(KEEP_NS)
        {
            return Err(latest);
        }
        let at = samples.partition_point(|s| s.stamp <= sample.stamp);
        let same_stamp = samples.range(..at).rev().take_while(|s| s.stamp == sample.stamp);
        if !same_stamp.into_iter().any(|s| *s == sample) {
            samples.insert(at, sample);
        }
        let oldest = samples.back().map_or(i64::MIN, |s| s.stamp.saturating_sub(KEEP_NS));
        while samples.len() > KEEP_COUNT || samples.front().is_some_and(|s| s.stamp < oldest) {
            samples.pop_front();
        }
        Ok(())
    }

    /// Returns parent and pose at a time, or the latest pose for `None`. Between two stamps the translation is
    /// interpolated linearly and the rotation by slerp. If the parent changed between them, the older pose is valid
    /// until the newer stamp.
    pub(super) fn at(&self, time: Option<i64>) -> Result<Sample, Outside> {
        let samples = match self {
            Edge::Static(sample) => return Ok(*sample),
            Edge::Moving(samples) => samples,
        };
        let (Some(first), Some(last)) = (samples.front(), samples.back()) else { return Err(Outside::Future) };
        let Some(time) = time.filter(|t| *t != last.stamp) else { return Ok(*last) };
        if time > last.stamp {
            return Err(Outside::Future);
        }
        if time < first.stamp {
            return Err(Outside::Past);
        }
        if time == first.stamp {
            return Ok(*first);
        }
        let newer = samples.partition_point(|s| s.stamp <= time);
        let (older, newer) = (samples[newer - 1], samples[newer]);
        if older.parent != newer.parent {
            return Ok(older);
        }
        let ratio = (i128::from(time) - i128::from(older.stamp)) as f64
            / (i128::from(newer.stamp) - i128::from(older.stamp)) as f64;
        Ok(Sample {
            stamp: time,
            parent: older.parent,
            parent_from_child: interpolate(&older.parent_from_child, &newer.parent_from_child, ratio),
        })
    }

    /// Returns stamp and parent of the latest pose. The stamp is `None` if the pose is valid at all times; as in tf2,
    /// this includes a stamp of 0.
    pub(super) fn latest(&self) -> Option<(Option<i64>, FrameId)> {
        match self {
            Edge::Static(sample) => Some((None, sample.parent)),
            Edge::Moving(samples) => samples.back().map(|s| (Some(s.stamp).filter(|t| *t != 0), s.parent)),
        }
    }

    /// Returns the parent of each pose that is kept, with repetitions.
    pub(super) fn parents(&self) -> impl Iterator<Item = FrameId> {
        let (fixed, moving) = match self {
            Edge::Static(sample) => (Some(sample.parent), None),
            Edge::Moving(samples) => (None, Some(samples.iter().map(|s| s.parent))),
        };
        fixed.into_iter().chain(moving.into_iter().flatten())
    }

    /// Returns the latest parent, the oldest and the latest stamp, for error messages; `None` for static edges.
    pub(super) fn interval(&self) -> Option<(FrameId, i64, i64)> {
        match self {
            Edge::Static(_) => None,
            Edge::Moving(samples) => Some((samples.back()?.parent, samples.front()?.stamp, samples.back()?.stamp)),
        }
    }
}

fn interpolate(from: &Isometry3<f64>, to: &Isometry3<f64>, ratio: f64) -> Isometry3<f64> {
    let translation = from.translation.vector.lerp(&to.translation.vector, ratio);
    Isometry3::from_parts(Translation3::from(translation), slerp(&from.rotation, &to.rotation, ratio))
}

/// Interpolates along the shorter arc. nalgebra's slerp panics for half a turn.
fn slerp(from: &UnitQuaternion<f64>, to: &UnitQuaternion<f64>, ratio: f64) -> UnitQuaternion<f64> {
    let (a, b) = (from.coords, to.coords);
    let b = if a.dot(&b) < 0.0 { -b } else { b };
    let angle = (b - a).norm().atan2((b + a).norm()) * 2.0;
    // For small angles the quotient of sines is inaccurate, and the chord equals the arc.
    let (weight_a, weight_b) = if angle < 1e-6 {
        (1.0 - ratio, ratio)
    } else {
        (((1.0 - ratio) * angle).sin() / angle.sin(), (ratio * angle).sin() / angle.sin())
    };
    UnitQuaternion::new_normalize(Quaternion::from(a * weight_a + b * weight_b))
}

#[cfg(test)]
#[path = "edge_tests.rs"]
mod tests;
