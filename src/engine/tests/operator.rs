//! Requests of operators: each gets an answer.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::testing::{HEIGHT, WIDTH, frame, stamp};
use super::*;
use crate::model::{Candidate, Candidates, DecodeOptions, DecodeTimings, Decoded, Decodes, Embedding};
use crate::pixels::Mask;
use crate::prompt::{LowResLogits, Point, Prompt};

/// Sends an action and waits for the answer.
fn ask(b: &Bench, action: Action) -> Result<Answer, Refusal> {
    ask_on(b, None, action)
}

/// Sends an action of an operator who sees a frame, and waits for the answer.
fn ask_on(b: &Bench, shown: Option<Stamp>, action: Action) -> Result<Answer, Refusal> {
    let (reply, answer) = oneshot::channel();
    b.engine.interact(Interaction::Operator(OperatorRequest { action, shown, reply })).unwrap();
    wait_for(answer)
}

fn click(
    b: &Bench,
    at: FrameRef,
    id: u32,
    x: f32,
    persistence: impl Into<Option<Persistence>>,
) -> Result<Answer, Refusal> {
    let prompt = Prompt { points: vec![Point::foreground(x, x)], ..Prompt::default() };
    let object = Box::new(ObjectPrompt { id, prompt, refine: id != 0, ..ObjectPrompt::default() });
    ask(b, Action::Prompt { at, object, persistence: persistence.into() })
}

fn prompted(id: u32) -> Result<Answer, Refusal> {
    Ok(Answer::Done { id, description: "prompted".into() })
}

fn text(answer: Result<Answer, Refusal>) -> String {
    match answer.unwrap() {
        Answer::Done { description, .. } => description,
        other => panic!("{other:?}"),
    }
}

/// A decoder with three candidates, whose masks have 1, 2 and 3 columns. The last has the highest IoU. A mask prompt is returned as
/// it is.
struct ThreeMasks;

impl Decode for ThreeMasks {
    fn decode(&mut self, _: &Embedding, prompts: &[Prompt], options: &DecodeOptions) -> Result<Decodes, String> {
        let candidate = |index: usize| {
            let inside = |i: u32| u8::from(i % WIDTH < index as u32);
            let data: Vec<u8> = (0..WIDTH * HEIGHT).map(inside).collect();
            let mask = Mask::from_data(WIDTH, HEIGHT, &data).unwrap();
            let low_res = LowResLogits { side: 8, data: vec![index as f32; 64].into() };
            Candidate { index, iou: index as f32 / 4.0, mask, certain: None, low_res, logits: None }
        };
        let decoded = |prompt: &Prompt| {
            let fed_back = prompt.mask.as_ref().map(|mask| mask.data[0] as usize);
            let best = fed_back.unwrap_or(3);
            let is_multi = fed_back.is_none() || options.candidates == Candidates::Multi;
            let others: Vec<usize> = (1..=3).filter(|i| *i != best && options.all_masks && is_multi).collect();
            Decoded {
                best: candidate(best),
                others: others.into_iter().map(candidate).collect(),
                candidate_ious: vec![0.25, 0.5, 0.75],
                object_score: None,
            }
        };
        Ok(Decodes { objects: prompts.iter().map(decoded).collect(), timings: DecodeTimings::default() })
    }

    fn low_res_side(&self) -> usize {
        8
    }

    fn mask_threshold(&self) -> f32 {
        0.0
    }
}

fn three_masks() -> Bench {
    let b = bench_of(ThreeMasks, Arc::default(), patient());
    b.encode(1);
    b
}

/// Returns the number of columns of the mask of an object on the next result that answers a prompt.
fn columns(b: &Bench) -> (i32, u32) {
    let result = b.result();
    (result.header.stamp.sec, result.objects[0].mask.bbox.unwrap().width)
}

#[test]
fn each_operator_prompts_an_object_of_its_own() {
    let b = bench(patient());
    b.encode(1);
    assert_eq!(click(&b, FrameRef::Newest, 0, 4.0, Persistence::Hold), prompted(1));
    assert_eq!(click(&b, FrameRef::Newest, 0, 9.0, Persistence::Hold), prompted(2));
    assert_eq!(click(&b, FrameRef::Newest, 1, 5.0, Persistence::Hold), prompted(1));
    let last = std::iter::repeat_with(|| b.result()).nth(2).unwrap();
    let points: Vec<_> = last.objects.iter().map(|o| (o.id, o.points.len())).collect();
    assert_eq!(points, [(1, 2), (2, 1)]);
    // A click of ROS still starts an object: operators do not change which object is the current one.
    b.click(FrameRef::Newest, 12.0, 12.0, Persistence::Hold);
    assert_eq!(b.result().objects.len(), 3);
}

#[test]
fn a_prompt_is_answered_on_the_frame_of_its_stamp() {
    let b = bench(patient());
    b.encode(1);
    b.encode(2);
    assert_eq!(click(&b, FrameRef::At(stamp(1)), 0, 4.0, Persistence::Once), prompted(1));
    let result = b.result();
    assert_eq!((result.header.stamp, result.objects[0].iou), (stamp(1), 0.01));
}

#[test]
fn an_operator_sees_each_change_on_the_frame_that_is_shown() {
    let b = bench(patient());
    b.encode(1);
    b.encode(2);
    for x in [4.0, 9.0] {
        click(&b, FrameRef::At(stamp(1)), 0, x, Persistence::Hold).unwrap();
    }
    let on_shown = |action| {
        b.events.try_iter().for_each(drop);
        ask_on(&b, Some(stamp(1)), action).unwrap();
        let results = std::iter::repeat_with(|| b.events.recv_timeout(PATIENCE).unwrap());
        let mut results =
            results.filter_map(|event| if let Event::Result(result) = event { Some(result) } else { None });
        let result = results.find(|result| result.header.stamp == stamp(1)).unwrap();
        result.objects.iter().map(|object| (object.id, object.class_id.clone())).collect::<Vec<_>>()
    };
    let named = |list: &[(u32, &str)]| list.iter().map(|(id, class)| (*id, (*class).to_owned())).collect::<Vec<_>>();
    assert_eq!(on_shown(Action::Undo), named(&[(1, "")]));
    assert_eq!(on_shown(Action::Redo), named(&[(1, ""), (2, "")]));
    assert_eq!(on_shown(Action::Rename { id: 2, class_id: "cup".into() }), named(&[(1, ""), (2, "cup")]));
    assert_eq!(on_shown(Action::Remove { id: 1 }), named(&[(2, "cup")]));
    assert_eq!(on_shown(Action::Clear), named(&[]));
}

#[test]
fn a_refusal_goes_to_the_operator_and_is_counted() {
    let b = bench(Settings { prompt_timeout: Duration::ZERO, ..Settings::default() });
    b.encode(5);
    let gone = click(&b, FrameRef::At(stamp(1)), 0, 4.0, Persistence::Hold).unwrap_err();
    assert_eq!(gone.kind, RefusalKind::FrameGone);
    let outside = click(&b, FrameRef::Newest, 0, 900.0, Persistence::Hold).unwrap_err();
    assert_eq!(outside.kind, RefusalKind::BadPrompt);
    let unknown = ask(&b, Action::Remove { id: 7 }).unwrap_err();
    assert_eq!(unknown.kind, RefusalKind::UnknownObject);
    let refused = b.engine.metrics().refused;
    for kind in [RefusalKind::FrameGone, RefusalKind::BadPrompt, RefusalKind::UnknownObject] {
        assert_eq!(refused[&kind], 1, "{kind:?}");
    }
    let is_refusal = |event: Event| matches!(event, Event::Refused(_));
    assert!(!b.events.try_iter().any(is_refusal), "the owner is not told again");
}

#[test]
fn undone_prompts_are_repeated() {
    let b = bench(patient());
    b.encode(1);
    for (id, x) in [(0, 4.0), (1, 9.0)] {
        click(&b, FrameRef::Newest, id, x, Persistence::Hold).unwrap();
    }
    assert_eq!(text(ask(&b, Action::Undo)), "took back the foreground click at (9, 9): object 1 has 1 point");
    assert_eq!(text(ask(&b, Action::Redo)), "repeated the foreground click at (9, 9): object 1 has 2 points");
    assert_eq!(ask(&b, Action::Redo), Ok(Answer::Nothing("there is no undone prompt to repeat".into())));
    let counts: Vec<_> = std::iter::repeat_with(|| b.result().objects[0].points.len()).take(4).collect();
    assert_eq!(counts, [1, 2, 1, 2]);
    assert_eq!(text(ask(&b, Action::Clear)), "removed all objects");
    assert_eq!(ask(&b, Action::Undo), Ok(Answer::Nothing("there is no prompt to take back".into())));
}

#[test]
fn candidates_are_decoded_again_and_one_of_them_is_chosen() {
    let b = three_masks();
    click(&b, FrameRef::Newest, 0, 4.0, Persistence::Hold).unwrap();
    assert_eq!(columns(&b), (1, 3));
    let Ok(Answer::Candidates(candidates)) = ask(&b, Action::Candidates { id: 1 }) else { panic!("no candidates") };
    let described: Vec<_> = candidates.iter().map(|c| (c.index, c.mask.bbox.unwrap().width, c.is_current)).collect();
    assert_eq!(described, [(1, 1, false), (2, 2, false), (3, 3, true)]);
    assert_eq!(text(ask(&b, Action::Choose { id: 1, index: 2 })), "the choice of the candidate with IoU 0.50");
    assert_eq!(columns(&b), (1, 2));
    let Ok(Answer::Candidates(candidates)) = ask(&b, Action::Candidates { id: 1 }) else { panic!("no candidates") };
    assert_eq!(candidates.iter().map(|c| c.is_current).collect::<Vec<_>>(), [false, true, false]);
    // The next frame starts from the logits of the candidate.
    b.encode(2);
    assert_eq!(columns(&b), (2, 2));
    ask(&b, Action::Undo).unwrap();
    let undone = std::iter::repeat_with(|| columns(&b)).find(|(_, width)| *width != 2).unwrap();
    assert_eq!(undone.1, 3);
    let wrong = ask(&b, Action::Choose { id: 1, index: 9 }).unwrap_err();
    assert!(wrong.message.contains("no candidate 9; there are [1, 2, 3]"), "{}", wrong.message);
}

#[test]
fn candidates_of_a_frame_that_is_gone_are_refused() {
    let keep = KeepLimits { frames: 1, ..KeepLimits::default() };
    let b = bench_of(ThreeMasks, Arc::default(), Settings { keep, ..patient() });
    b.encode(1);
    click(&b, FrameRef::Newest, 0, 4.0, Persistence::Hold).unwrap();
    b.encode(2);
    let refusal = ask(&b, Action::Candidates { id: 1 }).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::FrameGone);
}

#[test]
fn a_class_is_changed_without_decoding() {
    let b = bench(patient());
    b.encode(1);
    click(&b, FrameRef::Newest, 0, 4.0, Persistence::Hold).unwrap();
    assert_eq!(b.result().objects[0].class_id, "");
    let rename = |class: &str| Action::Rename { id: 1, class_id: class.into() };
    assert_eq!(text(ask(&b, rename("cup"))), "object 1 is a cup");
    let result = b.result();
    assert_eq!((result.objects[0].class_id.as_str(), result.objects[0].points.len()), ("cup", 1));
    assert_eq!(b.decoded_prompts.lock().unwrap().len(), 1);
    click(&b, FrameRef::Newest, 1, 9.0, Persistence::Hold).unwrap();
    assert_eq!(b.result().objects[0].class_id, "cup", "further prompts keep the class");
    assert!(ask(&b, Action::Rename { id: 2, class_id: "x".into() }).is_err());
}

#[test]
fn the_persistence_of_an_object_is_changed() {
    let b = bench(patient());
    b.encode(1);
    click(&b, FrameRef::Newest, 0, 4.0, Persistence::Once).unwrap();
    assert_eq!(b.result().objects.len(), 1);
    let persist = |persistence| Action::Persist { id: 1, persistence };
    assert_eq!(text(ask(&b, persist(Persistence::Hold))), "object 1: hold");
    assert_eq!(b.result().objects[0].points.len(), 1);
    b.encode(2);
    let result = b.result();
    assert_eq!((result.header.stamp, result.objects.len()), (stamp(2), 1));
    assert_eq!(text(ask(&b, persist(Persistence::Once))), "object 1: once");
    assert_eq!(b.result().objects[0].persistence, Some(Persistence::Once));
    // A further click without a persistence keeps that of the object.
    click(&b, FrameRef::Newest, 1, 9.0, None::<Persistence>).unwrap();
    assert_eq!(b.result().objects[0].persistence, Some(Persistence::Once));
    b.encode(3);
    let next = std::iter::repeat_with(|| b.events.recv_timeout(PATIENCE).unwrap())
        .find_map(|e| if let Event::Result(r) = e { Some(r) } else { None })
        .unwrap();
    assert_eq!((next.header.stamp, next.objects.len()), (stamp(3), 0));
}

#[test]
fn an_answer_names_the_arrival_of_its_frame() {
    let b = bench(patient());
    let before = Instant::now();
    b.engine.push_frame(frame(1));
    b.gate.open(1);
    until(|| b.engine.arrival(stamp(1)).is_some());
    assert!(b.engine.arrival(stamp(1)).unwrap() >= before && b.engine.arrival(stamp(2)).is_none());
}
