//! Requests for everything that are refused, and masks that are left out.

use image::RgbImage;
use tokio::sync::{oneshot, watch};

use super::grid::{Grid, generation};
use super::testing::{HEIGHT, WIDTH, frame, header};
use super::*;
use crate::everything::Progress;
use crate::pixels::PixelRect;

/// Checks that a request is refused with the reason, that the refusal is counted, and that a click works afterwards.
fn assert_refused(
    (kind, words): (RefusalKind, &str),
    on: SegmentOn,
    region: Option<PixelRect>,
    change: impl FnOnce(&mut GenerationSettings),
) {
    let g = Grid::new(patient());
    g.b.encode(1);
    g.b.gate.open(1);
    let mut settings = generation();
    change(&mut settings);
    g.permit(1);
    let GenerationEnd::Refused(refusal) = g.ask_for(on, region, settings).end() else { panic!("not refused") };
    assert_eq!(refusal.kind, kind, "{}", refusal.message);
    assert!(refusal.message.contains(words), "{}", refusal.message);
    assert_eq!((g.b.engine.metrics().refused[&kind], g.counts().refused), (1, 1));
    g.permit(1);
    g.click();
    assert_eq!(g.b.result().objects.len(), 1);
}

#[test]
fn what_cannot_be_segmented_is_refused_with_the_reason() {
    let newest = || SegmentOn::Frame(FrameRef::Newest);
    let bad = RefusalKind::BadSettings;
    assert_refused((bad, "points_per_side is 0"), newest(), None, |s| s.points_per_side = Some(0));
    assert_refused((bad, "pred_iou_thresh is 1.5"), newest(), None, |s| s.pred_iou_thresh = Some(1.5));
    assert_refused((bad, "NaN"), newest(), None, |s| s.stability_score_thresh = Some(f32::NAN));
    assert_refused((bad, "1000000 clicks"), newest(), None, |s| s.points_per_side = Some(1000));
    let region = |x, y, width, height| Some(PixelRect { x, y, width, height });
    let outside = (RefusalKind::OutsideImage, "outside the image of 32 x 24");
    assert_refused(outside, newest(), region(32, 0, 4, 4), |_| {});
    assert_refused(outside, newest(), region(u32::MAX, 0, u32::MAX, 4), |_| {});
    assert_refused((bad, "none of the 16 clicks"), newest(), region(0, 0, 1, 1), |_| {});
    let pixels = FramePixels::Rgb(Arc::new(RgbImage::new(1, 1)));
    let pixel = SegmentOn::Image(Frame { header: header(5), pixels });
    assert_refused((RefusalKind::BadImage, "1 x 1"), pixel, None, |_| {});
    let gone = SegmentOn::Frame(FrameRef::At(Stamp { sec: 0, nanosec: 5 }));
    assert_refused((RefusalKind::FrameGone, "is gone"), gone, None, |_| {});
    assert_refused((RefusalKind::ModelFailed, "on purpose"), SegmentOn::Image(frame(67)), None, |_| {});
    assert_refused((RefusalKind::ModelFailed, "on purpose"), SegmentOn::Image(frame(66)), None, |_| {});
}

#[test]
fn a_model_that_takes_no_grid_of_clicks_is_refused_and_clicks_go_on() {
    let b = bench(patient());
    b.encode(1);
    let (progress, _watched) = watch::channel(Progress { decoded: 0, points: 0, masks: 0 });
    let (reply, answer) = oneshot::channel();
    let (on, client) = (SegmentOn::Frame(FrameRef::Newest), GenerationClient { progress, reply });
    b.engine.segment_everything(GenerationRequest { on, region: None, settings: generation(), client });
    let Err(GenerationEnd::Refused(refusal)) = wait_for(answer) else { panic!("not refused") };
    assert_eq!(refusal.kind, RefusalKind::UnsupportedModel);
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    assert_eq!(b.result().objects.len(), 1);
}

#[test]
fn only_the_most_certain_masks_are_kept_and_the_others_are_counted() {
    let g = Grid::new(patient());
    g.b.encode(1);
    g.permit(4);
    let settings = GenerationSettings { max_masks: 3, ..generation() };
    let result = g.ask_for(SegmentOn::Frame(FrameRef::Newest), None, settings).result();
    assert_eq!((result.result.objects.len(), result.left_out, g.counts().masks_left_out), (3, 1, 1));
    g.permit(4);
    let all = GenerationSettings { min_area: WIDTH * HEIGHT, ..generation() };
    let result = g.ask_for(SegmentOn::Frame(FrameRef::Newest), None, all).result();
    assert_eq!((result.result.objects.len(), result.left_out), (0, 0));
}
