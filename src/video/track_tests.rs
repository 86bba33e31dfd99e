use super::*;
use crate::pixels::{Geometry, Resize};
use crate::prompt::{BoxPrompt, Point};
use crate::video::MemorySpec;
use crate::video::network::{Features, Recalled};

const SIDE: usize = 4;

/// What a network was asked, in the order of asking.
#[derive(Debug, Clone, PartialEq)]
enum Asked {
    /// Memories and pointers, tokens of the prompt, the mask that was fed back (its first cell), `multimask`.
    Heads(Option<(usize, usize)>, usize, Option<f32>, bool),
    /// The first cell of the mask, and whether it counts as drawn.
    Remember(f32, bool),
}

struct Fake {
    spec: MemorySpec,
    asked: Vec<Asked>,
    /// What the decoder says next.
    mask: Vec<f32>,
    score: f32,
    fails: bool,
    features: Features,
}

impl Fake {
    fn new() -> Self {
        Self::with(MemorySpec { frames: 7, pointers: 16, low_res_side: SIDE, image_side: 16, feature_bytes: 8 })
    }

    fn with(spec: MemorySpec) -> Self {
        let mask = vec![40.0; spec.low_res_side * spec.low_res_side];
        let features = vec![half::bf16::ZERO; spec.feature_bytes / 2].into();
        Fake { spec, asked: Vec::new(), mask, score: 1.0, fails: false, features }
    }

    fn told(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.asked)
    }

    fn answer(&self) -> Result<(), Error> {
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
        recalled: Option<&Recalled>,
        prompt: &Prompt,
        multimask: bool,
    ) -> Result<Heads, Error> {
        self.answer()?;
        let tokens = prompt.points.len() + 2 * usize::from(prompt.bbox.is_some());
        let recalled = recalled.map(|r| (r.memories.len(), r.pointers.len()));
        let mask = prompt.mask.as_ref().map(|m| m.data[0]);
        self.asked.push(Asked::Heads(recalled, tokens, mask, multimask));
        let (mask, pointer) = (self.mask.clone(), vec![0.5; 256]);
        Ok(Heads { mask, iou: 0.75, object_score: self.score, pointer, ms: StepMs::default() })
    }

    fn pointer_of_mask(&mut self, _: &Embedding, mask: &[f32]) -> Result<Vec<f32>, Error> {
        self.answer()?;
        Ok(vec![mask.iter().sum(); 256])
    }

    fn remember(&mut self, _: &Embedding, mask: &[f32], binarize: bool, _: f32) -> Result<(Features, f32), Error> {
        self.answer()?;
        self.asked.push(Asked::Remember(mask[0], binarize));
        Ok((Arc::clone(&self.features), 1.0))
    }
}

fn frame() -> Embedding {
    Embedding::from_parts(Vec::new(), Geometry::new(64, 48, 16, Resize::Stretch)).unwrap()
}

fn boxed() -> Prompt {
    Prompt { bbox: Some(BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 }), ..Prompt::default() }
}

/// Follows over a frame as the engine does.
fn step(track: &mut Track, network: &mut Fake, at: Position) -> Option<Answer> {
    for waiting in track.unsettled() {
        track.settle(network, waiting, &frame()).unwrap();
    }
    track.step(network, at, &frame(), Direction::Forward).unwrap()
}

#[test]
fn clicks_on_a_new_frame_see_no_memory_and_feed_the_mask_back() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    let click = Prompt::point(1.0, 1.0);
    track.prompt(&mut network, 0, &frame(), &click).unwrap();
    track.prompt(&mut network, 0, &frame(), &click.clone().with_point(Point::background(5.0, 5.0))).unwrap();
    track.prompt(&mut network, 0, &frame(), &boxed()).unwrap();
    // The best of the candidates for one click only; logits of 40 come back as 32.
    let asked = [
        Asked::Heads(None, 1, None, true),
        Asked::Heads(None, 2, Some(32.0), false),
        Asked::Heads(None, 2, Some(32.0), false),
    ];
    assert_eq!(network.told(), asked);
    step(&mut track, &mut network, 1).unwrap();
    // Three prompts on a frame cost one memory, which counts as drawn; what was found then does not.
    let asked = [Asked::Remember(40.0, true), Asked::Heads(Some((1, 1)), 0, None, true), Asked::Remember(40.0, false)];
    assert_eq!(network.told(), asked);
}

#[test]
fn a_correction_sees_the_memories_and_lasts() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    (0..8).for_each(|at| drop(step(&mut track, &mut network, at)));
    network.told();
    network.mask.fill(7.0);
    let corrected = track.prompt(&mut network, 5, &frame(), &Prompt::point(2.0, 2.0)).unwrap();
    assert_eq!(network.told(), [Asked::Heads(Some((5, 5)), 1, Some(32.0), true)]);
    network.mask.fill(3.0);
    let again = step(&mut track, &mut network, 5).unwrap();
    assert_eq!((again.mask[0], corrected.mask[0]), (7.0, 7.0));
    assert_eq!(network.told(), [Asked::Remember(7.0, true)]);
    assert_eq!(track.prompted(), [0, 5]);
    // A second correction there looks at the first.
    track.prompt(&mut network, 5, &frame(), &Prompt::point(2.0, 2.0)).unwrap();
    assert_eq!(network.told(), [Asked::Heads(Some((6, 6)), 1, Some(7.0), true)]);
}

#[test]
fn a_correction_of_the_newest_frame_sees_as_much_where_little_is_kept() {
    let told = [None, Some(4)].map(|keep| {
        let (mut track, mut network) = (Track::new(Limits { keep, ..Limits::default() }, 0), Fake::new());
        track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
        (0..40).for_each(|at| drop(step(&mut track, &mut network, at)));
        network.told();
        track.prompt(&mut network, 39, &frame(), &Prompt::point(2.0, 2.0)).unwrap();
        network.told()
    });
    assert_eq!(told[0], [Asked::Heads(Some((1 + 6, 1 + 15)), 1, Some(32.0), true)]);
    assert_eq!(told[1], told[0]);
}

#[test]
fn an_object_that_is_not_there_has_no_mask_and_is_remembered_as_that() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    network.score = -0.5;
    let gone = step(&mut track, &mut network, 1).unwrap();
    assert!(!gone.is_there() && gone.mask.iter().all(|v| *v == NOT_THERE));
    assert_eq!(network.told().last(), Some(&Asked::Remember(NOT_THERE, false)));
    network.score = 2.0;
    assert!(step(&mut track, &mut network, 2).unwrap().is_there());
}

#[test]
fn holes_are_filled_in_what_is_shown_and_not_in_memory() {
    let (mut track, mut network) = (Track::new(Limits::default(), 2), Fake::new());
    network.mask[0] = -3.0;
    let shown = track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    assert_eq!(shown.mask[0], 0.1);
    network.told();
    let shown = step(&mut track, &mut network, 1).unwrap();
    assert_eq!(shown.mask[0], 0.1);
    // A prompted mask is remembered as it was shown: that is what the person saw.
    let memories: Vec<_> = network.told().into_iter().filter(|a| matches!(a, Asked::Remember(..))).collect();
    assert_eq!(memories, [Asked::Remember(0.1, true), Asked::Remember(-3.0, false)]);
}

#[test]
fn a_mask_is_the_answer_itself_and_an_empty_one_says_that_nothing_is_there() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    let mask = SquareMask { inside: vec![1.0; 256], side: 16 };
    let answer = track.mask(&mut network, 0, &frame(), &mask).unwrap();
    assert!((answer.mask[0] - 10.0).abs() < 1e-5);
    assert_eq!((answer.iou, answer.object_score, answer.pointer[0]), (1.0, 10.0, 256.0));
    let nothing = SquareMask { inside: vec![0.0; 256], side: 16 };
    let answer = track.mask(&mut network, 0, &frame(), &nothing).unwrap();
    assert!((answer.mask[0] + 10.0).abs() < 1e-5);
    assert_eq!((answer.object_score, answer.is_there()), (-10.0, false));
    assert_eq!(track.unsettled(), [0]);
}

#[test]
fn before_its_first_prompt_an_object_is_nowhere() {
    let (mut track, mut network) = (Track::default(), Fake::new());
    assert!(step(&mut track, &mut network, 0).is_none());
    track.prompt(&mut network, 5, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    assert!(step(&mut track, &mut network, 3).is_none());
    for waiting in track.unsettled() {
        track.settle(&mut network, waiting, &frame()).unwrap();
    }
    assert!(track.step(&mut network, 4, &frame(), Direction::Backward).unwrap().is_some());
}

#[test]
fn what_fails_changes_nothing() {
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
fn a_prompt_that_is_taken_back_conditions_nothing_any_more() {
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
    network.told();
    track.prompt(&mut network, 0, &frame(), &Prompt::point(1.0, 1.0)).unwrap();
    assert_eq!(network.told(), [Asked::Heads(None, 1, None, true)]);
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
            network.asked.clear();
            largest = track.bytes().max(largest);
        }
        assert_eq!(track.prompted().len(), keep);
        most.push(largest as f64 / f64::from(1 << 20));
    }
    // Without conditioning frames 9 memories, 18 pointers, 3 masks: 5.3 MiB. Each of those is half of one, the newest has a
    // mask too.
    assert!(most[0] < 6.1, "{most:?} MiB");
    assert!((most[1] - most[0] - 1.5).abs() < 0.3, "{most:?} MiB");
}
