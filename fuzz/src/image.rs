//! `sensor_msgs/Image`: every encoding, size, step and byte order.

use arbitrary::{Result, Unstructured};
use promptseg::pixels::{InputSpec, Preprocessor, RawImage, Resize, SUPPORTED_ENCODINGS, decode_raw};

use super::filled;

pub fn run(data: &[u8]) {
    let _ = check(Unstructured::new(data));
}

fn check(mut u: Unstructured) -> Result<()> {
    let any: String;
    let encoding = if u.ratio(15, 16)? {
        *u.choose(SUPPORTED_ENCODINGS)?
    } else {
        any = u.arbitrary()?;
        any.as_str()
    };
    let side = |u: &mut Unstructured| if u.ratio(15, 16)? { u.int_in_range(0..=40) } else { u.arbitrary() };
    let (width, height): (u32, u32) = (side(&mut u)?, side(&mut u)?);
    // Bytes of a row in the encoding; the step below adds padding or is wrong.
    let row = match encoding {
        "mono8" | "8UC1" | "nv12" | "nv21" | "nv24" => width,
        _ if encoding.starts_with("bayer") && encoding.ends_with('8') => width,
        "rgb8" | "bgr8" | "8UC3" => width.saturating_mul(3),
        "rgba8" | "bgra8" | "8UC4" => width.saturating_mul(4),
        "rgb16" | "bgr16" => width.saturating_mul(6),
        "rgba16" | "bgra16" => width.saturating_mul(8),
        _ => width.saturating_mul(2),
    };
    let step = if u.ratio(15, 16)? { row.saturating_add(u.int_in_range(0..=5)?) } else { u.arbitrary()? };
    let rows = match encoding {
        "nv12" | "nv21" => u64::from(height) * 3 / 2,
        "nv24" => u64::from(height) * 3,
        _ => u64::from(height),
    };
    let big_endian = u.arbitrary()?;
    let short: i8 = if u.ratio(15, 16)? { 0 } else { u.arbitrary()? };
    let len = u64::from(step).saturating_mul(rows).min(1 << 16).saturating_add_signed(short.into()) as usize;
    let data = filled(u.take_rest(), len);
    let raw = RawImage { width, height, step, encoding, big_endian, data: &data };
    let image = match decode_raw(&raw) {
        Ok(image) => image,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return Ok(());
        }
    };
    assert_eq!(image.dimensions(), (width, height));
    // Padding after the rows does not change the pixels. nv24 is excluded: a row of its chroma takes two steps.
    let stride = if encoding == "nv24" { 1 } else { step as usize };
    let padding = if encoding == "nv24" { 0 } else { 3 };
    let padded: Vec<u8> = data.chunks(stride).flat_map(|row| [row, &[0xee; 3][..padding]].concat()).collect();
    let same =
        decode_raw(&RawImage { step: step + padding as u32, data: &padded, ..raw }).expect("only the step differs");
    assert!(image == same, "{encoding} {width}x{height}, step {step}");
    let spec = InputSpec {
        side: 16,
        resize: if big_endian { Resize::Stretch } else { Resize::Letterbox },
        mean: [123.0, 116.0, 103.0],
        std: [58.0, 57.0, 57.0],
    };
    let mut out = vec![0.0; 3 * 16 * 16];
    Preprocessor::new(spec).run(&image, &mut out).expect("an image with pixels");
    assert!(out.iter().all(|v| v.is_finite()));
    Ok(())
}
