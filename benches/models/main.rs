//! Contenders of `./dev bench`: promptseg and the bare ONNX Runtime sessions. They answer the requests described in
//! `benches/compare/contender.py`. `models KIND BUNDLE PRECISION THREADS`; the kinds `auto` and
//! `openvino:PRECISION` are `ours` on other providers, `track:auto` is `track`, and `text:auto` is `text`.

mod bare;
mod cameras;
mod everything;
mod ours;
mod text;
mod tracking;

use std::error::Error;
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use image::RgbImage;
use promptseg::model::{OpenVinoOptions, Precision, Provider, SessionOptions};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A program that turns clicks and boxes into masks.
trait Contender {
    fn photo(&mut self, image: RgbImage) -> Outcome<()>;
    /// Encodes the image.
    fn encode(&mut self) -> Outcome<()>;
    /// Encodes the image and decodes one click.
    fn image_to_mask(&mut self, click: [f32; 2]) -> Outcome<()>;
    /// Decodes another click on the image of the last `image_to_mask`.
    fn click(&mut self, click: [f32; 2]) -> Outcome<()>;
    /// Decodes boxes, in any number of decoder runs.
    fn boxes(&mut self, boxes: &[[f32; 4]]) -> Outcome<()>;
    /// Returns the last mask, 0 or 255 per pixel, in row-major order.
    fn mask(&self) -> Outcome<Vec<u8>>;
}

fn answer(contender: &mut dyn Contender, line: &str) -> Outcome<String> {
    let mut words = line.split_whitespace();
    let (command, rest) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>());
    let numbers = || rest.iter().map(|word| word.parse::<f32>()).collect::<Result<Vec<_>, _>>();
    let click = || numbers()?.try_into().map_err(|_| Box::<dyn Error>::from("a click is X Y"));
    match (command, rest.as_slice()) {
        ("photo", [file]) => contender.photo(image::open(file)?.to_rgb8()).map(|()| "ok".into()),
        ("mask", [file]) => Ok(std::fs::write(file, contender.mask()?).map(|()| "ok".into())?),
        ("encode", []) => timed(|| contender.encode()),
        ("image_to_mask", _) => {
            let click = click()?;
            timed(|| contender.image_to_mask(click))
        }
        ("click", _) => {
            let click = click()?;
            timed(|| contender.click(click))
        }
        ("boxes" | "one_by_one", _) => {
            let boxes: Vec<[f32; 4]> = numbers()?.as_chunks().0.to_vec();
            let at_once = if command == "boxes" { boxes.len().max(1) } else { 1 };
            timed(|| boxes.chunks(at_once).try_for_each(|part| contender.boxes(part)))
        }
        _ => Err(format!("unknown request `{line}`; see benches/compare/contender.py").into()),
    }
}

fn timed(run: impl FnOnce() -> Outcome<()>) -> Outcome<String> {
    let start = Instant::now();
    run()?;
    Ok(format!("{:.5}", start.elapsed().as_secs_f64() * 1e3))
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [kind, bundle, precision, threads] = arguments.as_slice() else {
        // `cargo bench` runs every benchmark without arguments.
        println!(
            "benches/models is for ./dev bench: models ours|auto|openvino:PRECISION|bare|lean|cameras|track|track:auto|everything|text|text:auto \
             BUNDLE PRECISION THREADS"
        );
        return Ok(());
    };
    let bundle = Path::new(bundle);
    let mut options = SessionOptions {
        precision: Precision::choice(precision)?,
        cpu_bf16: true,
        ..SessionOptions::cpu(threads.parse()?)
    };
    if matches!(kind.as_str(), "auto" | "track:auto" | "text:auto") {
        options.providers = vec![Provider::OpenVino, Provider::Cpu];
    } else if let Some(hint) = kind.strip_prefix("openvino:") {
        options.providers = vec![Provider::OpenVino];
        options.openvino = OpenVinoOptions { precision: hint.parse()?, ..OpenVinoOptions::default() };
    }
    if kind == "cameras" {
        return cameras::serve(bundle, &options);
    }
    match kind.as_str() {
        "track" | "track:auto" => {
            let mut tracking = tracking::Tracking::new(bundle, &options)?;
            return serve(|line| tracking.answer(line));
        }
        "text" | "text:auto" => {
            let mut text = text::Text::new(bundle, &options)?;
            return serve(|line| text.answer(line));
        }
        "everything" => {
            let mut everything = everything::Everything::new(bundle, &options)?;
            return serve(|line| everything.answer(line));
        }
        _ => {}
    }
    let mut contender: Box<dyn Contender> = match kind.as_str() {
        "ours" | "auto" => Box::new(ours::Ours::new(bundle, &options)?),
        openvino if openvino.starts_with("openvino:") => Box::new(ours::Ours::new(bundle, &options)?),
        "bare" | "lean" => Box::new(bare::Bare::new(bundle, precision, options.threads, kind == "lean")?),
        _ => {
            return Err(format!(
                "`{kind}` is not ours, auto, openvino:PRECISION, bare, lean, cameras, track, track:auto, everything, text or text:auto"
            )
            .into());
        }
    };
    serve(|line| answer(contender.as_mut(), line))
}

/// Answers each line of standard input with a line.
fn serve(mut answer: impl FnMut(&str) -> Outcome<String>) -> Outcome<()> {
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        println!("{}", answer(&line?)?);
    }
    Ok(())
}
