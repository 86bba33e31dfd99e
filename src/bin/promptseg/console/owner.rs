//! The engine on files, as the console uses it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use promptseg::console::{Files, Owner, Saved, Timeline};
use promptseg::engine::{
    EncodeMode, Engine, Event, Frame, FramePixels, FrameResult, Header, Metrics, Settings, Stamp, Turns,
};
use promptseg::model::Model;
use promptseg::monitor::{ModelFacts, Snapshot, System};

use super::save::Saver;
use super::sequence::Sequence;
use super::session_prompts::SessionPrompts;

/// The engine, and the pictures that it gets.
pub struct FileOwner {
    engine: Engine,
    facts: ModelFacts,
    started: Instant,
    pictures: Arc<Pictures>,
}

/// The pictures of the timeline.
struct Pictures {
    /// Locked while a picture is read.
    sequence: Mutex<Sequence>,
    /// Locked for a moment only: every page asks for the timeline once a second.
    shown: Mutex<Shown>,
    saver: Saver,
    /// Locked while an event is noted or the prompts are saved.
    prompts: Mutex<Noted>,
    /// The engine of the owner, which passes pictures on.
    frames: Sender<Frame>,
}

/// The prompts so far.
#[derive(Default)]
struct Noted {
    /// Index of each picture that was shown, in the order of the stamps.
    indices: Vec<usize>,
    prompts: SessionPrompts,
}

/// The picture that is shown.
struct Shown {
    timeline: Timeline,
    /// File of the picture, and the beginning of the names of its masks.
    path: PathBuf,
    name: OsString,
    /// Number of pictures that were shown: their stamps differ.
    count: i32,
}

impl FileOwner {
    /// Starts the engine. Returns the owner and the events of the engine.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn start(model: Model, sequence: Sequence, saver: Saver) -> std::io::Result<(Arc<Self>, Receiver<Event>)> {
        let facts = ModelFacts::from_model(&model);
        let (sender, events) = channel();
        let sink = Box::new(move |event| {
            // Fails only when the process ends.
            let _ = sender.send(event);
        });
        let image_topic = sequence.path(0).display().to_string();
        let settings = Settings { image_topic, encode: EncodeMode::Always, ..Settings::default() };
        let engine = Engine::start(Turns::shared(model.encoder), Turns::shared(model.decoder), settings, sink)?;
        let (frames, received) = channel();
        let timeline = timeline(&sequence, 0);
        let shown = Shown { timeline, path: sequence.path(0).to_owned(), name: sequence.name(0), count: 0 };
        let pictures = Arc::new(Pictures {
            sequence: Mutex::new(sequence),
            shown: Mutex::new(shown),
            saver,
            prompts: Mutex::default(),
            frames,
        });
        let owner = Arc::new(FileOwner { engine, facts, started: Instant::now(), pictures });
        let pushing = Arc::clone(&owner);
        std::thread::Builder::new().name("pictures".into()).spawn(move || {
            received.into_iter().for_each(|frame| pushing.engine.push_frame(frame));
        })?;
        Ok((owner, events))
    }

    /// Notes the prompts of an event of the engine.
    pub fn note_prompts(&self, event: &Event) {
        if let Event::Result(result) = event {
            self.pictures.note_prompts(result);
        }
    }

    /// Shows a picture.
    ///
    /// # Errors
    /// The picture cannot be read.
    pub fn show(&self, index: usize) -> Result<(), String> {
        self.pictures.show(index)
    }
}

impl Owner for FileOwner {
    fn cameras(&self) -> Vec<String> {
        vec![String::new()]
    }

    fn with_engine(&self, _: usize, use_engine: &mut dyn FnMut(&Engine)) -> bool {
        use_engine(&self.engine);
        true
    }

    fn inactivity(&self, _: usize) -> String {
        "the files are closed".to_owned()
    }

    fn snapshot(&self, _: usize) -> Option<Snapshot> {
        let system = System::default();
        Some(Snapshot {
            camera: String::new(),
            image_topic: self.pictures.timeline().name,
            model: self.facts.clone(),
            // Rates are those since the start.
            before: Metrics::default(),
            now: self.engine.metrics(),
            seconds: self.started.elapsed().as_secs_f64(),
            usage: self.engine.usage(),
            keep: Settings::default().keep,
            resident: system.resident(),
            jetson: system.jetson(),
            text: None,
        })
    }

    fn files(&self) -> Option<Arc<dyn Files>> {
        Some(Arc::clone(&self.pictures) as Arc<dyn Files>)
    }
}

fn timeline(sequence: &Sequence, index: usize) -> Timeline {
    let name = sequence.path(index).file_name().unwrap_or_default().to_string_lossy().into_owned();
    Timeline { index, count: sequence.count(), name, rate: sequence.rate() }
}

impl Pictures {
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_prompts(&self, result: &FrameResult) {
        let mut noted = self.noted();
        let shown_before = usize::try_from(result.header.stamp.sec - 1).ok();
        if let Some(index) = shown_before.and_then(|before| noted.indices.get(before).copied()) {
            noted.prompts.update(index, result);
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.prompts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for Pictures {
    fn timeline(&self) -> Timeline {
        self.lock().timeline.clone()
    }

    fn show(&self, index: usize) -> Result<(), String> {
        let mut sequence = self.sequence.lock().unwrap_or_else(PoisonError::into_inner);
        let image = sequence.read(index)?;
        let mut shown = self.lock();
        let count = shown.count + 1;
        *shown = Shown {
            timeline: timeline(&sequence, index),
            path: sequence.path(index).to_owned(),
            name: sequence.name(index),
            count,
        };
        self.noted().indices.push(index);
        let stamp = Stamp { sec: count, nanosec: 0 };
        let header = Header { stamp, frame_id: "file".into() };
        let frame = Frame { header, pixels: FramePixels::Rgb(image) };
        self.frames.send(frame).map_err(|_| "the engine has ended".to_owned())
    }

    fn save(&self, result: &FrameResult) -> Result<Saved, String> {
        if self.saver.saves_prompts() {
            // The event of the newest answer may still be on its way.
            self.note_prompts(result);
            let (content, objects) = self.noted().prompts.file();
            let path = self.lock().path.clone();
            return self.saver.save_prompts(&path, &content, objects);
        }
        let (path, name) = {
            let shown = self.lock();
            if result.header.stamp.sec != shown.count {
                return Err("another picture is being shown: save again when it is there".to_owned());
            }
            (shown.path.clone(), shown.name.clone())
        };
        self.saver.save(&path, &name, result)
    }
}
