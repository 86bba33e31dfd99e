//! What is known about one frame in its parent: a static pose, or poses over time with interpolation between them.
//!
//! The behaviour is that of tf2's `StaticCache` and `TimeCache` (geometry2, tf2/src/static_cache.cpp and cache.cpp).

use std::collections::VecDeque;

use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion};

/// How far back poses are kept, counted from the latest one, in nanoseconds: tf2's default of 10 s.
pub(super) const KEEP_NS: i64 = 10_000_000_000;
/// Most poses that are kept of a frame: 1 kHz for as long as [`KEEP_NS`].
pub(super) const KEEP_COUNT: usize = 10_000;

/// A frame as an index.
pub(super) type FrameId = usize;

/// The pose of a frame in its parent, at a stamp (nanoseconds).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub stamp: i64,
    pub parent: FrameId,
    pub pose: Isometry3<f64>,
}

#[derive(Debug, Clone)]
pub(super) enum Edge {
    /// Valid at all times.
    Static(Sample),
    /// Sorted, oldest first; never empty.
    Moving(VecDeque<Sample>),
}

/// Why there is no pose at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outside {
    Future,
    Past,
}

impl Edge {
    pub(super) fn new(sample: Sample, is_static: bool) -> Edge {
        if is_static { Edge::Static(sample) } else { Edge::Moving(VecDeque::from([sample])) }
    }

    /// Adds a pose. An edge that was static and now moves, or the other way round, starts anew, as in tf2. Answers the
    /// latest stamp when the pose is older than what is kept.
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

    /// Parent and pose at a time, or the latest for `None`. Between two stamps, translation goes straight and rotation
    /// by slerp; where the parent changed in between, the older pose stays until the newer one.
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
        Ok(Sample { stamp: time, parent: older.parent, pose: interpolate(&older.pose, &newer.pose, ratio) })
    }

    /// The latest pose; its stamp is `None` when it is valid at all times. As in tf2, stamp zero counts as such too.
    pub(super) fn latest(&self) -> Option<(Option<i64>, FrameId)> {
        match self {
            Edge::Static(sample) => Some((None, sample.parent)),
            Edge::Moving(samples) => samples.back().map(|s| (Some(s.stamp).filter(|t| *t != 0), s.parent)),
        }
    }

    /// The parent of each pose that is kept; a parent may come many times.
    pub(super) fn parents(&self) -> impl Iterator<Item = FrameId> {
        let (fixed, moving) = match self {
            Edge::Static(sample) => (Some(sample.parent), None),
            Edge::Moving(samples) => (None, Some(samples.iter().map(|s| s.parent))),
        };
        fixed.into_iter().chain(moving.into_iter().flatten())
    }

    /// The parent that an error is about, and the oldest and the latest stamp; `None` for static edges.
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

/// The shorter way round. Not nalgebra's, which panics for half a turn.
fn slerp(from: &UnitQuaternion<f64>, to: &UnitQuaternion<f64>, ratio: f64) -> UnitQuaternion<f64> {
    let (a, b) = (from.coords, to.coords);
    let b = if a.dot(&b) < 0.0 { -b } else { b };
    let angle = (b - a).norm().atan2((b + a).norm()) * 2.0;
    // The quotient of sines loses its digits here, and the chord is as good as the arc.
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
