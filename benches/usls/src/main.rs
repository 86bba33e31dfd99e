//! The library usls as a contender of `./dev bench`. `bench-usls ENCODER DECODER THREADS` answers the requests described
//! in `benches/compare/contender.py`. usls cannot reuse an embedding, so every click encodes the image again.

use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

use usls::{Config, Image, Model, Runtime, SAM, SamPrompt};

struct Contender {
    model: Runtime<SAM>,
    photo: Vec<Image>,
    mask: Vec<u8>,
}

impl Contender {
    fn new(encoder: &str, decoder: &str, threads: usize) -> Result<Self, Box<dyn Error>> {
        let config = Config::mobile_sam_tiny()
            .with_encoder_file(encoder)
            .with_decoder_file(decoder)
            .with_num_intra_threads_all(threads)
            .with_num_dry_run_all(0)
            .with_class_confs(&[0.0])
            .commit()?;
        Ok(Contender { model: SAM::new(config)?, photo: Vec::new(), mask: Vec::new() })
    }

    /// Milliseconds from the image to the mask.
    fn click(&mut self, x: f32, y: f32) -> Result<f64, Box<dyn Error>> {
        let prompt = [SamPrompt::default().with_positive_point(x, y)];
        let start = Instant::now();
        let results = self.model.run((&self.photo, &prompt))?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        self.mask = results.first().and_then(|y| y.masks().first()).map(|mask| mask.to_vec()).ok_or("no mask")?;
        Ok(ms)
    }

    fn answer(&mut self, line: &str) -> Result<String, Box<dyn Error>> {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["photo", file] => {
                self.photo = vec![Image::try_read(file)?];
                Ok("ok".into())
            }
            ["image_to_mask" | "click", x, y] => Ok(self.click(x.parse()?, y.parse()?)?.to_string()),
            ["mask", file] => {
                std::fs::write(file, &self.mask)?;
                Ok("ok".into())
            }
            _ => Err(format!("usls does not support the request `{line}`").into()),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [encoder, decoder, threads] = arguments.as_slice() else {
        return Err("expected arguments: bench-usls ENCODER DECODER THREADS".into());
    };
    let mut contender = Contender::new(encoder, decoder, threads.parse()?)?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        println!("{}", contender.answer(&line?)?);
    }
    Ok(())
}
