//! Deferred prompts: clicks in metres that wait for frames or transforms.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::prompts::detect;
use super::testing::stamp;
use super::*;
use crate::prompt::Point;

/// A prompt that is resolved once `open` is set.
#[derive(Debug)]
struct Gated {
    open: Arc<std::sync::atomic::AtomicBool>,
    at: FrameRef,
    x: f32,
}

impl DeferredPrompt for Gated {
    fn resolve(&mut self, _: &kept::KeptFrames, last: bool) -> Option<Result<Interaction, Refusal>> {
        let click = Interaction::Click {
            at: self.at,
            point: Point::foreground(self.x, 4.0),
            mode: ClickMode::Point,
            persistence: Persistence::Once,
        };
        match (self.open.load(std::sync::atomic::Ordering::Relaxed), last) {
            (true, _) => Some(Ok(click)),
            (false, true) => Some(Err(Refusal::new(RefusalKind::NoTransform, "closed"))),
            (false, false) => None,
        }
    }
}

#[test]
fn a_deferred_prompt_keeps_its_turn() {
    let b = bench(patient());
    b.encode(1);
    b.encode(2);
    let open = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let later = Gated { open: Arc::clone(&open), at: FrameRef::At(stamp(1)), x: 7.0 };
    b.engine.interact(Interaction::Deferred(Some(Box::new(later)))).unwrap();
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    assert_eq!(b.engine.usage().prompts, 2);
    open.store(true, std::sync::atomic::Ordering::Relaxed);
    let first = b.result();
    assert_eq!((first.header.stamp, first.objects[0].points[0].x), (stamp(1), 7.0));
    assert_eq!(b.result().header.stamp, stamp(2));
}

#[test]
fn a_prompt_that_is_never_resolved_is_refused_after_the_timeout() {
    let b = bench(Settings { prompt_timeout: Duration::from_millis(30), ..Settings::default() });
    let later = |x| {
        let later = Gated { open: Arc::default(), at: FrameRef::Newest, x };
        b.engine.interact(Interaction::Deferred(Some(Box::new(later)))).unwrap();
    };
    later(1.0);
    assert_eq!(b.refusal().kind, RefusalKind::NoTransform);
    assert_eq!((b.engine.usage().prompts, b.engine.metrics().refused[&RefusalKind::NoTransform]), (0, 1));
}

/// Blocks until the test releases it, as a lookup of transforms may.
#[derive(Debug)]
struct Blocking {
    started: std::sync::mpsc::Sender<()>,
    go: Receiver<()>,
}

impl DeferredPrompt for Blocking {
    fn resolve(&mut self, _: &kept::KeptFrames, _: bool) -> Option<Result<Interaction, Refusal>> {
        let _ = self.started.send(());
        let _ = self.go.recv_timeout(PATIENCE);
        let (at, mode, persistence) = (FrameRef::Newest, ClickMode::Point, Persistence::Once);
        Some(Ok(Interaction::Click { at, point: Point::foreground(7.0, 4.0), mode, persistence }))
    }
}

#[test]
fn only_the_clicks_behind_it_wait_for_a_lookup_of_transforms() {
    let b = bench(patient());
    b.encode(1);
    let ((started, starts), (go, goes)) = (channel(), channel());
    b.engine.interact(Interaction::Deferred(Some(Box::new(Blocking { started, go: goes })))).unwrap();
    starts.recv_timeout(PATIENCE).unwrap();
    // Prompts, diagnostics, the camera and a detector, while the lookup blocks.
    let since = Instant::now();
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    b.encode(2);
    detect(&b, 1);
    let x = |r: FrameResult| r.objects.iter().find(|o| o.id == 1).map(|o| o.points[0].x);
    assert_eq!(x(b.result()), None, "of the detector");
    assert_eq!(b.engine.usage().prompts, 2, "both clicks wait");
    assert!(since.elapsed() < PATIENCE / 2, "the engine waited for the lookup: {:?}", since.elapsed());
    go.send(()).unwrap();
    assert_eq!([x(b.result()), x(b.result())], [Some(7.0); 2], "clicks in their order, on one frame: they add up");
}

#[test]
fn a_lookup_that_never_ends_loses_only_its_click() {
    let b = bench(Settings { prompt_timeout: Duration::from_millis(20), ..Settings::default() });
    b.encode(1);
    let ((started, starts), (go, goes)) = (channel(), channel());
    b.engine.interact(Interaction::Deferred(Some(Box::new(Blocking { started, go: goes })))).unwrap();
    starts.recv_timeout(PATIENCE).unwrap();
    b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Once);
    let refusal = b.refusal();
    assert_eq!(refusal.kind, RefusalKind::NoTransform);
    assert!(refusal.message.contains("takes too long"), "{}", refusal.message);
    assert_eq!(b.result().objects[0].points, [Point::foreground(4.0, 4.0)]);
    // The late outcome of the lookup has no effect.
    go.send(()).unwrap();
    b.click(FrameRef::Newest, 5.0, 5.0, Persistence::Once);
    let points = [Point::foreground(4.0, 4.0), Point::foreground(5.0, 5.0)];
    assert_eq!(b.result().objects[0].points, points);
}
