//! Masks that a detector made itself.

use super::testing::{HEIGHT, WIDTH, own_mask, stamp};
use super::*;
use crate::pixels::Mask;
use crate::prompt::BoxPrompt;

const BOX: BoxPrompt = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };

/// Returns a mask of `area` pixels in the first row.
fn mask(area: usize) -> Mask {
    let data: Vec<u8> = (0..(WIDTH * HEIGHT) as usize).map(|pixel| u8::from(pixel < area)).collect();
    Mask::from_data(WIDTH, HEIGHT, &data).unwrap()
}

fn detected(mask: Option<Mask>, bbox: BoxPrompt) -> DetectedBox {
    let mask = mask.map(|mask| own_mask(mask, 0.75));
    DetectedBox { bbox, mask, class_id: "cup".into(), tag: "cup 1".into(), score: Some(0.75) }
}

fn send(b: &Bench, boxes: Vec<DetectedBox>) {
    b.engine.detections(Detections { source: "text", at: FrameRef::At(stamp(1)), boxes }).unwrap();
}

#[test]
fn masks_of_a_detector_are_published_without_the_decoder() {
    let b = bench(patient());
    b.encode(1);
    send(&b, vec![detected(Some(mask(5)), BOX)]);
    let result = b.result();
    assert_eq!((result.header.stamp, result.source), (stamp(1), ResultSource::Detector("text")));
    let [cup] = &result.objects[..] else { panic!("{:?}", result.objects) };
    assert_eq!((cup.mask.clone(), cup.certain.clone()), (mask(5), Some(mask(5))));
    assert_eq!((cup.class_id.as_str(), cup.tag.as_str(), cup.detection_score), ("cup", "cup 1", Some(0.75)));
    assert_eq!((cup.id, cup.iou, cup.object_score, cup.bbox), (1001, 0.75, Some(2.0), Some(BOX)));
    assert!(b.decoded_prompts.lock().unwrap().is_empty());
}

#[test]
fn masks_and_boxes_of_one_message_keep_their_order() {
    let b = bench(patient());
    b.encode(1);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    b.result();
    let clicks = b.decoded_prompts.lock().unwrap().len();
    send(&b, (1..=80).map(|area| detected((area % 3 != 0).then(|| mask(area)), BOX)).collect());
    let result = std::iter::repeat_with(|| b.result()).find(|result| result.objects.len() == 81).unwrap();
    assert_eq!(result.objects[0].id, 1, "the click is beside them");
    for (object, area) in result.objects[1..].iter().zip(1..) {
        assert_eq!(object.id, 1000 + area);
        // The fake decoder makes masks of its own, and writes the second of the frame into the IoU.
        let is_own = object.iou == 0.75 && object.mask.area == area;
        assert_eq!(is_own, area % 3 != 0, "{area}: IoU {}, {} pixels", object.iou, object.mask.area);
        assert!(is_own || object.iou == 0.01);
    }
    let decoded = b.decoded_prompts.lock().unwrap();
    assert_eq!(decoded[clicks..].iter().map(Vec::len).sum::<usize>(), 26, "the boxes without masks");
}

#[test]
fn a_mask_of_another_size_is_refused_alone() {
    let b = bench(patient());
    b.encode(1);
    let wrong = Mask::from_data(4, 2, &[1; 8]).unwrap();
    send(&b, vec![detected(Some(wrong), BOX), detected(Some(mask(3)), BOX)]);
    let refusal = b.refusal();
    assert_eq!(refusal.kind, RefusalKind::BadPrompt);
    assert!(refusal.message.contains("a mask of 4x2 pixels, the image is 32x24"), "{}", refusal.message);
    assert_eq!(b.result().objects.iter().map(|o| o.mask.area).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_box_without_area_beside_a_mask_is_not_shown() {
    let b = bench(patient());
    b.encode(1);
    send(&b, vec![detected(Some(mask(3)), BoxPrompt { y_max: 1.0, ..BOX })]);
    let result = b.result();
    assert_eq!((result.objects[0].mask.area, result.objects[0].bbox), (3, None));
}

#[test]
fn masks_that_wait_count_as_memory() {
    let boxes = |mask| Detections { source: "text", at: FrameRef::Newest, boxes: vec![detected(mask, BOX)] };
    let (with, without) = (boxes(Some(mask(WIDTH as usize))).bytes(), boxes(None).bytes());
    assert!(with >= without + 2 * WIDTH as usize, "{with} and {without}");
}
