//! Measures the overhead of the engine: the time from a camera's frame to its masks, without the time in the sessions.
//! `cargo bench --no-default-features --bench engine`. `PROMPTSEG_BENCH_BUNDLE=FOLDER` selects a bundle instead of the
//! built-in model. A held object is decoded on every frame of 1280x720; a click is decoded on the kept frame.
//!
//! The printed table shows the time inside and outside the sessions; criterion measures the whole time.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use criterion::Criterion;
use promptseg::engine::{
    ClickMode, Engine, Event, Frame, FramePixels, FrameRef, FrameResult, Header, Interaction, Persistence,
    ResultSource, Settings, Stamp, Turns,
};
use promptseg::model::{Model, SessionOptions};
use promptseg::prompt::Point;

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;

struct Camera {
    engine: Engine,
    results: Receiver<(FrameResult, Instant)>,
    image: Vec<u8>,
    frames: i32,
}

/// Time of one answer, in milliseconds.
struct Answer {
    total: f64,
    sessions: f64,
}

impl Camera {
    fn new(model: Model) -> Self {
        let (sender, results) = channel();
        let sender = Mutex::new(sender);
        let sink = Box::new(move |event| match event {
            Event::Result(result) => drop(sender.lock().expect("the sink").send((result, Instant::now()))),
            other => panic!("{other:?}"),
        });
        let (encoder, decoder) = (Turns::shared(model.encoder), Turns::shared(model.decoder));
        let engine = Engine::start(encoder, decoder, Settings::default(), sink).expect("threads");
        let pixel = |i: usize| {
            let (x, y) = (i / 3 % WIDTH as usize, i / 3 / WIDTH as usize);
            // A bright disk on a gradient.
            let inside = (x as f64 - 500.0).hypot(y as f64 - 300.0) < 150.0;
            if inside { 230 } else { (x / 8 + y / 6 + i % 3 * 20) as u8 }
        };
        let image = (0..(WIDTH * HEIGHT * 3) as usize).map(pixel).collect();
        Camera { engine, results, image, frames: 0 }
    }

    fn answer(&self, source: ResultSource, since: Instant) -> Answer {
        let (result, at) = loop {
            let (result, at) = self.results.recv().expect("a result");
            if result.source == source && !result.objects.is_empty() {
                break (result, at);
            }
        };
        let encode = if source == ResultSource::Camera { f64::from(result.ms.encode) } else { 0.0 };
        let total = at.duration_since(since).as_secs_f64() * 1e3;
        Answer { total, sessions: encode + f64::from(result.ms.decode) }
    }

    /// Pushes a frame, as the middleware delivers it, and waits for its masks.
    fn frame(&mut self) -> Answer {
        let pixels = self.pixels();
        let since = Instant::now();
        self.engine.push_frame(pixels);
        self.answer(ResultSource::Camera, since)
    }

    fn pixels(&mut self) -> Frame {
        self.frames += 1;
        let header = Header { stamp: Stamp { sec: self.frames, nanosec: 0 }, frame_id: "camera".into() };
        let (encoding, data) = ("rgb8".to_owned(), self.image.clone());
        let pixels =
            FramePixels::Raw { width: WIDTH, height: HEIGHT, step: WIDTH * 3, encoding, big_endian: false, data };
        Frame { header, pixels }
    }

    /// Clicks on a new object with the given persistence, and waits for its mask.
    fn click(&mut self, persistence: Persistence) -> Answer {
        self.engine.interact(Interaction::Clear).expect("room");
        let point = Point::foreground(500.0, 300.0);
        let since = Instant::now();
        let click = Interaction::Click { at: FrameRef::Newest, point, mode: ClickMode::Point, persistence };
        self.engine.interact(click).expect("room");
        self.answer(ResultSource::Prompt, since)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn table(name: &str, what: &str, answers: &[Answer]) {
    let (total, sessions) = (answers.iter().map(|a| a.total), answers.iter().map(|a| a.sessions));
    let (total, sessions) = (median(total.collect()), median(sessions.collect()));
    let beside = median(answers.iter().map(|a| a.total - a.sessions).collect());
    let ratio = 100.0 * beside / sessions;
    println!(
        "{name}, {what}: {total:.2} ms, of them in sessions {sessions:.2} ms; beside them {beside:.2} ms ({ratio:.1} %)"
    );
}

fn main() {
    let options = SessionOptions::default();
    let bundle = std::env::var_os("PROMPTSEG_BENCH_BUNDLE").map(PathBuf::from);
    let model = match &bundle {
        Some(folder) => Model::open(folder, None, &options),
        None => Model::tiny(&options),
    };
    let model = model.expect("a model; ORT_DYLIB_PATH names ONNX Runtime's library");
    let name = model.info.name.clone();
    let mut camera = Camera::new(model);
    let first = camera.pixels();
    camera.engine.push_frame(first);
    camera.click(Persistence::Hold);
    camera.frame();
    // A few frames and clicks for the table; then criterion runs its own measurements.
    let until = Instant::now() + Duration::from_secs(12);
    let frames: Vec<Answer> =
        (0..200).take_while(|i| *i < 10 || Instant::now() < until).map(|_| camera.frame()).collect();
    let clicks: Vec<Answer> = (0..50).map(|_| camera.click(Persistence::Hold)).collect();
    table(&name, "frame to masks, one held object", &frames);
    table(&name, "click to mask", &clicks);
    if std::env::var_os("PROMPTSEG_BENCH_TABLE").is_none() {
        let mut criterion = Criterion::default().configure_from_args().sample_size(10);
        let mut group = criterion.benchmark_group(format!("engine/{name}"));
        group.bench_function("frame_to_masks", |b| b.iter(|| camera.frame()));
        group.bench_function("click_to_mask", |b| b.iter(|| camera.click(Persistence::Hold)));
        group.finish();
    }
}
