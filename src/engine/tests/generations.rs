//! Masks of everything: turns on the decoder, cancel, supersede, queue, crops.

use tokio::sync::oneshot;

use super::grid::{Grid, Use, Waiting, generation, published};
use super::testing::{HEIGHT, WIDTH, frame, header, stamp};
use super::*;
use crate::engine::state::{MAX_TURNS_BEFORE_BATCH, MAX_WAITING_GENERATIONS};
use crate::everything::Progress;

fn superseding() -> Settings {
    let mut settings = patient();
    settings.everything.when_busy = WhenBusy::Supersede;
    settings
}

#[test]
fn masks_of_a_kept_frame_are_answered_and_published() {
    let g = Grid::new(patient());
    g.b.encode(1);
    g.permit(4);
    let mut waiting = g.ask();
    let result = wait_for(std::mem::replace(&mut waiting.answer, oneshot::channel().1)).unwrap();
    assert_eq!(*waiting.progress.borrow_and_update(), Progress { decoded: 16, points: 16, masks: 16 });
    let objects = &result.result.objects;
    assert_eq!(objects.iter().map(|o| o.id).collect::<Vec<_>>(), [10_001, 10_002, 10_003, 10_004]);
    assert!(objects.windows(2).all(|pair| pair[0].mask.area >= pair[1].mask.area), "largest first");
    assert!(objects.iter().all(|o| (o.iou, o.mask.width, o.mask.height) == (0.95, WIDTH, HEIGHT)));
    assert_eq!((result.result.header.clone(), result.left_out), (header(1), 0));
    let published = published(&g.b.events);
    assert_eq!((published.header, published.objects.len()), (header(1), 4));
    let expected = GenerationCounts { requested: 1, finished: 1, ..GenerationCounts::default() };
    assert_eq!((g.counts(), g.b.engine.usage().generations), (expected, 0));
    assert_eq!(g.b.engine.metrics().total(Stage::Generation).0, 1);
}

#[test]
fn settings_that_are_not_given_are_those_of_the_model() {
    let g = Grid::new(patient());
    g.b.encode(1);
    g.permit(1);
    let settings = GenerationSettings { points_per_side: None, ..generation() };
    let mut waiting = g.ask_for(SegmentOn::Frame(FrameRef::Newest), None, settings);
    wait_for(std::mem::replace(&mut waiting.answer, oneshot::channel().1)).unwrap();
    assert_eq!(waiting.progress.borrow_and_update().points, 2 * 2);
}

#[test]
fn a_click_waits_for_one_batch_and_frames_go_before_batches_too() {
    let g = Grid::new(patient());
    g.b.encode(1);
    g.b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
    assert_eq!(g.next_use(), Use::Prompts(1));
    g.permit(1);
    g.b.result();
    g.b.engine.interact(Interaction::NewObject).unwrap();
    let waiting = g.ask();
    assert_eq!(g.next_use(), Use::Batch(4));
    // The first batch is on the decoder. Three clicks, and a frame with the held object, come.
    (0..3).for_each(|_| g.b.click(FrameRef::At(stamp(1)), 4.0, 4.0, Persistence::Once));
    g.b.encode(2);
    g.permit(8);
    let uses: Vec<Use> = (0..7).map(|_| g.next_use()).collect();
    assert_eq!(uses, [[Use::Prompts(1); 4].as_slice(), &[Use::Batch(4); 3]].concat());
    assert_eq!(waiting.result().result.header, header(1));
}

#[test]
fn a_flood_of_clicks_does_not_starve_a_generation() {
    let g = Grid::new(patient());
    g.b.encode(1);
    let waiting = g.ask();
    assert_eq!(g.next_use(), Use::Batch(4));
    (0..100).for_each(|_| g.click());
    g.permit(200);
    waiting.result();
    let uses: Vec<Use> = std::iter::from_fn(|| g.started.try_recv().ok()).collect();
    let batches: Vec<usize> = (0..uses.len()).filter(|i| uses[*i] == Use::Batch(4)).collect();
    assert_eq!(batches.len(), 3);
    // The masks of a batch are filtered while the decoder answers clicks; then the next batch waits for its turn.
    let prompts = |uses: &[Use]| uses.iter().filter(|u| matches!(u, Use::Prompts(_))).count();
    assert!(prompts(&uses) >= MAX_TURNS_BEFORE_BATCH, "{uses:?}");
    assert!(batches[0] >= MAX_TURNS_BEFORE_BATCH, "clicks go first: {uses:?}");
}

#[test]
fn a_cancelled_generation_decodes_no_further_batch() {
    let g = Grid::new(patient());
    g.b.encode(1);
    let waiting = g.ask();
    assert_eq!(g.next_use(), Use::Batch(4));
    drop(waiting);
    g.permit(1);
    until(|| g.b.engine.usage().generations == 0);
    g.click();
    assert_eq!(g.next_use(), Use::Prompts(1));
    g.permit(1);
    assert_eq!(g.b.result().source, ResultSource::Prompt);
    let expected = GenerationCounts { requested: 1, cancelled: 1, ..GenerationCounts::default() };
    assert_eq!(g.counts(), expected);
}

#[test]
fn a_client_that_is_gone_leaves_nothing_behind_wherever_its_request_is() {
    let g = Grid::new(patient());
    g.b.encode(1);
    let running = g.ask();
    assert_eq!(g.next_use(), Use::Batch(4));
    // Behind the running generation, for a frame that has not come, and with an image that is not encoded.
    let behind = g.ask();
    let future = g.ask_for(SegmentOn::Frame(FrameRef::At(stamp(9))), None, generation());
    let image = g.ask_for(SegmentOn::Image(frame(42)), None, generation());
    drop((behind, future, image));
    g.b.gate.open(1);
    g.permit(1);
    until(|| g.counts().cancelled == 3);
    assert_eq!(g.b.engine.usage().generations, 1);
    g.permit(3);
    running.result();
    assert_eq!(g.b.engine.usage().queries, 0);
}

#[test]
fn a_newer_request_supersedes_those_that_run_and_wait() {
    let g = Grid::new(superseding());
    g.b.encode(1);
    let first = g.ask();
    assert_eq!(g.next_use(), Use::Batch(4));
    let second = g.ask_for(SegmentOn::Frame(FrameRef::At(stamp(9))), None, generation());
    let third = g.ask();
    assert_eq!(second.end(), GenerationEnd::Superseded);
    g.permit(1);
    assert_eq!(first.end(), GenerationEnd::Superseded);
    g.permit(4);
    third.result();
    let expected = GenerationCounts { requested: 3, finished: 1, superseded: 2, ..GenerationCounts::default() };
    assert_eq!(g.counts(), expected);
    // One use for the first, four for the third.
    assert_eq!(std::iter::from_fn(|| g.started.try_recv().ok()).count(), 4);
}

#[test]
fn a_refused_request_supersedes_nothing() {
    let g = Grid::new(superseding());
    g.b.encode(1);
    let first = g.ask();
    assert_eq!(g.next_use(), Use::Batch(4));
    let mut bad = generation();
    bad.points_per_side = Some(0);
    assert!(matches!(g.ask_for(SegmentOn::Frame(FrameRef::Newest), None, bad).end(), GenerationEnd::Refused(_)));
    g.permit(4);
    first.result();
}

#[test]
fn requests_queue_in_order_up_to_a_limit() {
    let g = Grid::new(patient());
    g.b.encode(1);
    g.b.encode(2);
    let first = g.ask_for(SegmentOn::Frame(FrameRef::At(stamp(1))), None, generation());
    assert_eq!(g.next_use(), Use::Batch(4));
    let waiting: Vec<Waiting> = (0..MAX_WAITING_GENERATIONS).map(|_| g.ask()).collect();
    assert_eq!(g.b.engine.usage().generations, 1 + MAX_WAITING_GENERATIONS);
    let GenerationEnd::Refused(refusal) = g.ask().end() else { panic!("not refused") };
    assert_eq!(refusal.kind, RefusalKind::QueueFull);
    g.permit(4 * (1 + MAX_WAITING_GENERATIONS));
    assert_eq!(first.result().result.header, header(1));
    for request in waiting {
        assert_eq!(request.result().result.header, header(2));
    }
    let counts = g.counts();
    assert_eq!((counts.requested, counts.finished, counts.refused), (10, 9, 1));
    assert_eq!(g.b.engine.metrics().refused[&RefusalKind::QueueFull], 1);
}

#[test]
fn the_frame_stays_while_its_generation_runs() {
    let keep = KeepLimits { frames: 1, ..KeepLimits::default() };
    let g = Grid::new(Settings { keep, ..patient() });
    g.b.encode(1);
    let waiting = g.ask();
    assert_eq!(g.next_use(), Use::Batch(4));
    g.b.encode(2);
    g.permit(4);
    let result = waiting.result().result;
    assert_eq!((result.header, result.image.get_pixel(0, 0).0[0]), (header(1), 1));
}

#[test]
fn an_image_of_its_own_is_answered_and_not_published() {
    let g = Grid::new(patient());
    g.b.encode(1);
    g.b.gate.open(1);
    g.permit(4);
    let result = g.ask_for(SegmentOn::Image(frame(42)), None, generation()).result().result;
    assert_eq!((result.header, result.objects.len()), (header(42), 4));
    g.permit(4);
    g.ask().result();
    assert_eq!(published(&g.b.events).header, header(1), "the only one of the camera");
}

#[test]
fn crops_are_encoded_between_frames_and_the_whole_image_is_not_encoded_again() {
    let g = Grid::new(patient());
    g.b.encode(1);
    assert_eq!(g.b.gate.started.recv_timeout(PATIENCE), Ok(1));
    let mut settings = generation();
    (settings.generator.crop_n_layers, settings.generator.points_per_batch) = (1, 16);
    g.permit(5);
    let waiting = g.ask_for(SegmentOn::Frame(FrameRef::Newest), None, settings);
    // A crop of frame 1 is on the encoder; a newer frame comes and has the next turn.
    assert_eq!(g.b.gate.started.recv_timeout(PATIENCE), Ok(1));
    g.b.engine.push_frame(frame(2));
    g.b.gate.open(2);
    assert_eq!(g.b.gate.started.recv_timeout(PATIENCE), Ok(2));
    g.b.gate.open(3);
    let result = waiting.result();
    assert_eq!(g.b.gate.started.try_iter().collect::<Vec<_>>(), [1, 1, 1], "four crops in all");
    assert!(result.result.objects.iter().all(|o| (o.mask.width, o.mask.height) == (WIDTH, HEIGHT)));
    assert_eq!(g.b.engine.usage().kept_frames, 2);
}

#[test]
fn a_cancelled_generation_does_not_wait_for_its_crop() {
    let g = Grid::new(patient());
    g.b.encode(1);
    assert_eq!(g.b.gate.started.recv_timeout(PATIENCE), Ok(1));
    let mut settings = generation();
    settings.generator.crop_n_layers = 1;
    g.permit(4);
    let waiting = g.ask_for(SegmentOn::Frame(FrameRef::Newest), None, settings);
    // The first crop stays on the encoder.
    assert_eq!(g.b.gate.started.recv_timeout(PATIENCE), Ok(1));
    drop(waiting);
    until(|| g.b.engine.usage().generations == 0);
    assert_eq!(g.counts().cancelled, 1);
}
