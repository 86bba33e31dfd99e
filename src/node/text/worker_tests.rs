//! Tests of the text thread on an engine with fake sessions and a fake text model.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use image::RgbImage;
use tokio::sync::oneshot;

use super::control::{Answer, Change, TextControl};
use super::finder::{FindPhrases, FoundObject, SearchLimits, SharedTextModel};
use super::worker::{TextCamera, run};
use crate::engine::tests::testing::{HEIGHT, WIDTH, own_mask, stamp};
use crate::engine::tests::{Bench, PATIENCE, bench, patient, until, wait_for};
use crate::engine::{FrameRef, FrameResult, KeepLimits, Persistence, Refusal, RefusalKind, Settings};
use crate::monitor::TextSessions;
use crate::node::config::TextConfig;
use crate::pixels::Mask;
use crate::prompt::BoxPrompt;
use crate::text::{Phrase, Understood};

/// A text model that finds one box for each phrase, after a permit, and for "mask" its mask. It does not know "unknown", and "fail"
/// and "panic" do so.
struct FakeFinder {
    /// Second of the frame, and phrases, at the start of each search.
    searched: Sender<(u8, Vec<String>)>,
    permits: Receiver<()>,
}

impl FindPhrases for FakeFinder {
    fn understand(&mut self, phrase: &Phrase) -> Result<(), Refusal> {
        match phrase.text.as_str() {
            "unknown" => Err(Refusal::new(RefusalKind::UnknownPhrase, "the phrase is not in the bank")),
            _ => Ok(()),
        }
    }

    fn find(
        &mut self,
        image: &Arc<RgbImage>,
        phrases: &[Phrase],
        _: SearchLimits,
    ) -> Result<Vec<FoundObject>, Refusal> {
        let texts: Vec<String> = phrases.iter().map(|phrase| phrase.text.clone()).collect();
        let _ = self.searched.send((image.get_pixel(0, 0)[0], texts.clone()));
        let _ = self.permits.recv_timeout(2 * PATIENCE);
        match texts[0].as_str() {
            "fail" => Err(Refusal::new(RefusalKind::ModelFailed, "on purpose")),
            "panic" => panic!("a text model that panics, on purpose"),
            _ => {
                let bbox = BoxPrompt { x_min: 1.0, y_min: 1.0, x_max: 9.0, y_max: 9.0 };
                let of = |phrase: usize| {
                    let mask = (texts[phrase] == "mask").then(|| own_mask(corner_mask(), 0.5));
                    FoundObject { phrase, bbox, score: 0.5, mask }
                };
                Ok((0..phrases.len()).map(of).collect())
            }
        }
    }
}

/// Returns a mask of one pixel.
fn corner_mask() -> Mask {
    let data: Vec<u8> = (0..WIDTH * HEIGHT).map(|pixel| u8::from(pixel == 0)).collect();
    Mask::from_data(WIDTH, HEIGHT, &data).unwrap()
}

/// The test's end of a text thread.
struct Text {
    control: Arc<TextControl>,
    searched: Receiver<(u8, Vec<String>)>,
    permits: Sender<()>,
    warned: Arc<Mutex<Vec<Refusal>>>,
}

impl Text {
    fn send(&self, phrases: &[&str], at: FrameRef) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        let phrases = phrases.iter().map(|text| Phrase::new(text).unwrap()).collect();
        self.control.set(Change { phrases, refused: Vec::new(), at, since: Instant::now(), reply });
        answer
    }

    fn set(&self, phrases: &[&str]) -> Understood {
        wait_for(self.send(phrases, FrameRef::Newest)).unwrap()
    }

    /// Returns the second of the frame and the phrases of the next search.
    fn next_search(&self) -> (u8, Vec<String>) {
        self.searched.recv_timeout(PATIENCE).expect("a search")
    }

    fn permit(&self) {
        self.permits.send(()).unwrap();
    }
}

/// Ends the thread also when a test fails.
struct StopAtEnd<'a>(&'a TextControl);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Runs a test beside a text thread. `period`: that of the parameter `text.rate`.
fn with_text(settings: Settings, period: Option<Duration>, test: impl FnOnce(&Bench, Text) + Send) {
    let b = bench(settings);
    let ((searches, searched), (permits, permitted)) = (channel(), channel());
    let finder = FakeFinder { searched: searches, permits: permitted };
    let model = SharedTextModel::new("fake".into(), TextSessions::default(), finder);
    let config = TextConfig { period, min_score: None, max_objects: 10, ..TextConfig::default() };
    let (control, warned) = (Arc::new(TextControl::default()), Arc::new(Mutex::new(Vec::new())));
    std::thread::scope(|scope| {
        let engine = &b.engine;
        let (c, warnings) = (Arc::clone(&control), Arc::clone(&warned));
        scope.spawn(move || {
            let config = || config.clone();
            let warn = |refusal: &Refusal| warnings.lock().unwrap().push(refusal.clone());
            run(&TextCamera { engine, control: &c, model: &model, config: &config, warn: &warn, log_prefix: "" });
        });
        let _end = StopAtEnd(&control);
        test(&b, Text { control: Arc::clone(&control), searched, permits, warned });
    });
}

/// As often as there is a new frame.
const ALWAYS: Option<Duration> = Some(Duration::ZERO);

fn classes(result: &FrameResult) -> Vec<(&str, &str, Option<f64>)> {
    result.objects.iter().map(|o| (o.class_id.as_str(), o.tag.as_str(), o.detection_score)).collect()
}

fn phrases(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn boxes_are_on_the_frame_that_was_searched_and_the_newest_frame_is_next() {
    with_text(patient(), ALWAYS, |b, text| {
        b.encode(1);
        let understood = text.set(&["cup", "dog"]);
        assert_eq!(understood.accepted.len(), 2);
        assert_eq!(text.next_search(), (1, phrases(&["cup", "dog"])));
        b.encode(2);
        b.encode(3);
        text.permit();
        let result = b.result();
        assert_eq!(result.header.stamp, stamp(1));
        assert_eq!(classes(&result), [("cup", "cup 1", Some(0.5)), ("dog", "dog 1", Some(0.5))]);
        assert_eq!(text.next_search().0, 3);
        text.permit();
        let result = b.result();
        assert_eq!((result.header.stamp, classes(&result)[0].1), (stamp(3), "cup 1"), "the same cup");
        let counts = b.engine.metrics().text;
        assert_eq!((counts.searches, counts.boxes, counts.superseded), (2, 4, 0));
    });
}

#[test]
fn masks_of_the_text_model_are_published_as_they_are() {
    with_text(patient(), ALWAYS, |b, text| {
        b.encode(1);
        text.set(&["mask", "dog"]);
        text.next_search();
        text.permit();
        let result = b.result();
        assert_eq!(classes(&result), [("mask", "mask 1", Some(0.5)), ("dog", "dog 1", Some(0.5))]);
        assert_eq!((result.objects[0].mask.clone(), result.objects[0].iou), (corner_mask(), 0.5));
        // The other object had a box alone.
        assert_eq!((result.objects[1].iou, b.decoded_prompts.lock().unwrap().len()), (0.01, 1));
    });
}

#[test]
fn a_click_does_not_wait_for_a_search() {
    with_text(patient(), ALWAYS, |b, text| {
        b.encode(1);
        text.set(&["cup"]);
        text.next_search();
        b.click(FrameRef::Newest, 4.0, 4.0, Persistence::Hold);
        assert_eq!(b.result().objects.iter().map(|o| o.id).collect::<Vec<_>>(), [1]);
        text.permit();
        assert_eq!(b.result().objects.iter().map(|o| o.id).collect::<Vec<_>>(), [1, 1001]);
    });
}

#[test]
fn new_phrases_supersede_the_search_for_earlier_ones() {
    with_text(patient(), ALWAYS, |b, text| {
        b.encode(1);
        text.set(&["cup"]);
        text.next_search();
        let answer = text.send(&["dog"], FrameRef::Newest);
        text.permit();
        assert_eq!(wait_for(answer).unwrap().accepted[0].text, "dog");
        assert_eq!(text.next_search(), (1, phrases(&["dog"])), "on the same frame");
        text.permit();
        assert_eq!(classes(&b.result()), [("dog", "dog 1", Some(0.5))]);
        assert_eq!(b.engine.metrics().text.superseded, 1);
        assert_eq!(text.control.searched(), ["dog"]);
    });
}

#[test]
fn without_phrases_nothing_is_searched() {
    with_text(patient(), ALWAYS, |b, text| {
        b.encode(1);
        text.set(&["cup"]);
        text.next_search();
        text.permit();
        b.result();
        assert_eq!(text.set(&[]), Understood::default());
        assert!(text.control.searched().is_empty());
        b.encode(2);
        text.set(&["dog"]);
        assert_eq!(text.next_search(), (2, phrases(&["dog"])), "and not for the cup");
        text.permit();
    });
}

#[test]
fn a_refused_phrase_leaves_the_others_and_refused_phrases_change_nothing() {
    with_text(patient(), ALWAYS, |b, text| {
        b.encode(1);
        let understood = text.set(&["unknown", "cup"]);
        assert_eq!(understood.to_string(), "searching for 'cup'; refused: 'unknown': the phrase is not in the bank");
        assert_eq!(text.next_search(), (1, phrases(&["cup"])));
        text.permit();
        b.result();
        assert!(text.set(&["unknown"]).accepted.is_empty());
        b.encode(2);
        assert_eq!(text.next_search(), (2, phrases(&["cup"])));
        text.permit();
        let metrics = b.engine.metrics();
        assert_eq!((metrics.refused[&RefusalKind::UnknownPhrase], metrics.text.refused), (2, 2));
        assert_eq!(text.warned.lock().unwrap().len(), 2);
    });
}

#[test]
fn a_model_that_fails_loses_one_search() {
    with_text(patient(), ALWAYS, |b, text| {
        b.encode(1);
        for phrase in ["fail", "panic", "cup"] {
            text.set(&[phrase]);
            assert_eq!(text.next_search(), (1, phrases(&[phrase])));
            text.permit();
        }
        assert_eq!(classes(&b.result()), [("cup", "cup 1", Some(0.5))]);
        let metrics = b.engine.metrics();
        assert_eq!((metrics.refused[&RefusalKind::ModelFailed], metrics.panics), (1, 1));
        assert_eq!(text.warned.lock().unwrap()[0].message, "the text model: on purpose");
    });
}

#[test]
fn without_a_rate_there_is_one_search_for_each_change() {
    with_text(patient(), None, |b, text| {
        b.encode(1);
        for (sec, phrase) in [(1, "cup"), (2, "dog")] {
            text.set(&[phrase]);
            assert_eq!(text.next_search(), (sec, phrases(&[phrase])));
            text.permit();
            b.result();
            b.encode(i32::from(sec) + 1);
        }
        assert_eq!(b.engine.metrics().text.searches, 2);
    });
}

#[test]
fn the_first_search_is_on_the_frame_of_the_stamp() {
    with_text(patient(), ALWAYS, |b, text| {
        b.encode(1);
        b.encode(2);
        let answer = text.send(&["cup"], FrameRef::At(stamp(1)));
        assert_eq!(wait_for(answer).unwrap().accepted.len(), 1);
        for sec in [1, 2] {
            assert_eq!(text.next_search(), (sec, phrases(&["cup"])));
            text.permit();
            assert_eq!(b.result().header.stamp, stamp(sec.into()));
        }
    });
}

#[test]
fn a_frame_that_is_gone_is_counted_and_the_newest_is_searched() {
    let settings = Settings { keep: KeepLimits { frames: 1, images: 0, ..KeepLimits::default() }, ..patient() };
    with_text(settings, ALWAYS, |b, text| {
        b.encode(1);
        b.encode(2);
        text.send(&["cup"], FrameRef::At(stamp(1)));
        assert_eq!(text.next_search(), (2, phrases(&["cup"])));
        text.permit();
        let metrics = b.engine.metrics();
        assert_eq!((metrics.refused[&RefusalKind::FrameGone], metrics.text.frames_gone), (1, 1));
        assert!(text.warned.lock().unwrap()[0].message.contains("is gone"));
    });
}

#[test]
fn boxes_of_a_frame_that_is_not_kept_any_more_are_published_on_it() {
    let settings = Settings { keep: KeepLimits { frames: 1, images: 0, ..KeepLimits::default() }, ..patient() };
    with_text(settings, None, |b, text| {
        b.encode(1);
        text.set(&["cup"]);
        text.next_search();
        b.encode(2);
        b.encode(3);
        text.permit();
        assert_eq!(b.result().header.stamp, stamp(1));
        until(|| b.engine.usage().queries == 0);
    });
}
