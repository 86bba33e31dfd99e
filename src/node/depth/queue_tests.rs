//! Results, depth images and calibrations in the order in which they may arrive.

use image::RgbImage;
use r2r::sensor_msgs::msg::Image;

use super::*;
use crate::engine::{Header, ObjectResult, ResultSource, StageMs};
use crate::pixels::Mask;

fn result(sec: i32) -> FrameResult {
    let object = ObjectResult {
        id: 7,
        class_id: String::new(),
        tag: String::new(),
        detection_score: None,
        persistence: None,
        iou: 0.9,
        object_score: None,
        candidate_ious: Vec::new(),
        mask: Mask::from_data(1, 1, &[255]).unwrap(),
        certain: None,
        points: Vec::new(),
        bbox: None,
        lost: None,
    };
    FrameResult {
        header: Header { stamp: Stamp { sec, nanosec: 0 }, ..Header::default() },
        source: ResultSource::Camera,
        image: Arc::new(RgbImage::new(1, 1)),
        objects: vec![Arc::new(object)],
        corner: None,
        current: None,
        prompted: false,
        ms: StageMs::default(),
    }
}

fn image(queue: &DepthQueue<()>, sec: i32) {
    let mut image = Image::default();
    image.header.stamp.sec = sec;
    queue.push_image(DepthMessage::Raw(image), 1000);
}

fn config() -> DepthConfig {
    DepthConfig { tolerance: Duration::from_millis(20), ..DepthConfig::default() }
}

fn next(queue: &DepthQueue<()>) -> (i32, Matched) {
    match queue.next(config, |_, _| true) {
        Some(Job::Result(result, matched)) => (result.header.stamp.sec, matched),
        _ => panic!("no result"),
    }
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn results_keep_their_order_and_wait_for_their_depth_images() {
    let queue = DepthQueue::new("/depth");
    assert!(queue.set_wanted(true));
    queue.push_result(&result(1), LONG);
    queue.push_result(&result(2), LONG);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| next(&queue));
        image(&queue, 1);
        assert!(matches!(first.join().unwrap(), (1, Ok(_))));
    });
    image(&queue, 2);
    assert!(matches!(next(&queue), (2, Ok(_))));
}

#[test]
fn without_a_depth_image_the_reason_is_given_after_the_timeout() {
    let queue = DepthQueue::new("/depth");
    queue.set_wanted(true);
    queue.push_result(&result(1), Duration::ZERO);
    assert_eq!(next(&queue).1.err(), Some("no depth image has arrived on '/depth'".into()));
    image(&queue, 5);
    queue.push_result(&result(3), Duration::ZERO);
    let reason = next(&queue).1.err().unwrap();
    assert!(
        reason.starts_with("the nearest depth image on '/depth' is 2.000 s later, depth.tolerance is 0.02 s; earlier")
    );
}

#[test]
fn the_oldest_result_makes_room() {
    let queue = DepthQueue::new("/depth");
    queue.set_wanted(true);
    let fits: Vec<bool> = (0..10).map(|sec| queue.push_result(&result(sec), Duration::ZERO)).collect();
    assert_eq!(fits, [[true; 8].as_slice(), &[false; 2]].concat());
    assert_eq!(next(&queue).0, 2);
}

#[test]
fn nothing_is_kept_without_demand_and_a_request_is_demand() {
    let queue = DepthQueue::new("/depth");
    assert_eq!(queue.request(7).err(), Some("no image has been segmented".into()));
    queue.push_result(&result(1), LONG);
    assert!(lock(&queue.state).results.is_empty() && !queue.set_wanted(false));
    assert!(
        queue.request(8).err().unwrap().contains("no object 8 on the newest image (1.000000000); its objects are [7]")
    );
    let _answer = queue.request(7).unwrap();
    assert!(queue.set_wanted(false), "a request wants depth images");
    assert!(matches!(queue.next(config, |_, _| true), Some(Job::Request(CloudRequest { object_id: 7, .. }))));
    image(&queue, 1);
    assert!(matches!(next(&queue), (1, Ok(_))));
    queue.stop();
    assert!(queue.next(config, |_, _| true).is_none());
}

#[test]
fn a_request_tries_the_newest_result_again_if_its_depth_image_was_missing() {
    let queue = DepthQueue::new("/depth");
    queue.set_wanted(true);
    queue.push_result(&result(1), Duration::ZERO);
    assert!(matches!(next(&queue), (1, Err(_))));
    let _answer = queue.request(7).unwrap();
    image(&queue, 1);
    assert!(matches!(queue.next(config, |_, _| true), Some(Job::Request(_))));
    assert!(matches!(next(&queue), (1, Ok(_))));
}

#[test]
fn a_transform_is_waited_for_until_the_timeout() {
    let queue = DepthQueue::<()>::new("/depth");
    queue.set_wanted(true);
    queue.push_result(&result(1), LONG);
    image(&queue, 1);
    let asked = std::cell::Cell::new(0);
    let job = queue.next(config, |_, _| {
        asked.set(asked.get() + 1);
        asked.get() == 3
    });
    assert!(matches!(job, Some(Job::Result(_, Ok(_)))));
    queue.push_result(&result(1), Duration::ZERO);
    assert!(matches!(queue.next(config, |_, _| false), Some(Job::Result(_, Ok(_)))));
}

fn info(queue: &DepthQueue<()>, sec: i32) {
    queue.push_info(Stamp { sec, nanosec: 0 }, format!("calibration {sec}"), CameraInfo::default());
}

fn frame_of_info(queue: &DepthQueue<()>, sec: i32) -> Option<String> {
    queue.info(Stamp { sec, nanosec: 0 }).map(|(frame_id, _)| frame_id)
}

#[test]
fn the_calibration_of_the_stamp_is_preferred_and_waited_for() {
    let queue = DepthQueue::new("/depth");
    queue.set_wanted(true);
    assert_eq!(frame_of_info(&queue, 1), None);
    for sec in [1, 2] {
        info(&queue, sec);
        image(&queue, sec);
    }
    assert_eq!(frame_of_info(&queue, 1), Some("calibration 1".into()));
    queue.push_result(&result(2), LONG);
    assert!(matches!(next(&queue), (2, Ok(_))));
    // The calibration of the third image arrives after the image.
    queue.push_result(&result(3), LONG);
    image(&queue, 3);
    let is_ready = || queue.take_ready(&mut lock(&queue.state), &config(), &|_: &_, _: &_| true).is_some();
    assert!(!is_ready());
    info(&queue, 3);
    assert!(is_ready());
    assert_eq!(frame_of_info(&queue, 3), Some("calibration 3".into()));
}

#[test]
fn a_calibration_that_does_not_come_is_not_waited_for() {
    let queue = DepthQueue::new("/depth");
    queue.set_wanted(true);
    // A driver that sends its calibration once.
    info(&queue, 0);
    (1..=2).for_each(|sec| image(&queue, sec));
    queue.push_result(&result(2), LONG);
    assert!(matches!(next(&queue), (2, Ok(_))));
    assert_eq!(frame_of_info(&queue, 2), Some("calibration 0".into()));
    // The calibrations end, and a later image is there.
    info(&queue, 2);
    (3..=4).for_each(|sec| image(&queue, sec));
    queue.push_result(&result(3), LONG);
    assert!(matches!(next(&queue), (3, Ok(_))));
    // The time-out ends the wait too.
    info(&queue, 4);
    image(&queue, 5);
    queue.push_result(&result(5), Duration::ZERO);
    assert!(matches!(next(&queue), (5, Ok(_))));
}
