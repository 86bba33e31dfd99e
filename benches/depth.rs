//! Time of measuring 20 objects in metres at 1280x720, on one thread: `cargo bench --no-default-features --bench depth`.
//! `benches/depth.py` drives this program with `--serve`, beside NumPy and Open3D.

use std::hint::black_box;
use std::io::BufRead;
use std::time::Instant;

use criterion::Criterion;
use nalgebra::{Isometry3, Vector3};
use promptseg::camera::{CameraInfo, CameraModel};
use promptseg::depth::{DepthImage, DepthSettings, DepthView, Rays, TargetFrame};
use promptseg::pixels::Mask;

const SIZE: (u32, u32) = (1280, 720);

/// Masks of 20 ellipses in a grid of 5 x 4, which cover a third of the image, and depths of ellipsoids in front of a wall with
/// noise of 2 mm.
fn scene() -> (Vec<f32>, Vec<Mask>) {
    let (width, height) = SIZE;
    let mut seed = 1_u32;
    let mut noise = || {
        let mut sum = 0.0;
        for _ in 0..4 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            sum += (seed >> 8) as f32 / 16_777_216.0 - 0.5;
        }
        sum * 0.002 * 1.73
    };
    let place = |x: u32, y: u32| {
        let (column, row) = (x / 256, y / 180);
        let (u, v) = ((x % 256) as f32 - 127.5, (y % 180) as f32 - 89.5);
        ((column + 5 * row) as usize, (u / 80.0).powi(2) + (v / 60.0).powi(2))
    };
    let mut depth = Vec::with_capacity((width * height) as usize);
    let mut inside = vec![vec![0_u8; (width * height) as usize]; 20];
    for i in 0..width * height {
        let (object, radius) = place(i % width, i / width);
        if radius < 1.0 {
            inside[object][i as usize] = 255;
            depth.push(1.0 + 0.02 * object as f32 - 0.1 * (1.0 - radius).sqrt() + noise());
        } else {
            depth.push(1.6 + noise());
        }
    }
    (depth, inside.iter().map(|data| Mask::from_data(width, height, data).expect("a mask")).collect())
}

/// Answers each line of the standard input: `RUNS` with the milliseconds of each run, `save FILE` with `saved`: the depths
/// (float32) and the number of the object on each pixel (a byte, from 1).
fn serve(view: &DepthView, metres: &[f32], masks: &[Mask]) -> Result<(), Box<dyn std::error::Error>> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if let Some(file) = line.strip_prefix("save ") {
            let mut labels = vec![0; metres.len()];
            for (number, mask) in (1_u8..).zip(masks) {
                labels
                    .iter_mut()
                    .zip(mask.full())
                    .filter(|(_, inside)| *inside != 0)
                    .for_each(|(label, _)| *label = number);
            }
            std::fs::write(file, [metres.iter().flat_map(|z| z.to_le_bytes()).collect(), labels].concat())?;
            println!("saved");
            continue;
        }
        let time = |_| {
            let start = Instant::now();
            measure(view, masks);
            format!("{:.5}", start.elapsed().as_secs_f64() * 1e3)
        };
        println!("{}", (0..line.parse()?).map(time).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

/// Measures all objects. Returns the number of points, so that nothing is optimised away.
fn measure(view: &DepthView, masks: &[Mask]) -> usize {
    masks.iter().map(|mask| view.measure(black_box(mask), None).map_or(0, |object| object.surface.len())).sum()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (metres, masks) = scene();
    let (width, height) = SIZE;
    let k = [920.0, 0.0, 640.0, 0.0, 920.0, 360.0, 0.0, 0.0, 1.0];
    let camera = CameraModel::new(&CameraInfo { width, height, k, ..CameraInfo::default() }, false)?;
    let rays = Rays::new(&camera);
    let depth = DepthImage::from_metres(width, height, &metres)?;
    let upright = TargetFrame::upright(Isometry3::rotation(Vector3::x() * -2.0));
    if std::env::args().any(|arg| arg == "--serve") {
        return serve(&DepthView::new(&depth, &rays, upright, DepthSettings::default())?, &metres, &masks);
    }
    let mut criterion = Criterion::default().configure_from_args();
    for (name, target) in [("upright", upright), ("optical", TargetFrame::optical())] {
        let view = DepthView::new(&depth, &rays, target, DepthSettings::default())?;
        criterion.bench_function(&format!("depth/{name}/20 objects"), |b| b.iter(|| measure(&view, &masks)));
    }
    let millimetres: Vec<u16> = metres.iter().map(|z| (z * 1e3) as u16).collect();
    criterion.bench_function("depth/decode", |b| {
        b.iter(|| DepthImage::from_millimetres(width, height, black_box(&millimetres)))
    });
    criterion.bench_function("depth/rays", |b| b.iter(|| Rays::new(black_box(&camera))));
    criterion.final_summary();
    Ok(())
}
