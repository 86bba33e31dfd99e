//! A console on an engine with fake sessions.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use image::RgbImage;
use promptseg::console::{Console, Owner, Settings};
use promptseg::engine::{
    Decode, Encode, Engine, Event, Frame, FramePixels, Header, Settings as EngineSettings, Stamp, Turns,
};
use promptseg::model::{Candidate, DecodeOptions, DecodeTimings, Decoded, Decodes, Embedding};
use promptseg::monitor::Snapshot;
use promptseg::pixels::{Geometry, Mask, Resize};
use promptseg::prompt::{LowResLogits, Prompt};
use promptseg::text::{Phrase, RefusedPhrase, Understood, parse_phrases};
use tokio::sync::oneshot;

/// Time-out of a failing test, long enough for any machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const WIDTH: u32 = 320;
pub const HEIGHT: u32 = 240;
const SIDE: usize = 8;

/// An encoder that takes no time.
struct FakeEncoder;

impl Encode for FakeEncoder {
    fn encode(&mut self, image: &RgbImage) -> Result<Embedding, String> {
        let geometry = Geometry::new(image.width(), image.height(), 16, Resize::Letterbox);
        let parts = vec![("image_embeddings".into(), vec![1, 1, 1, 1], vec![0.0])];
        Embedding::from_parts(parts, geometry).map_err(|e| format!("{e}: ORT_DYLIB_PATH names ONNX Runtime's library"))
    }
}

/// A decoder whose masks are a square of 9 pixels around the last point, cut off at the border of the image.
struct FakeDecoder;

impl Decode for FakeDecoder {
    fn decode(&mut self, embedding: &Embedding, prompts: &[Prompt], _: &DecodeOptions) -> Result<Decodes, String> {
        let (width, height) = embedding.image_size();
        let decoded = |prompt: &Prompt| {
            let (x, y) = prompt.points.last().map_or((0.0, 0.0), |point| (point.x, point.y));
            let inside = |i: u32| ((i % width) as f32 - x).abs() <= 1.0 && ((i / width) as f32 - y).abs() <= 1.0;
            let data: Vec<u8> = (0..width * height).map(|i| u8::from(inside(i))).collect();
            let mask = Mask::from_data(width, height, &data).unwrap_or_else(|| Mask::empty(width, height));
            let low_res = LowResLogits { side: SIDE, data: vec![1.0; SIDE * SIDE].into() };
            let best = Candidate { index: 0, iou: 0.9, mask, certain: None, low_res, logits: None };
            Decoded { best, others: Vec::new(), candidate_ious: vec![0.9], object_score: None }
        };
        Ok(Decodes { objects: prompts.iter().map(decoded).collect(), timings: DecodeTimings::default() })
    }

    fn low_res_side(&self) -> usize {
        SIDE
    }

    fn mask_threshold(&self) -> f32 {
        0.0
    }
}

/// Owner of two cameras: `front`, whose engine runs, and `rear`, which is not active.
struct FakeOwner {
    engine: Engine,
    snapshot: Mutex<Option<Snapshot>>,
}

impl Owner for FakeOwner {
    fn cameras(&self) -> Vec<String> {
        vec!["front".into(), "rear".into()]
    }

    fn with_engine(&self, camera: usize, use_engine: &mut dyn FnMut(&Engine)) -> bool {
        if camera == 0 {
            use_engine(&self.engine);
        }
        camera == 0
    }

    fn inactivity(&self, camera: usize) -> String {
        format!("camera {camera} sleeps")
    }

    fn phrases(&self, camera: usize) -> Option<Vec<String>> {
        (camera == 0).then(|| vec!["cup".to_owned()])
    }

    /// Understands every phrase except "dog"; no answer comes for "stop".
    fn set_text(&self, camera: usize, text: &str) -> Result<oneshot::Receiver<Result<Understood, String>>, String> {
        if camera != 0 {
            return Err(self.inactivity(camera));
        }
        let phrases = parse_phrases(text).map_err(|e| e.to_string())?;
        let (reply, answer) = oneshot::channel();
        if text != "stop" {
            let (refused, accepted): (Vec<_>, Vec<_>) = phrases.into_iter().partition(|phrase| phrase.text == "dog");
            let refusal = |phrase: Phrase| RefusedPhrase { text: phrase.text, reason: "not in the bank".to_owned() };
            let refused = refused.into_iter().map(refusal).collect();
            reply.send(Ok(Understood { accepted, refused })).unwrap();
        }
        Ok(answer)
    }

    fn snapshot(&self, camera: usize) -> Option<Snapshot> {
        self.snapshot.lock().unwrap().clone().filter(|_| camera == 0)
    }
}

/// A console, and the engine of its first camera.
pub struct Bench {
    pub console: Arc<Console>,
    owner: Arc<FakeOwner>,
}

/// Starts a console with these settings on a free port.
pub fn bench(settings: Settings) -> Bench {
    let (sender, events): (Sender<Event>, Receiver<Event>) = channel();
    let sink = Box::new(move |event| drop(sender.send(event)));
    let sessions = (Turns::shared(FakeEncoder), Turns::shared(FakeDecoder));
    let engine = Engine::start(sessions.0, sessions.1, EngineSettings::default(), sink).unwrap();
    let snapshot = Snapshot { seconds: 1.0, ..Snapshot::default() };
    let owner = Arc::new(FakeOwner { engine, snapshot: Mutex::new(Some(snapshot)) });
    let settings = Settings { address: "127.0.0.1:0".parse().unwrap(), ..settings };
    let runtime = tokio::runtime::Handle::current();
    let console = Console::start(settings, Arc::clone(&owner) as Arc<dyn Owner>, &runtime).unwrap();
    let console = Arc::new(console);
    // The thread ends with the test's process.
    let (publishing, engine) = (Arc::clone(&console), Arc::clone(&owner));
    std::thread::spawn(move || {
        events.into_iter().for_each(|event| publishing.event(0, &event, &engine.engine));
    });
    Bench { console, owner }
}

impl Bench {
    pub fn engine(&self) -> &Engine {
        &self.owner.engine
    }

    /// Hands over a frame of noise, whose JPEG is large, and waits until it is encoded.
    pub async fn noise(&self, sec: i32) {
        let mut state = sec as u32;
        let image = RgbImage::from_fn(WIDTH, HEIGHT, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb([(state >> 8) as u8, (state >> 16) as u8, (state >> 24) as u8])
        });
        self.push(sec, image).await;
    }

    /// Hands over a frame whose red level is its second, and waits until it is encoded.
    pub async fn frame(&self, sec: i32) {
        self.push(sec, RgbImage::from_pixel(WIDTH, HEIGHT, image::Rgb([sec as u8, 90, 30]))).await;
    }

    async fn push(&self, sec: i32, image: RgbImage) {
        let header = Header { stamp: Stamp { sec, nanosec: 0 }, frame_id: "camera".into() };
        let before = self.engine().metrics().results;
        self.engine().push_frame(Frame { header, pixels: FramePixels::Rgb(Arc::new(image)) });
        until(|| self.engine().metrics().results > before).await;
    }
}

/// Waits for a condition.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < PATIENCE, "the condition did not become true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub const TOKEN: &str = "operator-0123456789";
pub const SPECTATOR: &str = "spectator-0123456789";

/// Settings with both tokens.
pub fn with_tokens() -> Settings {
    Settings { token: TOKEN.into(), spectator_token: SPECTATOR.into(), ..Settings::default() }
}
