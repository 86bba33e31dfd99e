//! Overlays for operators: the camera's image with coloured masks, contours, prompts and labels.

use image::RgbImage;

use super::draw::{self, Area, Rgb};
use super::mask::Mask;
use super::tint;
use super::typeface::Typeface;
use crate::prompt::{BoxPrompt, Label, Point};

/// An object of the overlay.
#[derive(Debug, Clone, Copy)]
pub struct OverlayObject<'a> {
    /// The mask. It is not drawn if its image size differs from the size of the image.
    pub mask: &'a Mask,
    /// Id of the object, which determines its colour.
    pub id: u32,
    /// Predicted IoU, for the label.
    pub iou: f32,
    /// Class of the object, for the label; may be empty.
    pub class_id: &'a str,
    pub points: &'a [Point],
    pub bbox: Option<BoxPrompt>,
}

/// Radius of a click, and of the ring around it, in an image with a short side of 480 pixels, in pixels.
const CLICK: f32 = 7.0;
const CLICK_RING: f32 = CLICK * 1.38;
const WHITE: Rgb = [255; 3];
const PLATE: Rgb = [18, 18, 22];
const FOREGROUND: Rgb = [24, 160, 70];
const BACKGROUND: Rgb = [214, 40, 40];
/// Height of a line of a label in an image with a short side of 480 pixels, in pixels.
const TEXT_SIZE: f32 = 18.0;
/// Smallest and largest height of a line, in pixels.
const SMALLEST_TEXT: f32 = 12.0;
const LARGEST_TEXT: f32 = 128.0;
/// Longest class name on a label, in characters.
const LONGEST_NAME: usize = 24;

/// Draws objects on a copy of the image, in their order. Contours, prompts and labels are drawn over all masks. Lines
/// and text scale with the short side of the image.
pub fn draw_overlay(image: &RgbImage, objects: &[OverlayObject]) -> RgbImage {
    let mut out = image.clone();
    let (width, height) = image.dimensions();
    let short = width.min(height) as f32;
    let unit = (short / 480.0).max(0.4);
    let has_size = |o: &&OverlayObject| (o.mask.width, o.mask.height) == (width, height);
    for object in objects.iter().filter(has_size) {
        let radius = (1.5 * unit).round().max(1.0) as usize;
        tint::mask(&mut out, object.mask, object_colour(object.id), radius, |_| true);
    }
    for object in objects {
        if let Some(b) = &object.bbox {
            let area = Area { left: b.x_min, top: b.y_min, right: b.x_max, bottom: b.y_max };
            draw::frame(&mut out, area, 4.0 * unit, PLATE, 0.55);
            draw::frame(&mut out, area, 2.0 * unit, object_colour(object.id), 1.0);
        }
        for point in object.points {
            click(&mut out, point, CLICK * unit);
        }
    }
    let typeface = Typeface::new((TEXT_SIZE * unit).clamp(SMALLEST_TEXT, LARGEST_TEXT).round());
    let around = |point: &Point| pixel_of(point).grown(CLICK_RING * unit);
    let clicks: Vec<Area> = objects.iter().flat_map(|object| object.points.iter().map(around)).collect();
    let mut plates = Vec::with_capacity(objects.len());
    for object in objects {
        label(&mut out, object, typeface, &clicks, &mut plates);
    }
    out
}

/// Returns the colour of an id, which never changes and differs clearly from the colours of neighbouring ids.
pub fn object_colour(id: u32) -> Rgb {
    // Multiples of the golden ratio are well distributed on the circle of hues. Id 1 is blue.
    let hue = (f64::from(id.wrapping_sub(1)) * 0.618_033_988_749_895 + 0.58).fract() * 6.0;
    let saturation = if id.is_multiple_of(3) { 0.62 } else { 0.88 };
    let channel = |offset: f64| {
        let distance = ((hue + offset) % 6.0 - 3.0).abs() - 1.0;
        let full = distance.clamp(0.0, 1.0);
        (255.0 * (1.0 - saturation * (1.0 - full))) as u8
    };
    [channel(0.0), channel(4.0), channel(2.0)]
}

/// Draws the first corner of an unfinished box: a cross with a small square around the pixel.
pub fn draw_corner(image: &mut RgbImage, corner: &Point) {
    let unit = (image.width().min(image.height()) as f32 / 480.0).max(0.4);
    let (x, y) = (corner.x + 0.5, corner.y + 0.5);
    let pixel = Area { left: x, top: y, right: x, bottom: y };
    for (thick, colour) in [(2.0 * unit, PLATE), (unit, WHITE)] {
        for (dx, dy) in [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)] {
            // Four arms around the pixel, which stays visible.
            let (near, far) = (5.0 * unit, 16.0 * unit);
            let (from, to) = ((x + dx * near, y + dy * near), (x + dx * far, y + dy * far));
            let (left, right) = (from.0.min(to.0), from.0.max(to.0));
            let (top, bottom) = (from.1.min(to.1), from.1.max(to.1));
            draw::fill(image, Area { left, top, right, bottom }.grown(thick), colour, 1.0);
        }
    }
    draw::frame(image, pixel.grown(5.0 * unit), 3.0 * unit, PLATE, 0.8);
    draw::frame(image, pixel.grown(5.0 * unit), 1.5 * unit, FOREGROUND, 1.0);
}

/// Draws a click: a green plus or a red minus in a white ring.
fn click(image: &mut RgbImage, point: &Point, radius: f32) {
    // A click on a pixel is drawn in the centre of the pixel.
    let (x, y) = (point.x + 0.5, point.y + 0.5);
    let colour = if point.label == Label::Foreground { FOREGROUND } else { BACKGROUND };
    draw::disc(image, (x, y), radius * 1.38, PLATE);
    draw::disc(image, (x, y), radius * 1.25, WHITE);
    draw::disc(image, (x, y), radius, colour);
    let (long, thin) = (radius * 0.62, (radius * 0.17).max(0.5));
    draw::fill(image, Area { left: x - long, right: x + long, top: y - thin, bottom: y + thin }, WHITE, 1.0);
    if point.label == Label::Foreground {
        draw::fill(image, Area { left: x - thin, right: x + thin, top: y - long, bottom: y - thin }, WHITE, 1.0);
        draw::fill(image, Area { left: x - thin, right: x + thin, top: y + thin, bottom: y + long }, WHITE, 1.0);
    }
}

/// Draws a label such as `#3 cup 0.93` on a dark plate beside the object. The plate is added to `plates`.
fn label(image: &mut RgbImage, object: &OverlayObject, typeface: Typeface, clicks: &[Area], plates: &mut Vec<Area>) {
    let Some(area) = area_of(object).filter(|area| area.is_finite()) else { return };
    let stripe = (typeface.line_height() / 4.0).round();
    let margin = stripe;
    let text = label_text(object);
    let text = typeface.fit(&text, image.width() as f32 - stripe - 2.0 * margin);
    let width = (stripe + 2.0 * margin + typeface.width(text)).ceil();
    let height = typeface.line_height() + margin;
    let plate = place_plate(area, (width, height), margin, image.dimensions(), clicks, plates);
    draw::fill(image, plate, PLATE, 0.78);
    draw::fill(image, Area { right: plate.left + stripe, ..plate }, object_colour(object.id), 1.0);
    let corner = (plate.left + stripe + margin, plate.top + (margin / 2.0).floor());
    typeface.draw(image, corner, text, WHITE);
    plates.push(plate);
}

/// Returns the area of the mask, or else of the box, or else of the first point.
fn area_of(object: &OverlayObject) -> Option<Area> {
    match (object.mask.bbox, &object.bbox, object.points.first()) {
        (Some(b), ..) => {
            let (left, top) = (b.x as f32, b.y as f32);
            Some(Area { left, top, right: left + b.width as f32, bottom: top + b.height as f32 })
        }
        (None, Some(b), _) => Some(Area { left: b.x_min, top: b.y_min, right: b.x_max, bottom: b.y_max }),
        (None, None, Some(p)) => Some(pixel_of(p)),
        (None, None, None) => None,
    }
}

fn pixel_of(point: &Point) -> Area {
    Area { left: point.x, top: point.y, right: point.x + 1.0, bottom: point.y + 1.0 }
}

/// Returns the place of a plate beside an object: above it if there is room, else below, to the right, or to the left.
/// The plate covers no click and no other plate if any of the tried places is free.
fn place_plate(
    object: Area,
    (plate_width, plate_height): (f32, f32),
    margin: f32,
    (width, height): (u32, u32),
    clicks: &[Area],
    plates: &[Area],
) -> Area {
    let (width, height) = (width as f32, height as f32);
    let at = |left: f32, top: f32| {
        let (left, top) = (left.floor(), top.floor());
        Area { left, top, right: left + plate_width, bottom: top + plate_height }
    };
    let (last_left, last_top) = ((width - plate_width).max(0.0), (height - plate_height).max(0.0));
    let (left, top) = (object.left.clamp(0.0, last_left), object.top.clamp(0.0, last_top));
    let above = object.top - plate_height - margin;
    let places = [
        at(left, above),
        at(left, object.bottom + margin),
        at(object.right + margin, top),
        at(object.left - plate_width - margin, top),
        // The corners of the image, if the object fills the image.
        at(0.0, 0.0),
        at(last_left, 0.0),
        at(0.0, last_top),
        at(last_left, last_top),
    ];
    let is_within = |p: &Area| p.left >= 0.0 && p.top >= 0.0 && p.right <= width && p.bottom <= height;
    let is_free = |p: &&Area| is_within(p) && !plates.iter().chain(clicks).any(|other| other.meets(**p));
    places.iter().find(is_free).copied().unwrap_or_else(|| {
        // No place is free: move below the plates that are in the way. Each move passes one plate.
        let mut plate = at(left, above.clamp(0.0, last_top));
        for _ in 0..plates.len() {
            let Some(other) = plates.iter().find(|p| p.meets(plate)) else { break };
            plate = plate.moved(0.0, other.bottom + 1.0 - plate.top);
        }
        if plate.bottom > height { plate.moved(0.0, height - plate.bottom) } else { plate }
    })
}

/// Returns the text of a label: id, class and predicted IoU, as far as they are known.
fn label_text(object: &OverlayObject) -> String {
    let mut words = format!("#{}", object.id);
    if !object.class_id.is_empty() {
        words.push(' ');
        words.extend(object.class_id.chars().take(LONGEST_NAME).map(|c| if c.is_control() { ' ' } else { c }));
    }
    if object.iou.is_finite() {
        words.push_str(&format!(" {:.2}", object.iou));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::tint::FILL;

    fn square(width: u32, height: u32, x: u32, y: u32, side: u32) -> Mask {
        let inside = |px: u32, py: u32| (x..x + side).contains(&px) && (y..y + side).contains(&py);
        let data: Vec<u8> = (0..width * height).map(|i| u8::from(inside(i % width, i / width))).collect();
        Mask::from_data(width, height, &data).unwrap()
    }

    fn object(mask: &Mask) -> OverlayObject<'_> {
        OverlayObject { mask, id: 1, iou: 0.934, class_id: "cup", points: &[], bbox: None }
    }

    #[test]
    fn a_mask_is_tinted_its_contour_has_the_colour_and_other_pixels_stay() {
        let image = RgbImage::from_pixel(640, 480, image::Rgb([100; 3]));
        let mask = square(640, 480, 200, 200, 100);
        let out = draw_overlay(&image, &[object(&mask)]);
        let colour = object_colour(1);
        assert_eq!(out.get_pixel(200, 250).0, colour);
        let tinted = std::array::from_fn(|c| (100.0 + (f32::from(colour[c]) - 100.0) * FILL + 0.5) as u8);
        assert_eq!(out.get_pixel(250, 250).0, tinted);
        assert_eq!(out.get_pixel(400, 400).0, [100; 3]);
        assert_eq!(image.get_pixel(250, 250).0, [100; 3]);
    }

    #[test]
    fn a_corner_is_drawn_around_its_pixel() {
        let mut image = RgbImage::from_pixel(640, 480, image::Rgb([100; 3]));
        draw_corner(&mut image, &Point::foreground(320.0, 240.0));
        assert_eq!(image.get_pixel(320, 240).0, [100; 3]);
        assert_eq!(image.get_pixel(330, 240).0, WHITE);
        assert_eq!(image.get_pixel(350, 240).0, [100; 3]);
    }

    #[test]
    fn colours_are_stable_and_distinct() {
        assert_eq!(object_colour(7), object_colour(7));
        for a in 0..12u32 {
            for b in 0..a {
                let difference: u32 =
                    object_colour(a).iter().zip(object_colour(b)).map(|(p, q)| u32::from(p.abs_diff(q))).sum();
                assert!(difference > 40, "{a} {:?} and {b} {:?}", object_colour(a), object_colour(b));
            }
        }
    }

    #[test]
    fn a_label_hides_neither_the_object_nor_its_click() {
        let image = RgbImage::from_pixel(640, 480, image::Rgb([100; 3]));
        // Objects in each corner and at each border.
        for (x, y) in [(0, 0), (600, 0), (0, 440), (600, 440), (300, 0), (300, 440), (0, 200), (600, 200)] {
            let mask = square(640, 480, x, y, 40);
            let points = [Point::foreground(x as f32 + 20.0, y as f32 + 20.0)];
            let labelled = draw_overlay(&image, &[OverlayObject { points: &points, ..object(&mask) }]);
            let mut plain = image.clone();
            tint::mask(&mut plain, &mask, object_colour(1), 2, |_| true);
            click(&mut plain, &points[0], CLICK);
            let covered = (x..x + 40).flat_map(|x| (y..y + 40).map(move |y| (x, y)));
            let hidden = covered.filter(|(x, y)| labelled.get_pixel(*x, *y) != plain.get_pixel(*x, *y)).count();
            assert_eq!(hidden, 0, "object at ({x}, {y})");
            assert_ne!(labelled, plain, "no label at ({x}, {y})");
        }
        // An object that fills the image: its click stays visible.
        let full = square(640, 480, 0, 0, 640);
        let points = [Point::foreground(5.0, 5.0)];
        let labelled = draw_overlay(&image, &[OverlayObject { points: &points, ..object(&full) }]);
        assert_eq!(labelled.get_pixel(5, 5).0, WHITE);
    }

    #[test]
    fn labels_show_id_class_and_score() {
        let mask = square(4, 4, 0, 0, 1);
        assert_eq!(label_text(&object(&mask)), "#1 cup 0.93");
        assert_eq!(label_text(&OverlayObject { class_id: "", iou: f32::NAN, ..object(&mask) }), "#1");
    }

    #[test]
    fn small_images_and_absurd_prompts_do_not_panic() {
        let points: Vec<Point> = [f32::NAN, f32::INFINITY, -1e30, 1e30, 3.0].map(|v| Point::foreground(v, v)).into();
        for (w, h) in [(1, 1), (1, 300), (300, 2), (64, 48)] {
            let image = RgbImage::new(w, h);
            let (full, empty, other) = (square(w, h, 0, 0, 400), square(w, h, 9999, 0, 1), square(3, 3, 0, 0, 9));
            for mask in [&full, &empty, &other] {
                for bbox in [None, Some(BoxPrompt { x_min: f32::NAN, y_min: -5.0, x_max: 1e20, y_max: 2.0 })] {
                    let class_id = "a very long name that fits nowhere, with\nbreaks";
                    let object = OverlayObject { class_id, points: &points, bbox, ..object(mask) };
                    assert_eq!(draw_overlay(&image, &[object; 5]).dimensions(), (w, h));
                }
            }
        }
        for point in &points {
            draw_corner(&mut RgbImage::new(64, 48), point);
        }
        assert_eq!(draw_overlay(&RgbImage::new(0, 0), &[object(&square(1, 1, 0, 0, 1))]).dimensions(), (0, 0));
    }
}
