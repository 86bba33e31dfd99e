//! A small SAM 2.1, EdgeTAM and EfficientTAM with memory against `SAM2VideoPredictor`: scripted clicks, corrections, boxes,
//! masks and propagations over a drawn clip. `export/promptseg_export/golden_video.py` writes the golden
//! files. `cargo test --test golden_video -- --nocapture` prints the table.

#[allow(dead_code)] // the cases of `support` belong to tests of single images
mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use promptseg::model::network::{Heads, Memories, MemorySpec, Network, SpatialMemory};
use promptseg::model::{Embedding, Error, ImageEncoder, MaskDecoder, Model, SessionOptions};
use promptseg::pixels::SquareMask;
use promptseg::prompt::{BoxPrompt, Point, Prompt};
use promptseg::video::{Direction, Limits, Position, Track, TrackedMask};
use safetensors::SafeTensors;
use serde::Deserialize;
use support::{difference, golden, tensor};

/// A bundle, and the results of the reference on the clip.
struct Fixture {
    folder: &'static str,
    /// Stride of the stored rows and columns of low-resolution logits.
    stride: usize,
}

const SAM_2_1: Fixture = Fixture { folder: "video", stride: 2 };
/// EdgeTAM: spatial memories are latents, object pointers have no temporal encoding, and the object is on every frame.
const EDGETAM: Fixture = Fixture { folder: "video_edgetam", stride: 4 };
/// EfficientTAM: spatial memories are pooled in the attention, object pointers have no temporal encoding.
const EFFICIENTTAM: Fixture = Fixture { folder: "video_efficienttam", stride: 4 };
/// Largest differences. Scores are logits of a few units, the other values of a few tenths.
const LOW_RES: f32 = 5e-5;
const POINTER: f32 = 5e-5;
const SCORE: f32 = 2e-4;

#[derive(Deserialize)]
struct Scenario {
    name: String,
    max_conditioning: Option<usize>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Step {
    Points {
        object: u32,
        frame: usize,
        points: Vec<[f32; 3]>,
        #[serde(rename = "box")]
        bbox: Option<[f32; 4]>,
    },
    Mask {
        object: u32,
        frame: usize,
        mask: String,
    },
    Propagate {
        start: usize,
        count: usize,
        reverse: bool,
    },
}

/// Largest differences of a scenario.
#[derive(Default, Debug)]
struct Worst {
    low_res: f32,
    pointer: f32,
    score: f32,
    masks: usize,
    /// Number of masks without the object.
    absent: usize,
    /// Number of masks with the object.
    present: usize,
}

/// A fault that the test makes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    TemporalRow,
    Divisor,
    Binarize,
    LastMemory,
    NoPointers,
    MaskPrompt,
    SingleMask,
}

/// The networks, with a fault.
struct Faulty<'a> {
    network: &'a mut dyn Network,
    fault: Fault,
}

impl Network for Faulty<'_> {
    fn spec(&self) -> MemorySpec {
        self.network.spec()
    }

    fn heads(
        &mut self,
        frame: &Embedding,
        memories: Option<&Memories>,
        prompt: &Prompt,
        multimask: bool,
    ) -> Result<Heads, Error> {
        let mut memories = memories.cloned();
        let frames = self.spec().frames;
        if let Some(memories) = &mut memories {
            match self.fault {
                Fault::TemporalRow => memories.spatial.iter_mut().for_each(|m| m.1 = (m.1 + 1) % frames),
                Fault::Divisor => memories.pointers.iter_mut().for_each(|p| p.1 *= 15.0 / 16.0),
                Fault::LastMemory if memories.spatial.len() > 1 => drop(memories.spatial.pop()),
                Fault::NoPointers => memories.pointers.truncate(1),
                _ => {}
            }
        }
        let mask = prompt.mask.clone().filter(|_| self.fault != Fault::MaskPrompt);
        let multimask = multimask && self.fault != Fault::SingleMask;
        self.network.heads(frame, memories.as_ref(), &Prompt { mask, ..prompt.clone() }, multimask)
    }

    fn pointer_of_mask(&mut self, frame: &Embedding, mask: &[f32]) -> Result<Vec<f32>, Error> {
        self.network.pointer_of_mask(frame, mask)
    }

    fn encode_memory(
        &mut self,
        frame: &Embedding,
        mask: &[f32],
        binarize: bool,
        object_score: f32,
    ) -> Result<(SpatialMemory, f32), Error> {
        self.network.encode_memory(frame, mask, binarize && self.fault != Fault::Binarize, object_score)
    }
}

struct Clip {
    frames: Vec<Embedding>,
    size: (u32, u32),
}

impl Fixture {
    fn file(&self, name: &str) -> PathBuf {
        golden(self.folder).join(name)
    }

    fn open(&self) -> (ImageEncoder, MaskDecoder) {
        let model = Model::open(&golden(self.folder), None, &SessionOptions::cpu(2)).unwrap_or_else(|e| panic!("{e}"));
        (model.encoder, model.decoder)
    }

    fn scenarios(&self) -> Vec<Scenario> {
        serde_json::from_slice(&std::fs::read(self.file("scenarios.json")).unwrap()).unwrap()
    }

    fn expected(&self) -> Vec<u8> {
        std::fs::read(self.file("expected.safetensors")).unwrap()
    }
}

fn clip(encoder: &mut ImageEncoder) -> Clip {
    let frame = |i: usize| golden(&format!("video/frames/{i:02}.png"));
    let images = (0..).map(frame).take_while(|path| path.exists()).map(|path| image::open(path).unwrap().into_rgb8());
    let images: Vec<_> = images.collect();
    assert!(images.len() >= 18, "{} frames", images.len());
    Clip { size: images[0].dimensions(), frames: images.iter().map(|image| encoder.encode(image).unwrap()).collect() }
}

fn settle(tracks: &mut BTreeMap<u32, Track>, network: &mut dyn Network, clip: &Clip) {
    for track in tracks.values_mut() {
        for at in track.unsettled() {
            track.settle(network, at, &clip.frames[at as usize]).unwrap();
        }
    }
}

fn run(
    scenario: &Scenario,
    network: &mut dyn Network,
    clip: &Clip,
    expected: &SafeTensors<'_>,
    stride: usize,
) -> Worst {
    let limits =
        Limits { conditioning: scenario.max_conditioning, length: Some(clip.frames.len()), ..Limits::default() };
    let mut tracks: BTreeMap<u32, Track> = BTreeMap::new();
    let mut worst = Worst::default();
    let side = network.spec().low_res_side;
    for (number, step) in scenario.steps.iter().enumerate() {
        let mut results: Vec<(u32, usize, TrackedMask)> = Vec::new();
        match step {
            Step::Points { object, frame, points, bbox } => {
                let track = tracks.entry(*object).or_insert_with(|| Track::new(limits, 0));
                let point = |p: &[f32; 3]| match p[2] {
                    0.0 => Point::background(p[0], p[1]),
                    _ => Point::foreground(p[0], p[1]),
                };
                let bbox = bbox.map(|[x_min, y_min, x_max, y_max]| BoxPrompt { x_min, y_min, x_max, y_max });
                let prompt = Prompt { points: points.iter().map(point).collect(), bbox, mask: None };
                let answer = track.prompt(network, *frame as Position, &clip.frames[*frame], &prompt).unwrap();
                results.push((*object, *frame, answer));
            }
            Step::Mask { object, frame, mask } => {
                let track = tracks.entry(*object).or_insert_with(|| Track::new(limits, 0));
                let drawn = image::open(golden("video").join(mask)).unwrap().into_luma8();
                let inside: Vec<u8> = drawn.iter().map(|v| u8::from(*v > 127)).collect();
                let size = (clip.size.0 as usize, clip.size.1 as usize);
                let square = SquareMask::from_image(&inside, size, network.spec().image_side).unwrap();
                let answer = track.mask(network, *frame as Position, &clip.frames[*frame], &square).unwrap();
                results.push((*object, *frame, answer));
            }
            Step::Propagate { start, count, reverse } => {
                settle(&mut tracks, network, clip);
                let (direction, order): (_, Vec<usize>) = match reverse {
                    false => (Direction::Forward, (*start..=(start + count).min(clip.frames.len() - 1)).collect()),
                    true => (Direction::Backward, (start.saturating_sub(*count)..=*start).rev().collect()),
                };
                for frame in order {
                    for (object, track) in &mut tracks {
                        let answer = track.step(network, frame as Position, &clip.frames[frame], direction).unwrap();
                        let answer =
                            answer.unwrap_or_else(|| panic!("{}: nothing to follow on {frame}", scenario.name));
                        results.push((*object, frame, answer));
                    }
                }
            }
        }
        for (object, frame, answer) in results {
            let key = format!("{}.{number}.{object}.{frame}", scenario.name);
            let (_, low_res) = tensor(expected, &format!("{key}.low_res"));
            let (_, pointer) = tensor(expected, &format!("{key}.pointer"));
            let (_, score) = tensor(expected, &format!("{key}.score"));
            let larger = |a: f32, b: f32| if b.is_nan() { f32::NAN } else { a.max(b) };
            worst.low_res = larger(worst.low_res, difference(&answer.mask, side, &low_res, stride));
            let difference_of = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, larger);
            assert_eq!(answer.pointer.len(), pointer.len());
            worst.pointer = larger(worst.pointer, difference_of(&answer.pointer, &pointer));
            worst.score = larger(worst.score, difference_of(&[answer.object_score], &score));
            worst.masks += 1;
            *(if answer.is_there() { &mut worst.present } else { &mut worst.absent }) += 1;
        }
    }
    worst
}

/// Compares all scenarios with the reference. Returns the number of scenarios in which an object is absent and present.
fn equals_the_reference(fixture: &Fixture) -> usize {
    let (mut encoder, mut decoder) = fixture.open();
    let (clip, content) = (clip(&mut encoder), fixture.expected());
    let expected = SafeTensors::deserialize(&content).unwrap();
    let mut absent = 0;
    for scenario in fixture.scenarios() {
        let worst = run(&scenario, decoder.network().unwrap(), &clip, &expected, fixture.stride);
        let Worst { low_res, pointer, score, masks, .. } = worst;
        println!(
            "{:12} {masks:3} masks  low-res {low_res:.1e}  pointer {pointer:.1e}  score {score:.1e}  absent {}",
            scenario.name, worst.absent
        );
        assert!(low_res < LOW_RES, "{}: logits differ by {low_res}", scenario.name);
        assert!(pointer < POINTER && score < SCORE, "{}: {worst:?}", scenario.name);
        assert!(masks >= 20, "{}: {worst:?}", scenario.name);
        absent += usize::from(worst.absent.min(worst.present) > 0);
    }
    absent
}

#[test]
fn every_scenario_equals_the_reference() {
    assert!(equals_the_reference(&SAM_2_1) > 0, "no object goes and comes back");
}

#[test]
fn every_scenario_of_edgetam_equals_the_reference() {
    assert_eq!(equals_the_reference(&EDGETAM), 0);
}

#[test]
fn every_scenario_of_efficienttam_equals_the_reference() {
    assert_eq!(equals_the_reference(&EFFICIENTTAM), 0);
}

fn detects(fixture: &Fixture, faults: &[(&str, Fault)]) {
    let (mut encoder, mut decoder) = fixture.open();
    let (clip, content) = (clip(&mut encoder), fixture.expected());
    let expected = SafeTensors::deserialize(&content).unwrap();
    let scenarios = fixture.scenarios();
    let mut largest = |name: &str, fault: Fault| {
        let scenario = scenarios.iter().find(|s| s.name == name).unwrap();
        let mut network = Faulty { network: decoder.network().unwrap(), fault };
        run(scenario, &mut network, &clip, &expected, fixture.stride).low_res
    };
    assert!(largest("click", Fault::None) < LOW_RES);
    for &(scenario, fault) in faults {
        let found = largest(scenario, fault);
        println!("{fault:?}: {found:.1e}");
        assert!(found > 2.0 * LOW_RES, "{fault:?} moves {scenario} by {found} only");
    }
}

const FAULTS: [(&str, Fault); 6] = [
    ("click", Fault::TemporalRow),
    ("click", Fault::Binarize),
    ("click", Fault::LastMemory),
    ("click", Fault::NoPointers),
    ("click", Fault::SingleMask),
    ("corrections", Fault::MaskPrompt),
];

#[test]
fn faults_are_detected() {
    detects(&SAM_2_1, &[&FAULTS[..], &[("click", Fault::Divisor)]].concat());
}

#[test]
fn faults_are_detected_with_edgetam() {
    detects(&EDGETAM, &FAULTS);
}

#[test]
fn faults_are_detected_with_efficienttam() {
    detects(&EFFICIENTTAM, &FAULTS);
}
