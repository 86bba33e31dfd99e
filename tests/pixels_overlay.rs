//! Draws the pictures that a person would look at, into cargo's scratch folder for tests, and checks what can be
//! checked.

use std::path::Path;

use image::imageops::{FilterType, resize};
use promptseg::pixels::{Mask, OverlayObject, decode_compressed, draw_overlay};
use promptseg::prompt::{BoxPrompt, Point};

fn ellipse(width: u32, height: u32, (cx, cy): (f32, f32), (rx, ry): (f32, f32)) -> Mask {
    let inside = |i: u32| {
        let (x, y) = ((i % width) as f32 / width as f32, (i / width) as f32 / height as f32);
        ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) < 1.0 + 0.2 * (20.0 * x).sin()
    };
    let data: Vec<u8> = (0..width * height).map(|i| u8::from(inside(i))).collect();
    Mask::from_data(width, height, &data).unwrap()
}

#[test]
fn pictures_at_two_sizes() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pixels/china_400x225.png");
    let photo = decode_compressed(&std::fs::read(golden).unwrap(), "png").unwrap();
    for (w, h) in [(640, 480), (1280, 720)] {
        let image = resize(&photo, w, h, FilterType::Triangle);
        let at = |x: f32, y: f32| (x * w as f32, y * h as f32);
        let masks = [
            ellipse(w, h, (0.45, 0.5), (0.18, 0.2)),
            ellipse(w, h, (0.85, 0.8), (0.25, 0.3)),
            ellipse(w, h, (0.12, 0.25), (0.08, 0.1)),
            ellipse(w, h, (0.14, 0.27), (0.05, 0.06)),
        ];
        let plus = |x, y| Point::foreground(at(x, y).0, at(x, y).1);
        let minus = |x, y| Point::background(at(x, y).0, at(x, y).1);
        let clicks = [plus(0.45, 0.5), minus(0.62, 0.72), plus(0.38, 0.42)];
        let (left, top) = at(0.02, 0.12);
        let (right, bottom) = at(0.22, 0.4);
        let bbox = Some(BoxPrompt { x_min: left, y_min: top, x_max: right, y_max: bottom });
        let object = |n: usize, class_id, iou| OverlayObject {
            mask: &masks[n],
            id: n as u32 + 1,
            iou,
            class_id,
            points: &[],
            bbox: None,
        };
        let objects = [
            OverlayObject { points: &clicks, ..object(0, "temple", 0.934) },
            object(1, "", 0.71),
            OverlayObject { bbox, ..object(2, "tree", 0.88) },
            object(3, "lamp", 0.5),
        ];
        let out = draw_overlay(&image, &objects);
        let name = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("overlay_{w}x{h}.png"));
        out.save(&name).unwrap();
        println!("{}", name.display());
        let changed = out.pixels().zip(image.pixels()).filter(|(a, b)| a != b).count();
        let objects_area: u32 = masks.iter().map(|m| m.area).sum();
        assert!(changed as f32 > 0.8 * objects_area as f32 && changed < (w * h) as usize * 3 / 4);
    }
}
