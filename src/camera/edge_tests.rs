use nalgebra::Vector3;

use super::*;

fn sample(stamp: i64, parent: FrameId, x: f64, turn: f64) -> Sample {
    let rotation = UnitQuaternion::from_scaled_axis(Vector3::new(0.0, 0.0, turn));
    Sample { stamp, parent, parent_from_child: Isometry3::from_parts(Translation3::new(x, 0.0, 0.0), rotation) }
}

fn moving(samples: &[Sample]) -> Edge {
    let mut edge = Edge::new(samples[0], false);
    for s in &samples[1..] {
        edge.insert(*s, false).unwrap();
    }
    edge
}

fn length(edge: &Edge) -> usize {
    match edge {
        Edge::Static(_) => 1,
        Edge::Moving(samples) => samples.len(),
    }
}

#[test]
fn between_two_stamps_the_pose_is_interpolated() {
    let edge = moving(&[sample(100, 0, 0.0, 0.0), sample(200, 0, 10.0, 1.0)]);
    let s = edge.at(Some(125)).unwrap();
    assert!((s.parent_from_child.translation.x - 2.5).abs() < 1e-12);
    assert!((s.parent_from_child.rotation.angle() - 0.25).abs() < 1e-12);
    assert_eq!((edge.at(Some(100)).unwrap().parent_from_child.translation.x, edge.at(None).unwrap().stamp), (0.0, 200));
}

#[test]
fn nothing_is_extrapolated() {
    let edge = moving(&[sample(100, 0, 0.0, 0.0), sample(200, 0, 10.0, 0.0)]);
    assert_eq!((edge.at(Some(99)), edge.at(Some(201))), (Err(Outside::Past), Err(Outside::Future)));
    assert_eq!(edge.interval(), Some((0, 100, 200)));
    assert!(Edge::new(sample(100, 0, 0.0, 0.0), true).at(Some(-5)).is_ok());
}

#[test]
fn rotations_take_the_shorter_way_and_half_a_turn_does_not_panic() {
    let from = UnitQuaternion::identity();
    let to = UnitQuaternion::new_unchecked(-UnitQuaternion::from_scaled_axis(Vector3::new(0.2, 0.0, 0.0)).into_inner());
    assert!((slerp(&from, &to, 0.5).angle() - 0.1).abs() < 1e-12);
    let half = UnitQuaternion::new_unchecked(Quaternion::new(0.0, 1.0, 0.0, 0.0));
    assert!((slerp(&from, &half, 0.5).angle() - std::f64::consts::FRAC_PI_2).abs() < 1e-12);
    assert!(
        (slerp(&from, &UnitQuaternion::from_scaled_axis(Vector3::new(1e-9, 0.0, 0.0)), 0.5).angle() - 5e-10).abs()
            < 1e-15
    );
}

#[test]
fn ten_seconds_and_a_limited_number_of_poses_are_kept() {
    let mut edge = Edge::new(sample(0, 0, 0.0, 0.0), false);
    edge.insert(sample(KEEP_NS, 0, 1.0, 0.0), false).unwrap();
    assert_eq!(length(&edge), 2);
    edge.insert(sample(KEEP_NS + 1, 0, 2.0, 0.0), false).unwrap();
    assert_eq!((length(&edge), edge.interval()), (2, Some((0, KEEP_NS, KEEP_NS + 1))));
    assert_eq!(edge.insert(sample(0, 0, 0.0, 0.0), false), Err(KEEP_NS + 1));
    for i in 0..2 * KEEP_COUNT as i64 {
        edge.insert(sample(KEEP_NS + 2 + i, 0, 0.0, 0.0), false).unwrap();
    }
    assert_eq!(length(&edge), KEEP_COUNT);
}

#[test]
fn extreme_stamps_do_not_overflow() {
    let mut edge = Edge::new(sample(i64::MIN, 0, 0.0, 0.0), false);
    edge.insert(sample(i64::MIN + 100, 0, 1.0, 0.0), false).unwrap();
    assert!(edge.at(Some(i64::MIN + 50)).is_ok());
    edge.insert(sample(i64::MAX, 0, 1.0, 0.0), false).unwrap();
    assert_eq!((length(&edge), edge.at(Some(0))), (1, Err(Outside::Past)));
}

#[test]
fn repeated_poses_are_kept_once() {
    let mut edge = moving(&[sample(1, 0, 0.0, 0.0), sample(2, 0, 1.0, 0.0)]);
    edge.insert(sample(1, 0, 0.0, 0.0), false).unwrap();
    assert_eq!(length(&edge), 2);
}

#[test]
fn a_new_parent_is_valid_from_its_stamp_on() {
    let edge = moving(&[sample(100, 3, 0.0, 0.0), sample(200, 4, 10.0, 0.0)]);
    let s = edge.at(Some(199)).unwrap();
    assert_eq!((s.parent, s.parent_from_child.translation.x), (3, 0.0));
    assert_eq!(edge.at(Some(200)).unwrap().parent, 4);
}

#[test]
fn a_frame_that_becomes_static_or_moves_again_starts_anew() {
    let mut edge = moving(&[sample(100, 0, 0.0, 0.0), sample(200, 0, 10.0, 0.0)]);
    edge.insert(sample(0, 1, 7.0, 0.0), true).unwrap();
    assert_eq!(edge.at(Some(150)).unwrap().parent_from_child.translation.x, 7.0);
    edge.insert(sample(0, 1, 8.0, 0.0), true).unwrap();
    assert_eq!(edge.at(None).unwrap().parent_from_child.translation.x, 8.0);
    edge.insert(sample(300, 0, 9.0, 0.0), false).unwrap();
    assert_eq!(edge.interval(), Some((0, 300, 300)));
}
