//! Cameras that share one model through the engine. `cameras N FRAMES` answers with the milliseconds per answered frame
//! of all cameras, and the number of frames of the slowest camera relative to an equal share (1 is fair).

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use image::RgbImage;
use promptseg::engine::{
    Decode, Encode, Engine, Event, Frame, FramePixels, FrameRef, Header, Interaction, ObjectPrompt, Operation,
    Persistence, ResultSource, Session, Settings, Stamp, Turns,
};
use promptseg::model::{Model, SessionOptions};
use promptseg::prompt::Prompt;

use super::Outcome;

/// Time between frames: 250 frames per second from each camera, faster than any model.
const PERIOD: Duration = Duration::from_millis(4);
const PATIENCE: Duration = Duration::from_secs(60);

struct Rig {
    encoder: Session<dyn Encode>,
    decoder: Session<dyn Decode>,
    image: Arc<RgbImage>,
}

pub fn serve(bundle: &Path, options: &SessionOptions) -> Outcome<()> {
    let model = Model::open(bundle, None, options)?;
    let mut rig = Rig {
        encoder: Turns::shared(model.encoder),
        decoder: Turns::shared(model.decoder),
        image: Arc::new(RgbImage::new(1, 1)),
    };
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["photo", file] => {
                rig.image = Arc::new(image::open(file)?.to_rgb8());
                println!("ok");
            }
            ["cameras", count, frames] => {
                let (ms, slowest) = rig.run(count.parse()?, frames.parse()?)?;
                println!("{ms:.5} {slowest:.3}");
            }
            _ => return Err(format!("unknown request `{line}`; see benches/compare/contender.py").into()),
        }
    }
    Ok(())
}

impl Rig {
    fn run(&self, count: usize, frames: usize) -> Outcome<(f64, f64)> {
        let (answers, answered) = channel();
        let mut engines = Vec::new();
        for camera in 0..count {
            let answers = answers.clone();
            let sink = move |event| {
                if matches!(&event, Event::Result(result) if result.source == ResultSource::Camera) {
                    // The receiver is dropped after the last frame.
                    let _ = answers.send(camera);
                }
            };
            let (encoder, decoder) = (Arc::clone(&self.encoder), Arc::clone(&self.decoder));
            let engine = Engine::start(encoder, decoder, Settings::default(), Box::new(sink))?;
            let (w, h) = (self.image.width() as f32, self.image.height() as f32);
            let object = ObjectPrompt { prompt: Prompt::point(w * 0.4, h * 0.45), ..ObjectPrompt::default() };
            engine
                .interact(Interaction::Prompts {
                    at: FrameRef::Newest,
                    operation: Operation::Set,
                    objects: vec![object],
                    persistence: Persistence::Hold,
                })
                .map_err(|refusal| refusal.message)?;
            engines.push(engine);
        }
        self.count(&engines, &answered, frames)
    }

    /// Pushes frames into all engines until `frames` are answered. The first answers, one per camera, are not counted.
    fn count(&self, engines: &[Engine], answered: &Receiver<usize>, frames: usize) -> Outcome<(f64, f64)> {
        let begun = Instant::now();
        let (mut warm, mut start) = (engines.len(), begun);
        let mut seen = vec![0; engines.len()];
        let mut next = begun;
        let mut sec = 1;
        loop {
            if Instant::now() >= next {
                for engine in engines {
                    let header = Header { stamp: Stamp { sec, nanosec: 0 }, frame_id: "camera".into() };
                    engine.push_frame(Frame { header, pixels: FramePixels::Rgb(Arc::clone(&self.image)) });
                }
                (next, sec) = (Instant::now() + PERIOD, sec + 1);
            }
            match answered.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(_) if warm > 0 => {
                    warm -= 1;
                    start = Instant::now();
                }
                Ok(camera) => seen[camera] += 1,
                Err(_) => {}
            }
            let total: usize = seen.iter().sum();
            if total >= frames {
                let slowest = seen.iter().min().copied().unwrap_or_default();
                let fair = total as f64 / engines.len() as f64;
                return Ok((start.elapsed().as_secs_f64() * 1e3 / total as f64, slowest as f64 / fair));
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("only {total} of {frames} frames were answered in {PATIENCE:?}").into());
            }
        }
    }
}
