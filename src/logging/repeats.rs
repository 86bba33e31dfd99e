//! Suppresses repeated warnings: after a few lines, a warning is only counted.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Most warnings of one kind that are logged within [`PERIOD`].
const MAX_LOGGED: u32 = 5;
const PERIOD: Duration = Duration::from_secs(10);
/// Most kinds that are counted.
const MAX_KINDS: usize = 256;
/// Target of the event that reports the count; this event is never suppressed.
const TARGET: &str = "promptseg::repeats";

/// Counts of warnings and errors by kind. Two events are of one kind if they come from the same line of code and differ in
/// digits only.
#[derive(Debug, Clone, Default)]
pub struct Repeats(Arc<Mutex<HashMap<u64, Kind>>>);

/// Counts of one kind.
#[derive(Debug)]
struct Kind {
    /// Start of the current period.
    start: Instant,
    /// Events that were logged in the period.
    logged: u32,
    /// Events that were suppressed in the period.
    suppressed: u64,
    /// Text of the first event.
    text: String,
}

impl Repeats {
    /// Counts an event and returns whether to log it.
    fn passes(&self, kind: u64, text: impl FnOnce() -> String, now: Instant) -> bool {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kinds.contains_key(&kind) {
            kinds.retain(|_, k| k.suppressed > 0 || now.duration_since(k.start) < PERIOD);
            if kinds.len() >= MAX_KINDS {
                return true;
            }
            kinds.insert(kind, Kind { start: now, logged: 0, suppressed: 0, text: text() });
        }
        let Some(kind) = kinds.get_mut(&kind) else { return true };
        if kind.suppressed == 0 && now.duration_since(kind.start) >= PERIOD {
            (kind.start, kind.logged) = (now, 0);
        }
        if kind.logged < MAX_LOGGED {
            kind.logged += 1;
            return true;
        }
        kind.suppressed += 1;
        false
    }

    /// Returns number and text of the suppressed events of each kind whose period is over.
    fn due(&self, now: Instant) -> Vec<(u64, String)> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        for kind in kinds.values_mut().filter(|k| k.suppressed > 0 && now.duration_since(k.start) >= PERIOD) {
            due.push((kind.suppressed, kind.text.clone()));
            // `logged` keeps its value: a kind that goes on stays suppressed until a period without events.
            (kind.start, kind.suppressed) = (now, 0);
        }
        due
    }

    /// Logs the number of suppressed events for each kind whose period is over.
    pub fn log_suppressed(&self) {
        for (count, text) in self.due(Instant::now()) {
            tracing::warn!(target: TARGET, "{count} more like this in the last {} s: {text}", PERIOD.as_secs());
        }
    }

    /// Returns whether to log an event. Events below a warning are not counted.
    fn passes_event(&self, event: &Event<'_>) -> bool {
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

/// A layer that receives only the events that [`Repeats`] passes. (A `Filter` would be shorter, but debug assertions of
/// tracing-subscriber fail when such a filter rejects an event.)
pub struct Unrepeated<L> {
    pub layer: L,
    pub repeats: Repeats,
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for Unrepeated<L> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if self.repeats.passes_event(event) {
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

/// The message of an event.
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
    fn repeated_events_are_logged_a_few_times_and_then_counted() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let passed = (0..100).filter(|_| repeats.passes(1, || "disk full".into(), at(0))).count();
        assert_eq!(passed, MAX_LOGGED as usize);
        assert!(repeats.passes(2, || "other".into(), at(0)), "another kind has its own count");
        assert_eq!(repeats.due(at(9)), []);
        assert_eq!(repeats.due(at(10)), [(95, "disk full".to_owned())]);
        assert_eq!(repeats.due(at(30)), [], "once");
        assert!(!repeats.passes(1, String::new, at(11)) && !repeats.passes(1, String::new, at(12)));
        assert_eq!(repeats.due(at(21)), [(2, "disk full".to_owned())]);
        assert!(repeats.passes(1, String::new, at(40)), "after a period without events the kind is logged again");
    }

    #[test]
    fn the_number_of_kinds_is_bounded() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        assert!((0..10_000).all(|kind| repeats.passes(kind, String::new, now)));
        assert_eq!(repeats.0.lock().unwrap().len(), MAX_KINDS);
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
    fn events_that_differ_in_digits_are_of_one_kind() {
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
                kind.start -= PERIOD;
            }
            repeats.log_suppressed();
        });
        let log = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            (log.matches("is lost").count(), log.matches("frame").count()),
            (MAX_LOGGED as usize + 1, 50),
            "{log}"
        );
        assert!(log.contains("45 more like this in the last 10 s: object 0 is lost"), "{log}");
    }
}
