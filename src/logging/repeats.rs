//! A warning that repeats itself is said a few times, then counted.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// So many of a kind are said within [`PERIOD`].
const MOST: u32 = 5;
const PERIOD: Duration = Duration::from_secs(10);
/// Kinds that are remembered.
const MOST_KINDS: usize = 256;
/// The sentence that counts them is not counted itself.
const TARGET: &str = "promptseg::repeats";

/// Lets warnings and errors pass that did not repeat themselves too often. They are of one kind when they come from the
/// same line of code and differ in numbers only.
#[derive(Debug, Clone, Default)]
pub struct Repeats(Arc<Mutex<HashMap<u64, Kind>>>);

#[derive(Debug)]
struct Kind {
    since: Instant,
    said: u32,
    held_back: u64,
    /// The first of them.
    text: String,
}

impl Repeats {
    /// Whether an event of this kind is said now.
    fn passes(&self, kind: u64, text: impl FnOnce() -> String, now: Instant) -> bool {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kinds.contains_key(&kind) {
            kinds.retain(|_, k| k.held_back > 0 || now.duration_since(k.since) < PERIOD);
            if kinds.len() >= MOST_KINDS {
                return true;
            }
            kinds.insert(kind, Kind { since: now, said: 0, held_back: 0, text: text() });
        }
        let Some(kind) = kinds.get_mut(&kind) else { return true };
        if kind.held_back == 0 && now.duration_since(kind.since) >= PERIOD {
            (kind.since, kind.said) = (now, 0);
        }
        if kind.said < MOST {
            kind.said += 1;
            return true;
        }
        kind.held_back += 1;
        false
    }

    /// Those whose time is over: how many were held back, and what they said.
    fn due(&self, now: Instant) -> Vec<(u64, String)> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        for kind in kinds.values_mut().filter(|k| k.held_back > 0 && now.duration_since(k.since) >= PERIOD) {
            due.push((kind.held_back, kind.text.clone()));
            // Those that go on are counted only, until they rest for a while.
            (kind.since, kind.held_back) = (now, 0);
        }
        due
    }

    /// Says how often warnings were held back, once in a while.
    pub fn say(&self) {
        for (count, text) in self.due(Instant::now()) {
            tracing::warn!(target: TARGET, "{count} more like this in the last {} s: {text}", PERIOD.as_secs());
        }
    }

    fn lets_pass(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN || metadata.target() == TARGET {
            return true;
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        let mut hasher = DefaultHasher::new();
        metadata.callsite().hash(&mut hasher);
        text.0.chars().filter(|c| !c.is_ascii_digit()).for_each(|c| c.hash(&mut hasher));
        self.passes(hasher.finish(), || text.0, Instant::now())
    }
}

/// A layer that hears of events only what [`Repeats`] lets pass. (As a `Filter` of the layer it would be shorter, but
/// tracing-subscriber's debug assertions do not hold when such a filter refuses an event.)
pub(super) struct Unrepeated<L> {
    pub layer: L,
    pub repeats: Repeats,
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for Unrepeated<L> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if self.repeats.lets_pass(event) {
            self.layer.on_event(event, context);
        }
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.layer.on_layer(subscriber);
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.layer.on_new_span(attributes, id, context);
    }

    fn on_record(&self, span: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.layer.on_record(span, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.layer.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.layer.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.layer.on_close(id, context);
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn what_repeats_itself_is_said_a_few_times_and_then_counted() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let passed = (0..100).filter(|_| repeats.passes(1, || "disk full".into(), at(0))).count();
        assert_eq!(passed, MOST as usize);
        assert!(repeats.passes(2, || "other".into(), at(0)), "another kind has its own count");
        assert_eq!(repeats.due(at(9)), []);
        assert_eq!(repeats.due(at(10)), [(95, "disk full".to_owned())]);
        assert_eq!(repeats.due(at(30)), [], "once");
        assert!(!repeats.passes(1, String::new, at(11)) && !repeats.passes(1, String::new, at(12)));
        assert_eq!(repeats.due(at(21)), [(2, "disk full".to_owned())]);
        assert!(repeats.passes(1, String::new, at(40)), "after a rest it is news again");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        assert!((0..10_000).all(|kind| repeats.passes(kind, String::new, now)));
        assert_eq!(repeats.0.lock().unwrap().len(), MOST_KINDS);
    }

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn events_that_differ_in_numbers_are_of_one_kind() {
        let (out, repeats) = (Out::default(), Repeats::default());
        let writer = out.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let layer = Unrepeated { layer, repeats: repeats.clone() };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for i in 0..50 {
                tracing::warn!("object {i} is lost");
                tracing::info!("frame {i}");
            }
            for (_, kind) in repeats.0.lock().unwrap().iter_mut() {
                kind.since -= PERIOD;
            }
            repeats.say();
        });
        let said = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!((said.matches("is lost").count(), said.matches("frame").count()), (MOST as usize + 1, 50), "{said}");
        assert!(said.contains("45 more like this in the last 10 s: object 0 is lost"), "{said}");
    }
}
