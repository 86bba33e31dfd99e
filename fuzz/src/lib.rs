//! The functions of the fuzz targets. Each function checks its results; a target fails by a panic.

pub mod arguments;
pub mod bag;
pub mod bundle;
pub mod camera;
pub mod compressed;
pub mod console;
pub mod detections;
pub mod image;
pub mod masks;
pub mod phrases;
pub mod prompts;
pub mod signature;
pub mod weights;

pub type Target = (&'static str, fn(&[u8]));

/// All targets, with the names of their folders in `seeds/`.
pub const TARGETS: &[Target] = &[
    ("arguments", arguments::run),
    ("bag", bag::run),
    ("bundle", bundle::run),
    ("camera", camera::run),
    ("compressed", compressed::run),
    ("console", console::run),
    ("detections", detections::run),
    ("image", image::run),
    ("masks", masks::run),
    ("phrases", phrases::run),
    ("prompts", prompts::run),
    ("signature", signature::run),
    ("weights", weights::run),
];

/// Returns a number: often a special value or a small coordinate, sometimes any number.
pub fn number(u: &mut arbitrary::Unstructured) -> arbitrary::Result<f64> {
    const ODD: [f64; 12] =
        [0.0, -0.0, 1.0, -1.0, 0.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 1e9, 1e38];
    Ok(match u.int_in_range(0..=3)? {
        0 => *u.choose(&ODD)?,
        1 => u.arbitrary()?,
        // Within a small image or close to it.
        _ => f64::from(u.int_in_range(-16..=400)?) / 8.0,
    })
}

/// Repeats the remaining bytes to `len` bytes.
pub fn filled(rest: &[u8], len: usize) -> Vec<u8> {
    if rest.is_empty() { vec![0x5a; len] } else { rest.iter().copied().cycle().take(len).collect() }
}
