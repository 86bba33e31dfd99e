//! Mask prompts, run lengths and contours of masks.

use arbitrary::{Result, Unstructured};
use promptseg::pixels::{
    Geometry, Mask, MaskInput, RawImage, Resize, coco_counts, coco_string, contours, decode_mask, mask_from_low_res,
};

use super::{filled, number};

pub fn run(data: &[u8]) {
    let _ = check(Unstructured::new(data));
}

fn check(mut u: Unstructured) -> Result<()> {
    let (width, height): (u32, u32) = (u.int_in_range(0..=40)?, u.int_in_range(0..=40)?);
    if u.arbitrary()? { drawn(u, width, height) } else { prompt(u, width, height) }
}

/// Checks that run lengths of a mask restore its pixels, and that their text restores the run lengths.
fn drawn(u: Unstructured, width: u32, height: u32) -> Result<()> {
    let pixels = width as usize * height as usize;
    let bits = filled(u.take_rest(), pixels.div_ceil(8));
    let data: Vec<u8> = (0..pixels).map(|i| bits[i / 8] >> (i % 8) & 1).collect();
    let mask = Mask::from_data(width, height, &data).expect("one value per pixel");
    assert!(mask.full().iter().zip(&data).all(|(a, b)| (*a != 0) == (*b != 0)));
    let counts = coco_counts(&mask);
    let mut column_major = counts.iter().enumerate().flat_map(|(i, n)| std::iter::repeat_n(i % 2 == 1, *n as usize));
    for x in 0..width {
        for y in 0..height {
            assert_eq!(column_major.next(), Some(data[(y * width + x) as usize] != 0), "({x}, {y})");
        }
    }
    assert_eq!(column_major.next(), None);
    assert_eq!(from_string(&coco_string(&counts)), counts);
    for contour in contours(&mask) {
        assert!(contour.corners.iter().all(|(x, y)| *x <= width && *y <= height), "{contour:?}");
    }
    Ok(())
}

/// Decodes the text of run lengths, like `rleFrString` of cocoapi.
fn from_string(text: &str) -> Vec<u32> {
    let (mut counts, mut at) = (Vec::new(), 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let (mut x, mut k, mut more) = (0i64, 0, true);
        while more {
            let c = i64::from(bytes[at]) - 48;
            x |= (c & 0x1f) << (5 * k);
            more = c & 0x20 != 0;
            at += 1;
            k += 1;
            if !more && c & 0x10 != 0 {
                x |= -1 << (5 * k);
            }
        }
        if counts.len() > 2 {
            x += i64::from(counts[counts.len() - 2]);
        }
        counts.push(u32::try_from(x).expect("a length"));
    }
    counts
}

/// Checks that an accepted mask prompt becomes finite logits of the model's size.
fn prompt(mut u: Unstructured, width: u32, height: u32) -> Result<()> {
    let encoding = *u.choose(&["mono8", "8UC1", "32FC1", "rgb8", ""])?;
    let bytes = if encoding == "32FC1" { 4 } else { 1 };
    let step = if u.ratio(15, 16)? { width * bytes + u.int_in_range(0..=5)? } else { u.arbitrary()? };
    let big_endian = u.arbitrary()?;
    let len = (u64::from(step) * u64::from(height)).min(1 << 14) as usize;
    let data = if bytes == 4 && u.arbitrary()? {
        let values = [number(&mut u)?, number(&mut u)?, number(&mut u)?].map(|v| v as f32);
        let bytes = values.map(|v| if big_endian { v.to_be_bytes() } else { v.to_le_bytes() }).concat();
        filled(&bytes, len)
    } else {
        filled(u.take_rest(), len)
    };
    let raw = RawImage { width, height, step, encoding, big_endian, data: &data };
    let input = match decode_mask(&raw) {
        Ok(input) => input,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return Ok(());
        }
    };
    let (MaskInput::Binary { width: w, height: h, .. } | MaskInput::Logits { width: w, height: h, .. }) = &input;
    assert_eq!((*w, *h), (width, height));
    for resize in [Resize::Letterbox, Resize::Stretch] {
        let geometry = Geometry::new(width, height, 32, resize);
        let low = input.to_low_res(&geometry, 8).expect("the mask has the size of the image");
        assert!(low.len() == 64 && low.iter().all(|v| v.abs() <= 1e6), "{low:?}");
        let mask = mask_from_low_res(&low, 8, &geometry, 0.0, 1.0);
        assert_eq!((mask.width, mask.height), (width, height));
        assert!(mask.stability.is_finite());
    }
    Ok(())
}
