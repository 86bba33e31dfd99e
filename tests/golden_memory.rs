//! The networks of a memory, one by one, against `SAM2VideoPredictor` on a drawn clip. The inputs of each network are
//! written out here, so that a failure names the faulty network. `export/promptseg_export/golden_video.py` writes the
//! golden files.

#[allow(dead_code)] // the cases of `support` belong to tests of single images
mod support;

use std::sync::Arc;

use promptseg::model::network::{Heads, MAX_CONDITIONING, Memories, Network, ObjectPointer, SpatialMemory};
use promptseg::model::{Embedding, Model, SessionOptions};
use promptseg::pixels::SquareMask;
use promptseg::prompt::Prompt;
use safetensors::SafeTensors;
use support::{difference, golden, photo, tensor};

/// Stride of the stored rows and columns of low-resolution logits.
const STRIDE: usize = 2;
const TOLERANCE: f32 = 5e-5;
/// Rows of the table of temporal encodings: of a prompted frame, and of the previous frame.
const PROMPTED: usize = 6;
const PREVIOUS: usize = 0;

struct Clip {
    model: Model,
    expected: Vec<u8>,
}

impl Clip {
    fn open() -> Clip {
        let model = Model::open(&golden("video"), None, &SessionOptions::cpu(2)).unwrap_or_else(|e| panic!("{e}"));
        Clip { model, expected: std::fs::read(golden("video/expected.safetensors")).unwrap() }
    }

    fn frame(&mut self, number: usize) -> Embedding {
        self.model.encoder.encode(&photo(&format!("video/frames/{number:02}"))).unwrap()
    }

    fn network(&mut self) -> &mut dyn Network {
        self.model.decoder.network().unwrap()
    }

    /// Returns the differences of logits, pointer and object score to those that are stored under `name`.
    fn differences(&self, found: &Heads, name: &str) -> [f32; 3] {
        let expected = SafeTensors::deserialize(&self.expected).unwrap();
        let stored = |part: &str| tensor(&expected, &format!("{name}.{part}")).1;
        let score = stored("score")[0];
        // The tracker clears the mask of an absent object, not the networks.
        let mask = if score > 0.0 { found.mask.clone() } else { vec![-1024.0; found.mask.len()] };
        let differences = [
            difference(&mask, 64, &stored("low_res"), STRIDE),
            largest_difference(&found.pointer, &stored("pointer")),
            (found.object_score - score).abs(),
        ];
        println!(
            "{name:14} logits {:.1e}, pointer {:.1e}, score {:.1e}",
            differences[0], differences[1], differences[2]
        );
        differences
    }

    fn check(&self, found: &Heads, name: &str) {
        assert!(self.differences(found, name).iter().all(|v| *v < TOLERANCE), "{name}");
    }
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Encodes the memory of a frame as the tracker does.
fn encode(clip: &mut Clip, frame: &Embedding, heads: &Heads, prompted: bool) -> (SpatialMemory, ObjectPointer) {
    let mask = if heads.object_score > 0.0 { heads.mask.clone() } else { vec![-1024.0; heads.mask.len()] };
    let (spatial, ms) = clip.network().encode_memory(frame, &mask, prompted, heads.object_score).unwrap();
    assert!(ms > 0.0);
    (spatial, heads.pointer.as_slice().into())
}

/// Makes memories of frames, each with its row of temporal encodings and its distance in frames.
fn memories_of(frames: &[(&(SpatialMemory, ObjectPointer), usize, usize)]) -> Memories {
    Memories {
        spatial: frames.iter().map(|((spatial, _), row, _)| (Arc::clone(spatial), *row)).collect(),
        pointers: frames
            .iter()
            .map(|((_, pointer), _, distance)| (Arc::clone(pointer), *distance as f32 / 15.0))
            .collect(),
    }
}

#[test]
fn the_bundle_describes_its_memory() {
    let mut clip = Clip::open();
    let spec = clip.network().spec();
    assert_eq!((spec.frames, spec.pointers, spec.low_res_side, spec.image_side), (7, 16, 64, 256));
    assert_eq!(spec.feature_bytes, 256 * 16 * 2);
    let info = clip.model.info.memory.clone().unwrap();
    assert_eq!((info.spec, info.shape), (spec, [256, 16]));
    assert!(
        info.attention.file.ends_with("memory_attention.onnx") && info.encoder.file.ends_with("memory_encoder.onnx")
    );
    let parts =
        clip.model.reports().into_iter().map(|(part, report)| format!("{part} on {report}")).collect::<Vec<_>>();
    let expected =
        ["encoder", "decoder", "memory attention", "memory encoder"].map(|part| format!("{part} on cpu, fp32"));
    assert_eq!(parts, expected);
    // A model without memory has no network.
    let mut other = Model::open(&golden("sam2"), None, &SessionOptions::cpu(1)).unwrap();
    assert!(other.decoder.network().is_none() && other.decoder.memory_providers().is_none());
    assert_eq!((other.reports().len(), other.info.memory), (2, None));
}

#[test]
fn a_click_and_the_two_frames_after_it() {
    let mut clip = Clip::open();
    let (first, second, third) = (clip.frame(0), clip.frame(1), clip.frame(2));
    let click = Prompt::point(18.0, 42.0);
    let clicked = clip.network().heads(&first, None, &click, true).unwrap();
    clip.check(&clicked, "click.0.1.0");
    assert!(clicked.timings.decoder_ms > 0.0 && clicked.timings.attention_ms == 0.0 && clicked.iou.is_finite());

    let zero = encode(&mut clip, &first, &clicked, true);
    let no_prompt = Prompt::default();
    let memories = memories_of(&[(&zero, PROMPTED, 1)]);
    let next = clip.network().heads(&second, Some(&memories), &no_prompt, true).unwrap();
    clip.check(&next, "click.1.1.1");
    assert!(next.timings.attention_ms > 0.0);

    let one = encode(&mut clip, &second, &next, false);
    let memories = memories_of(&[(&zero, PROMPTED, 2), (&one, PREVIOUS, 1)]);
    let after = clip.network().heads(&third, Some(&memories), &no_prompt, true).unwrap();
    clip.check(&after, "click.1.1.2");

    // Each fault must be seen.
    let loose = encode(&mut clip, &first, &clicked, false);
    for (fault, wrong) in [
        ("the row of another time", memories_of(&[(&zero, PROMPTED - 1, 2), (&one, PREVIOUS, 1)])),
        ("the distance of another frame", memories_of(&[(&zero, PROMPTED, 15), (&one, PREVIOUS, 1)])),
        ("a click's memory of the sigmoid", memories_of(&[(&loose, PROMPTED, 2), (&one, PREVIOUS, 1)])),
        ("one memory twice", memories_of(&[(&zero, PROMPTED, 2), (&zero, PREVIOUS, 1)])),
    ] {
        let found = clip.network().heads(&third, Some(&wrong), &no_prompt, true).unwrap();
        let differences = clip.differences(&found, "click.1.1.2");
        assert!(differences.iter().any(|v| *v > TOLERANCE), "{fault} is not seen: {differences:?}");
    }
}

#[test]
fn a_box_and_its_correction() {
    let mut clip = Clip::open();
    let frame = clip.frame(5);
    let boxed = clip.network().heads(&frame, None, &Prompt::bbox(105.0, 24.0, 129.0, 44.0), false).unwrap();
    clip.check(&boxed, "second.2.2.5");
    // The candidates' pointers differ from the pointer of the single mask.
    let best = clip.network().heads(&frame, None, &Prompt::bbox(105.0, 24.0, 129.0, 44.0), true).unwrap();
    assert!(largest_difference(&best.pointer, &boxed.pointer) > TOLERANCE);
}

#[test]
fn a_given_mask() {
    let mut clip = Clip::open();
    let frame = clip.frame(7);
    let drawn = image::open(golden("video/mask_3.png")).unwrap().into_luma8();
    let size = (drawn.width() as usize, drawn.height() as usize);
    let mask = SquareMask::from_image(&drawn.into_raw(), size, 256).unwrap();
    let pointer = clip.network().pointer_of_mask(&frame, &mask.inside).unwrap();
    let heads =
        |pointer| Heads { mask: mask.low_res(64), iou: 1.0, object_score: 10.0, pointer, timings: Default::default() };
    clip.check(&heads(pointer.clone()), "third.3.3.7");
    // An empty mask has the pointer for "no object", which the decoder returns too.
    let absent = clip.network().pointer_of_mask(&frame, &[0.0; 256 * 256]).unwrap();
    assert!(largest_difference(&absent, &pointer) > 0.1);
    let content = std::fs::read(golden("video/memory.safetensors")).unwrap();
    assert_eq!(absent, tensor(&SafeTensors::deserialize(&content).unwrap(), "no_object_pointer").1);
    let click = Clip::open().network().heads(&frame, None, &Prompt::default(), true).unwrap();
    assert_eq!(click.object_score <= 0.0, click.pointer == absent, "{}", click.object_score);
}

#[test]
fn invalid_inputs_are_refused_and_the_next_call_works() {
    let mut clip = Clip::open();
    let frame = clip.frame(0);
    let click = Prompt::point(18.0, 42.0);
    let heads = clip.network().heads(&frame, None, &click, true).unwrap();
    let good = encode(&mut clip, &frame, &heads, true);
    let (short, thin): (SpatialMemory, ObjectPointer) = (good.0[1..].into(), good.1[1..].into());
    let several = |memories: usize, pointers: usize| Memories {
        spatial: (0..memories).map(|i| (Arc::clone(&good.0), i % 7)).collect(),
        pointers: (0..pointers).map(|i| (Arc::clone(&good.1), i as f32 / 15.0)).collect(),
    };
    for (memories, says) in [
        (
            Memories::default(),
            "tensor `memories` is 0 memories: [], expected 1 to 22, each of 4096 numbers at a time below 7",
        ),
        (memories_of(&[(&good, 7, 1)]), "1 memories: [(4096, 7)], expected 1 to 22"),
        (memories_of(&[(&(short, Arc::clone(&good.1)), 6, 1)]), "1 memories: [(4095, 6)]"),
        (
            memories_of(&[(&(Arc::clone(&good.0), thin), 6, 1)]),
            "1 pointers of [31], expected 1 to 31, each of 32 numbers",
        ),
        (Memories { pointers: Vec::new(), ..memories_of(&[(&good, 6, 1)]) }, "0 pointers of []"),
        (several(MAX_CONDITIONING + 7, 1), "23 memories: "),
        (several(1, MAX_CONDITIONING + 16), "32 pointers of "),
    ] {
        let e = clip.network().heads(&frame, Some(&memories), &click, true).unwrap_err().to_string();
        assert!(e.contains("memory_attention.onnx: tensor `") && e.contains(says), "{e}");
    }
    // The largest numbers of memories and pointers.
    let spec = clip.network().spec();
    let most = several(spec.most_memories(), spec.most_pointers());
    assert!(clip.network().heads(&frame, Some(&most), &click, true).unwrap().object_score.is_finite());
    let e = clip.network().encode_memory(&frame, &[0.0; 9], true, 1.0).unwrap_err().to_string();
    assert!(e.contains("memory_encoder.onnx: tensor `low_res_masks` is 9 logits, expected 64 x 64"), "{e}");
    let e = clip.network().pointer_of_mask(&frame, &[1.0; 64 * 64]).unwrap_err().to_string();
    assert!(e.contains("4096 cells, expected 256 x 256"), "{e}");

    let geometry = frame.geometry;
    let foreign = Embedding::from_parts(vec![("features".to_owned(), vec![1], vec![0.0])], geometry).unwrap();
    let e = clip.network().encode_memory(&foreign, &heads.mask, true, 1.0).unwrap_err().to_string();
    assert!(e.contains("made by another model"), "{e}");
    // An embedding with the right names and another size.
    let size = |side: usize, channels: usize| (vec![1, channels, side, side], vec![0.0; channels * side * side]);
    let parts =
        [("image_embeddings", size(8, 32)), ("high_res_feats_0", size(32, 4)), ("high_res_feats_1", size(16, 8))];
    let parts = parts.map(|(name, (shape, values))| (name.to_owned(), shape, values)).to_vec();
    let small = Embedding::from_parts(parts, geometry).unwrap();
    for e in [
        clip.network().heads(&small, Some(&memories_of(&[(&good, 6, 1)])), &click, true).unwrap_err(),
        clip.network().encode_memory(&small, &heads.mask, true, 1.0).unwrap_err(),
        clip.network().pointer_of_mask(&small, &[1.0; 256 * 256]).unwrap_err(),
    ] {
        assert!(e.to_string().contains("image_embeddings"), "{e}");
    }
    let again = clip.network().heads(&frame, None, &click, true).unwrap();
    assert_eq!((again.mask, again.pointer), (heads.mask, heads.pointer));
}
