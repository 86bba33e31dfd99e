//! Prompts of users and programs, to an engine with fake sessions: `PromptArray`, clicks, boxes, masks, detections and
//! `segment` requests, on frames that are kept or missing.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use image::RgbImage;
use promptseg::engine::{
    ClickMode, Decode, DetectedBox, Detections, Encode, Engine, Event, Frame, FramePixels, FrameRef, FrameResult,
    Header, Interaction, KeepLimits, ObjectPrompt, Operation, Persistence, RefusalKind, Segment, SegmentOn, Settings,
    Stamp, Turns,
};
use promptseg::model::{Candidate, DecodeOptions, DecodeTimings, Decoded, Decodes, Embedding};
use promptseg::pixels::{Geometry, MaskInput, Resize, mask_from_low_res};
use promptseg::prompt::{BoxPrompt, LowResLogits, Point, Prompt};

use super::number;

const SIDE: usize = 8;
const SIZES: [(u32, u32); 3] = [(12, 9), (5, 16), (1, 1)];

struct Encoder;

impl Encode for Encoder {
    fn encode(&mut self, image: &RgbImage) -> std::result::Result<Embedding, String> {
        if image.get_pixel(0, 0)[0] == 13 {
            return Err("the runtime failed".into());
        }
        let geometry = Geometry::new(image.width(), image.height(), 16, Resize::Letterbox);
        let embedding = vec![("image_embeddings".to_owned(), vec![1, 1, 1, 1], vec![1.0])];
        Embedding::from_parts(embedding, geometry).map_err(|e| e.to_string())
    }
}

struct Decoder;

impl Decode for Decoder {
    fn decode(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        _: &DecodeOptions,
    ) -> std::result::Result<Decodes, String> {
        let (width, height) = embedding.image_size();
        let decoded = |prompt: &Prompt| {
            // The engine passes only checked prompts to the decoder.
            let checked = prompt.check(width, height);
            assert_eq!(checked.as_ref(), Ok(prompt), "the engine decodes an unchecked prompt");
            assert!(prompt.mask.as_ref().is_none_or(|m| m.side == SIDE));
            let place = prompt.points.iter().map(|p| p.x + 2.0 * p.y).sum::<f32>();
            let logit = |i: usize| ((i as f32) * 0.7 + place).sin() * 5.0;
            let data: Arc<[f32]> = (0..SIDE * SIDE).map(logit).collect();
            let mask = mask_from_low_res(&data, SIDE, &embedding.geometry, 0.0, 1.0);
            let low_res = LowResLogits { side: SIDE, data };
            let iou = (place.cos() + 1.0) / 2.0;
            let best = Candidate { index: 0, iou, mask, certain: None, low_res, logits: None };
            Decoded { best, others: Vec::new(), candidate_ious: vec![iou], object_score: (iou < 0.2).then_some(-1.0) }
        };
        if prompts.iter().any(|p| p.points.first().is_some_and(|p| (p.x, p.y) == (3.0, 3.0))) {
            return Err("the runtime failed".into());
        }
        Ok(Decodes { objects: prompts.iter().map(decoded).collect(), timings: DecodeTimings::default() })
    }

    fn low_res_side(&self) -> usize {
        SIDE
    }

    fn mask_threshold(&self) -> f32 {
        0.0
    }
}

pub fn run(data: &[u8]) {
    // The first failed check in a thread of the engine.
    let wrong = Arc::new(OnceLock::new());
    let _ = check(Unstructured::new(data), &wrong);
    assert_eq!(wrong.get(), None);
}

fn stamp(u: &mut Unstructured) -> Result<Stamp> {
    Ok(Stamp { sec: u.int_in_range(0..=6)?, nanosec: if u.ratio(1, 16)? { u.arbitrary()? } else { 0 } })
}

fn at(u: &mut Unstructured) -> Result<FrameRef> {
    Ok(stamp(u)?.into())
}

fn coordinate(u: &mut Unstructured) -> Result<f32> {
    Ok(if u.ratio(3, 4)? { f32::from(u.int_in_range::<i8>(-2..=17)?) } else { number(u)? as f32 })
}

fn point(u: &mut Unstructured) -> Result<Point> {
    let (x, y) = (coordinate(u)?, coordinate(u)?);
    Ok(if u.ratio(3, 4)? { Point::foreground(x, y) } else { Point::background(x, y) })
}

fn bbox(u: &mut Unstructured) -> Result<BoxPrompt> {
    Ok(BoxPrompt { x_min: coordinate(u)?, y_min: coordinate(u)?, x_max: coordinate(u)?, y_max: coordinate(u)? })
}

fn mask(u: &mut Unstructured) -> Result<MaskInput> {
    let (width, height) = *u.choose(&[SIZES[0], SIZES[1], SIZES[2], (SIDE as u32, SIDE as u32), (0, 0)])?;
    let cells = (width * height) as usize;
    let pattern = [u.arbitrary::<u8>()?, u.arbitrary()?, u.arbitrary()?];
    let values = [number(u)? as f32, coordinate(u)?];
    Ok(if u.arbitrary()? {
        let data = (0..cells).map(|i| if pattern[i % 3] >> (i / 3 % 8) & 1 == 1 { 255 } else { 0 }).collect();
        MaskInput::Binary { width, height, data }
    } else {
        // Parsing a message refuses values that are not finite, and clamps huge values.
        let finite = values.map(|v| if v.is_finite() { v.clamp(-1e6, 1e6) } else { 1.0 });
        MaskInput::Logits { width, height, data: (0..cells).map(|i| finite[i % 2]).collect() }
    })
}

fn objects(u: &mut Unstructured) -> Result<Vec<ObjectPrompt>> {
    let mut object = || {
        let points = u.int_in_range(0..=3)?;
        let many = if u.ratio(1, 64)? { 300 } else { 1 };
        let mut points = (0..points).map(|_| point(u)).collect::<Result<Vec<_>>>()?;
        points = points.repeat(many);
        Ok(ObjectPrompt {
            id: if u.ratio(7, 8)? { u.int_in_range(0..=4)? } else { u.arbitrary()? },
            class_id: if u.arbitrary()? { "cup".into() } else { String::new() },
            tag: if u.ratio(1, 4)? { "7".into() } else { String::new() },
            prompt: Prompt { points, bbox: if u.arbitrary()? { Some(bbox(u)?) } else { None }, mask: None },
            mask: if u.ratio(1, 4)? { Some(mask(u)?) } else { None },
            refine: u.arbitrary()?,
        })
    };
    let mut all = (0..3).map(|_| object()).collect::<Result<Vec<_>>>()?;
    all.truncate(u.int_in_range(0..=3)?);
    let times = if u.ratio(1, 64)? { 500 } else { 1 };
    Ok(std::iter::repeat_n(all, times).flatten().collect())
}

fn frame(u: &mut Unstructured) -> Result<Frame> {
    let (width, height) = *u.choose(&SIZES)?;
    let len = (width * height) as usize + usize::from(u.ratio(1, 16)?);
    let data = vec![u.arbitrary()?; len];
    let pixels = FramePixels::Raw { width, height, step: width, encoding: "mono8".into(), big_endian: false, data };
    Ok(Frame { header: Header { stamp: stamp(u)?, frame_id: "camera".into() }, pixels })
}

/// Checks a result; returns the violation.
fn violation(result: &FrameResult) -> Option<String> {
    let (width, height) = result.image.dimensions();
    let ids: Vec<u32> = result.objects.iter().map(|o| o.id).collect();
    for (i, object) in result.objects.iter().enumerate() {
        if (object.mask.width, object.mask.height) != (width, height) {
            return Some(format!("a mask of {}x{} on {width}x{height}", object.mask.width, object.mask.height));
        }
        if ids[..i].contains(&object.id) || !(1..=65_535).contains(&object.id) {
            return Some(format!("object {} among {ids:?}", object.id));
        }
        if !object.iou.is_finite() || object.points.iter().any(|p| !p.x.is_finite() || !p.y.is_finite()) {
            return Some(format!("not finite: {object:?}"));
        }
    }
    None
}

fn check(mut u: Unstructured, wrong: &Arc<OnceLock<String>>) -> Result<()> {
    let settings = Settings {
        keep: KeepLimits { frames: u.int_in_range(1..=4)?, bytes: 1 << 20, images: u.int_in_range(0..=2)? },
        prompt_timeout: Duration::ZERO,
        ..Settings::default()
    };
    let sink = Arc::clone(wrong);
    let events = move |event: Event| {
        if let Event::Result(result) = event
            && let Some(violation) = violation(&result)
        {
            let _ = sink.set(violation);
        }
    };
    let (encoder, decoder) = (Turns::shared(Encoder), Turns::shared(Decoder));
    let engine = Engine::start(encoder, decoder, settings, Box::new(events)).expect("two threads");
    let persistences = [Persistence::Once, Persistence::Hold, Persistence::Track];
    let mut sent = 0;
    while !u.is_empty() && sent < 40 {
        sent += 1;
        let persistence = *u.choose(&persistences)?;
        match u.int_in_range(0..=10)? {
            0..=2 => {
                engine.push_frame(frame(&mut u)?);
                let encoded = || {
                    let m = engine.metrics();
                    let failed = |kind| m.refused.get(&kind).copied().unwrap_or_default();
                    let bad = failed(RefusalKind::BadImage) + failed(RefusalKind::ModelFailed);
                    m.frames_encoded + m.frames_superseded + bad >= m.frames_in
                };
                let since = Instant::now();
                while !encoded() && since.elapsed() < Duration::from_millis(50) {
                    std::thread::yield_now();
                }
            }
            3 | 4 => {
                let mode = if u.ratio(1, 4)? { ClickMode::Box } else { ClickMode::Point };
                let click = Interaction::Click { at: at(&mut u)?, point: point(&mut u)?, mode, persistence };
                let _ = engine.interact(click);
            }
            5 => {
                let _ = engine.interact(Interaction::Region { at: at(&mut u)?, bbox: bbox(&mut u)?, persistence });
            }
            6 => {
                let _ = engine.interact(Interaction::Mask { at: at(&mut u)?, mask: mask(&mut u)?, persistence });
            }
            7 => {
                let all = [Operation::Set, Operation::Add, Operation::Remove, Operation::Clear];
                let (operation, objects) = (*u.choose(&all)?, objects(&mut u)?);
                let at = at(&mut u)?;
                let _ = engine.interact(Interaction::Prompts { at, operation, objects, persistence });
            }
            8 => {
                let boxes = u.int_in_range(0..=3)?;
                let found = |u: &mut Unstructured| {
                    Ok(DetectedBox { mask: None, bbox: bbox(u)?, class_id: "dog".into(), tag: "7".into(), score: None })
                };
                let boxes = (0..boxes).map(|_| found(&mut u)).collect::<Result<_>>()?;
                let _ = engine.detections(Detections { source: "fuzz", at: at(&mut u)?, boxes });
            }
            9 => {
                let on = if u.arbitrary()? { SegmentOn::Image(frame(&mut u)?) } else { SegmentOn::Frame(at(&mut u)?) };
                let (reply, answer) = tokio::sync::oneshot::channel();
                engine.segment(Segment { on, objects: objects(&mut u)?, all_candidates: u.arbitrary()?, reply });
                let answer = answer.blocking_recv().expect("a segment request is always answered");
                if let Some(violation) = answer.ok().as_ref().and_then(violation) {
                    let _ = wrong.set(violation);
                }
            }
            _ => {
                let _ = engine.interact(if u.arbitrary()? { Interaction::NewObject } else { Interaction::Clear });
            }
        }
        if u.ratio(1, 4)? {
            undo(&engine);
        }
    }
    undo(&engine);
    Ok(())
}

/// Undoes a prompt. The reply also means that all earlier prompts are processed, because their order is kept.
fn undo(engine: &Engine) {
    let (reply, answer) = tokio::sync::oneshot::channel();
    if engine.interact(Interaction::Undo { reply }).is_ok() {
        let _ = answer.blocking_recv().expect("the decoder thread runs");
    }
}
