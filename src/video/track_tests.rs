use super::*;
use crate::model::network::{Memories, MemorySpec, SpatialMemory};
use crate::pixels::{Geometry, Resize};
use crate::prompt::{BoxPrompt, Point};

const SIDE: usize = 4;

/// A call of the fake network.
#[derive(Debug, Clone, PartialEq)]
enum Call {
    /// Numbers of spatial memories and pointers, number of prompt tokens, first cell of the mask prompt, `multimask`.
    Heads(Option<(usize, usize)>, usize, Option<f32>, bool),
    /// First cell of the mask, and `binarize`.
    EncodeMemory(f32, bool),
}

struct Fake {
    spec: MemorySpec,
    calls: Vec<Call>,
    /// Mask that the decoder returns next.
    mask: Vec<f32>,
    score: f32,
    fails: bool,
    spatial: SpatialMemory,
}

impl Fake {
    fn new() -> Self {
        Self::with(MemorySpec { frames: 7, pointers: 16, low_res_side: SIDE, image_side: 16, feature_bytes: 8 })
    }

    fn with(spec: MemorySpec) -> Self {
        let mask = vec![40.0; spec.low_res_side * spec.low_res_side];
        let spatial = vec![half::bf16::ZERO; spec.feature_bytes / 2].into();
        Fake { spec, calls: Vec::new(), mask, score: 1.0, fails: false, spatial }
    }

    fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    fn check(&self) -> Result<(), Error> {
        let failed = || Error::Session { file: "fake".into(), reason: "out of order".into() };
        if self.fails { Err(failed()) } else { Ok(()) }
    }
}

impl Network for Fake {
    fn spec(&self) -> MemorySpec {
        self.spec
    }

    fn heads(
        &mut self,
        _: &Embedding,
        memories: Option<&Memories>,
        prompt: &Prompt,
        multimask: bool,
    ) -> Result<Heads, Error> {
        self.check()?;
        let tokens = prompt.points.len() + 2 * usize::from(prompt.bbox.is_some());
        let memories = memories.map(|r| (r.spatial.len(), r.pointers.len()));
        let mask = prompt.mask.as_ref().map(|m| m.data[0]);
        self.calls.push(Call::Heads(memories, tokens, mask, multimask));
        let (mask, pointer) = (self.mask.clone(), vec![0.5; 256]);
        Ok(Heads { mask, iou: 0.75, object_score: self.score, pointer, timings: StepTimings::default() })
    }

    fn pointer_of_mask(&mut self, _: &Embedding, mask: &[f32]) -> Result<Vec<f32>, Error> {
        self.check()?;
        Ok(vec![mask.iter().sum(); 256])
    }

    fn encode_memory(
        &mut self,
        _: &Embedding,
        mask: &[f32],
        binarize: bool,
        _: f32,
    ) -> Result<(SpatialMemory, f32), Error> {
        self.check()?;
        self.calls.push(Call::EncodeMemory(mask[0], binarize));
        Ok((Arc::clone(&self.spatial), 1.0))
    }
}

fn frame() -> Embedding {
    Embedding::from_parts(Vec::new(), Geometry::new(64, 48, 16, Resize::Stretch)).unwrap()
}

fn boxed() -> Prompt {
    Prompt { bbox: Some(BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 }), ..Prompt::default() }
}

/// Follows the object to a frame as the engine does.
fn step(track: &mut Track, network: &mut Fake, at: Position) -> Option<TrackedMask> {
    for pending in track.unsettled() {
        track.settle(network, pending, &frame()).unwrap();
    }
    track.step(network, at, &frame(), Direction::Forward).unwrap()
}

#[test]
fn prompts_on_a_new_frame_use_no_memory_and_feed_the_mask_back() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    let click = Prompt::point(1.0, 1.0);
    track.prompt(&mut network, 0, &frame(), &click).unwrap();
    track.prompt(&mut network, 0, &frame(), &click.clone().with_point(Point::background(5.0, 5.0))).unwrap();
    track.prompt(&mut network, 0, &frame(), &boxed()).unwrap();
    // Several candidates are decoded for a single click alone. Logits of 40 are fed back as 32.
    let calls = [
        Call::Heads(None, 1, None, true),
        Call::Heads(None, 2, Some(32.0), false),
        Call::Heads(None, 2, Some(32.0), false),
    ];
    assert_eq!(network.take_calls(), calls);
    step(&mut track, &mut network, 1).unwrap();
    // Three prompts on a frame cost one memory, of a binary mask. The memory of a followed frame is of logits.
    let calls =
        [Call::EncodeMemory(40.0, true), Call::Heads(Some((1, 1)), 0, None, true), Call::EncodeMemory(40.0, false)];
    assert_eq!(network.take_calls(), calls);
}

#[test]
fn a_correction_is_conditioned_on_memories_and_lasts() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    (0..8).for_each(|at| drop(step(&mut track, &mut network, at)));
    network.take_calls();
    network.mask.fill(7.0);
    let corrected = track.prompt(&mut network, 5, &frame(), &Prompt::point(2.0, 2.0)).unwrap();
    assert_eq!(network.take_calls(), [Call::Heads(Some((5, 5)), 1, Some(32.0), true)]);
    network.mask.fill(3.0);
    let again = step(&mut track, &mut network, 5).unwrap();
    assert_eq!((again.mask[0], corrected.mask[0]), (7.0, 7.0));
    assert_eq!(network.take_calls(), [Call::EncodeMemory(7.0, true)]);
    assert_eq!(track.prompted(), [0, 5]);
    // The first correction conditions a second one.
    track.prompt(&mut network, 5, &frame(), &Prompt::point(2.0, 2.0)).unwrap();
    assert_eq!(network.take_calls(), [Call::Heads(Some((6, 6)), 1, Some(7.0), true)]);
}

#[test]
fn a_correction_of_the_newest_frame_misses_no_memory_if_few_are_kept() {
    let calls = [None, Some(4)].map(|keep| {
        let (mut track, mut network) = (Track::new(Limits { keep, ..Limits::default() }, 0), Fake::new());
        track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
        (0..40).for_each(|at| drop(step(&mut track, &mut network, at)));
        network.take_calls();
        track.prompt(&mut network, 39, &frame(), &Prompt::point(2.0, 2.0)).unwrap();
        network.take_calls()
    });
    assert_eq!(calls[0], [Call::Heads(Some((1 + 6, 1 + 15)), 1, Some(32.0), true)]);
    assert_eq!(calls[1], calls[0]);
}

#[test]
fn an_absent_object_has_an_empty_mask_and_its_memory_is_of_the_empty_mask() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    network.score = -0.5;
    let gone = step(&mut track, &mut network, 1).unwrap();
    assert!(!gone.is_there() && gone.mask.iter().all(|v| *v == NO_OBJECT));
    assert_eq!(network.take_calls().last(), Some(&Call::EncodeMemory(NO_OBJECT, false)));
    network.score = 2.0;
    assert!(step(&mut track, &mut network, 2).unwrap().is_there());
}

#[test]
fn holes_are_filled_in_the_result_and_stay_in_the_memory() {
    let (mut track, mut network) = (Track::new(Limits::default(), 2), Fake::new());
    network.mask[0] = -3.0;
    let shown = track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    assert_eq!(shown.mask[0], 0.1);
    network.take_calls();
    let shown = step(&mut track, &mut network, 1).unwrap();
    assert_eq!(shown.mask[0], 0.1);
    // The memory of a prompted frame is of the filled mask, which the operator saw.
    let memories: Vec<_> = network.take_calls().into_iter().filter(|a| matches!(a, Call::EncodeMemory(..))).collect();
    assert_eq!(memories, [Call::EncodeMemory(0.1, true), Call::EncodeMemory(-3.0, false)]);
}

#[test]
fn a_given_mask_is_the_result_and_an_empty_mask_means_no_object() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    let mask = SquareMask { inside: vec![1.0; 256], side: 16 };
    let tracked = track.mask(&mut network, 0, &frame(), &mask).unwrap();
    assert!((tracked.mask[0] - 10.0).abs() < 1e-5);
    assert_eq!((tracked.iou, tracked.object_score, tracked.pointer[0]), (1.0, 10.0, 256.0));
    let empty = SquareMask { inside: vec![0.0; 256], side: 16 };
    let tracked = track.mask(&mut network, 0, &frame(), &empty).unwrap();
    assert!((tracked.mask[0] + 10.0).abs() < 1e-5);
    assert_eq!((tracked.object_score, tracked.is_there()), (-10.0, false));
    assert_eq!(track.unsettled(), [0]);
}

#[test]
fn an_object_has_no_mask_before_its_first_prompt() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    assert!(step(&mut track, &mut network, 0).is_none());
    track.prompt(&mut network, 5, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    assert!(step(&mut track, &mut network, 3).is_none());
    for pending in track.unsettled() {
        track.settle(&mut network, pending, &frame()).unwrap();
    }
    assert!(track.step(&mut network, 4, &frame(), Direction::Backward).unwrap().is_some());
}

#[test]
fn a_failure_changes_nothing() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    step(&mut track, &mut network, 1);
    let before = (track.bytes(), track.prompted());
    network.fails = true;
    track.prompt(&mut network, 1, &frame(), &Prompt::point(1.0, 1.0)).unwrap_err();
    track.mask(&mut network, 1, &frame(), &SquareMask { inside: vec![1.0; 256], side: 16 }).unwrap_err();
    track.step(&mut network, 2, &frame(), Direction::Forward).unwrap_err();
    assert_eq!((track.bytes(), track.prompted()), before);
    network.fails = false;
    assert!(step(&mut track, &mut network, 2).is_some());
}

#[test]
fn a_prompt_that_is_taken_back_conditions_no_frame() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    (0..4).for_each(|at| drop(step(&mut track, &mut network, at)));
    track.prompt(&mut network, 2, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    assert!(track.forget(2));
    assert_eq!(track.prompted(), [0]);
    track.prompt(&mut network, 3, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    step(&mut track, &mut network, 4);
    assert!(track.forget(3));
    assert_eq!(track.prompted(), [0]);
    assert!(!track.forget(0));
}

#[test]
fn a_prompt_that_is_taken_back_is_not_fed_back() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    for at in [0, 1] {
        track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
        step(&mut track, &mut network, at);
    }
    track.forget(0);
    network.take_calls();
    track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    assert_eq!(network.take_calls(), [Call::Heads(None, 1, None, true)]);
}

#[test]
fn an_hour_of_frames_and_a_correction_each_minute_take_bounded_memory() {
    // SAM 2 at its true size.
    let spec =
        MemorySpec { frames: 7, pointers: 16, low_res_side: 256, image_side: 1024, feature_bytes: 64 * 64 * 64 * 2 };
    let mut network = Fake::with(spec);
    let mut most = Vec::new();
    for keep in [1, 4] {
        let mut track = Track::new(Limits { keep: Some(keep), ..Limits::default() }, 0);
        let (frame, mut largest) = (frame(), 0);
        for at in 0..30 * 3600 {
            if at % 1800 == 0 {
                track.prompt(&mut network, at, &frame, &Prompt::point(1.0, 1.0)).unwrap();
                track.settle(&mut network, at, &frame).unwrap();
                track.visit(at);
            } else {
                track.step(&mut network, at, &frame, Direction::Forward).unwrap().unwrap();
            }
            network.calls.clear();
            largest = track.bytes().max(largest);
        }
        assert_eq!(track.prompted().len(), keep);
        most.push(largest as f64 / 1e6);
    }
    // 9 spatial memories, 18 pointers and 3 masks of followed frames are 5.5 MB. A conditioning frame adds 0.5 MB,
    // and the newest conditioning frame a mask.
    assert!(most[0] < 6.4, "{most:?} MB");
    assert!((most[1] - most[0] - 1.6).abs() < 0.3, "{most:?} MB");
}
