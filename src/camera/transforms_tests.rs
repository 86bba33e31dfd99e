use nalgebra::Point3;

use super::*;

const SECOND: i64 = 1_000_000_000;
const LEVEL: [f64; 4] = [0.0, 0.0, 0.0, 1.0];

fn shift(parent: &str, child: &str, stamp: i64, x: f64) -> StampedTransform {
    StampedTransform {
        parent: parent.to_owned(),
        child: child.to_owned(),
        stamp,
        translation: [x, 0.0, 0.0],
        rotation: LEVEL,
    }
}

/// map <- odom <- base <- (static) camera <- (static) optical; map <- (static) dock.
fn robot() -> Transforms {
    let mut t = Transforms::new();
    for (stamp, x) in [(10, 0.0), (11, 1.0), (12, 3.0)] {
        t.insert(&shift("odom", "base", stamp * SECOND, x), false).unwrap();
    }
    t.insert(&shift("map", "odom", 10 * SECOND, 100.0), false).unwrap();
    t.insert(&shift("map", "odom", 11 * SECOND, 200.0), false).unwrap();
    t.insert(&shift("base", "camera", 0, 0.5), true).unwrap();
    let optical = StampedTransform { rotation: [-0.5, 0.5, -0.5, 0.5], ..shift("camera", "optical", 0, 0.0) };
    t.insert(&optical, true).unwrap();
    t.insert(&shift("map", "dock", 0, -1.0), true).unwrap();
    t
}

fn x(t: &Transforms, target: &str, source: &str, time: Option<i64>) -> f64 {
    t.lookup(target, source, time).unwrap().translation.x
}

#[test]
fn down_up_and_across() {
    let t = robot();
    let time = Some(10 * SECOND + SECOND / 2);
    assert!((x(&t, "odom", "camera", time) - 1.0).abs() < 1e-12);
    assert!((x(&t, "camera", "odom", time) + 1.0).abs() < 1e-12);
    assert!((x(&t, "dock", "camera", time) - 152.0).abs() < 1e-12);
    assert!((x(&t, "camera", "dock", time) + 152.0).abs() < 1e-12);
}

#[test]
fn points_ahead_of_the_robot_lie_along_z_of_the_optical_frame() {
    let ahead = robot().lookup("optical", "base", None).unwrap() * Point3::new(2.5, 1.0, 0.25);
    assert!((ahead - Point3::new(-1.0, -0.25, 2.0)).norm() < 1e-12, "{ahead}");
}

#[test]
fn the_latest_common_time_is_that_of_the_slowest_moving_edge_in_between() {
    let t = robot();
    assert_eq!(t.latest_common_time("odom", "optical"), Ok(Some(12 * SECOND)));
    assert_eq!(t.latest_common_time("dock", "optical"), Ok(Some(11 * SECOND)));
    assert_eq!(t.latest_common_time("optical", "base"), Ok(None));
    assert!((x(&t, "map", "base", None) - 201.0).abs() < 1e-12);
    assert!((x(&t, "map", "base", Some(0)) - 201.0).abs() < 1e-12);
    assert!((x(&t, "odom", "base", None) - 3.0).abs() < 1e-12);
}

#[test]
fn static_chains_and_a_frame_in_itself_are_known_at_all_times() {
    let t = robot();
    for time in [Some(1), Some(i64::MAX), None] {
        assert!((x(&t, "base", "optical", time) - 0.5).abs() < 1e-12);
        assert_eq!(t.lookup("base", "base", time), Ok(Isometry3::identity()));
    }
}

#[test]
fn extrapolation_names_the_frames_and_the_interval() {
    let t = robot();
    let error = t.lookup("map", "base", Some(11 * SECOND + 5)).unwrap_err();
    assert!(matches!(error, TransformError::Future { .. }) && error.may_pass());
    let text = error.to_string();
    let known = "\"odom\" in \"map\" is known from 10.000000000 to 11.000000000 s, and 11.000000005 s";
    assert!(text.starts_with(known), "{text}");
    let error = t.lookup("base", "odom", Some(9 * SECOND)).unwrap_err();
    assert!(matches!(error, TransformError::Past { .. }) && !error.may_pass(), "{error}");
}

#[test]
fn edges_above_the_common_ancestor_need_not_be_known() {
    assert!((x(&robot(), "odom", "camera", Some(12 * SECOND)) - 3.5).abs() < 1e-12);
}

#[test]
fn unknown_frames_are_named_with_the_known_ones() {
    let nothing = Transforms::new().lookup("map", "base", None).unwrap_err();
    assert_eq!(nothing, TransformError::NothingYet { frame: "map".to_owned() });
    let error = robot().lookup("map", "lidar", None).unwrap_err();
    assert_eq!(error.to_string(), "frame \"lidar\" is unknown; known: base, camera, dock, map, odom, optical");
    let mut many = Transforms::new();
    for i in 0..LISTED + 4 {
        many.insert(&shift("map", &format!("f{i}"), 0, 0.0), true).unwrap();
    }
    assert!(many.lookup("a", "b", None).unwrap_err().to_string().ends_with(" and 5 more"));
}

#[test]
fn two_trees_are_told_apart_with_their_roots() {
    let mut t = robot();
    t.insert(&shift("world", "arm", 0, 0.0), true).unwrap();
    for time in [None, Some(10 * SECOND)] {
        let error = t.lookup("arm", "base", time).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("no way from \"base\" to \"arm\": one hangs on \"map\", the other on \"world\""),
            "{text}"
        );
    }
}

#[test]
fn bad_transforms_are_refused_and_leave_no_trace() {
    let mut t = Transforms::new();
    let good = shift("a", "b", 0, 0.0);
    let cases = [
        (shift("", "b", 0, 0.0), "EmptyName"),
        (shift("a", "/", 0, 0.0), "EmptyName"),
        (shift("a", "/a", 0, 0.0), "SelfTransform"),
        (shift("a", "b", 0, f64::NAN), "NotFinite"),
        (StampedTransform { rotation: [0.0, f64::NAN, 0.0, 1.0], ..good.clone() }, "NotFinite"),
        (StampedTransform { rotation: [0.0; 4], ..good.clone() }, "NotUnit"),
        (StampedTransform { rotation: [0.0, 0.0, 0.0, 1.01], ..good.clone() }, "NotUnit"),
    ];
    for (transform, kind) in cases {
        let error = t.insert(&transform, false).unwrap_err();
        assert!(format!("{error:?}").starts_with(kind), "{error:?}");
    }
    assert!(t.frames().is_empty());
    t.insert(&StampedTransform { rotation: [0.0, 0.0, 0.0, 1.004], ..good }, false).unwrap();
    assert_eq!(t.frames(), ["a", "b"]);
}

#[test]
fn a_leading_slash_means_nothing() {
    let mut t = Transforms::new();
    t.insert(&shift("/map", "/base", SECOND, 4.0), false).unwrap();
    assert_eq!((t.frames(), x(&t, "/map", "base", None)), (vec!["base", "map"], 4.0));
}

#[test]
fn a_frame_that_changes_its_parent_is_followed_in_time() {
    let mut t = robot();
    t.insert(&shift("odom", "crate", 10 * SECOND, 2.0), false).unwrap();
    t.insert(&shift("base", "crate", 11 * SECOND, 0.25), false).unwrap();
    assert!((x(&t, "odom", "crate", Some(10 * SECOND + SECOND / 2)) - 2.0).abs() < 1e-12);
    assert!((x(&t, "odom", "crate", Some(11 * SECOND)) - 1.25).abs() < 1e-12);
}

#[test]
fn loops_end() {
    let mut t = Transforms::new();
    for (parent, child) in [("a", "b"), ("b", "c"), ("c", "a"), ("x", "y")] {
        t.insert(&shift(parent, child, 0, 0.0), true).unwrap();
    }
    for (target, source) in [("x", "a"), ("a", "x")] {
        for time in [None, Some(5)] {
            let error = t.lookup(target, source, time).unwrap_err();
            assert!(matches!(error, TransformError::Loop { .. }), "{error}");
        }
    }
}

#[test]
fn old_transforms_are_refused_and_a_clock_that_starts_over_is_cleared() {
    let mut t = robot();
    let error = t.insert(&shift("odom", "base", SECOND, 0.0), false).unwrap_err();
    assert!(error.to_string().contains("at 1.000000000 s is too old: 12.000000000 s is known"), "{error}");
    t.clear();
    assert!((x(&t, "base", "optical", None) - 0.5).abs() < 1e-12);
    assert!(matches!(t.lookup("odom", "base", None), Err(TransformError::Disconnected { .. })));
    t.insert(&shift("odom", "base", SECOND, 7.0), false).unwrap();
    assert_eq!(x(&t, "odom", "base", None), 7.0);
}

#[test]
fn frames_are_bounded() {
    let mut t = Transforms::new();
    for i in 1..MAX_FRAMES {
        t.insert(&shift("map", &format!("f{i}"), 0, 0.0), true).unwrap();
    }
    let error = t.insert(&shift("map", "more", 0, 0.0), true).unwrap_err();
    assert_eq!(error, TransformError::TooManyFrames { frame: "more".to_owned(), limit: MAX_FRAMES });
    t.insert(&shift("map", "f1", 0, 5.0), true).unwrap();
    assert_eq!(x(&t, "map", "f1", None), 5.0);
}

#[test]
fn stamps_are_shown_with_all_digits() {
    let shown = [0, 5, -1_500_000_000, i64::MIN].map(|n| Nanoseconds(n).to_string());
    assert_eq!(shown, ["0.000000000", "0.000000005", "-1.500000000", "-9223372036.854775808"]);
}

#[test]
fn frames_that_nobody_hears_of_any_more_give_way_to_new_ones() {
    let mut t = Transforms::new();
    t.insert(&shift("base", "camera", 0, 1.0), true).unwrap();
    for i in 0..3 * MAX_FRAMES as i64 {
        let stamp = i * SECOND / 100;
        // A tracker gives each object a name of its own; the robot moves on.
        t.insert(&shift("map", "base", stamp, 0.5), false).unwrap();
        t.insert(&shift("camera", &format!("obj_{i}"), stamp, i as f64), false).unwrap();
        assert_eq!(x(&t, "camera", &format!("obj_{i}"), Some(stamp)), i as f64);
    }
    assert!(t.frames().len() <= MAX_FRAMES, "{}", t.frames().len());
    let last = 3 * MAX_FRAMES as i64 - 1;
    assert_eq!(x(&t, "map", &format!("obj_{last}"), None), 1.5 + last as f64);
    assert_eq!(x(&t, "camera", &format!("obj_{}", last - 1000), None), (last - 1000) as f64);
    let gone = t.lookup("camera", "obj_0", None).unwrap_err();
    assert!(matches!(gone, TransformError::UnknownFrame { .. }), "{gone:?}");
}
