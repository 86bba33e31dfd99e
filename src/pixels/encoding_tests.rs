//! Every encoding with and without padding, and every inconsistent image.

use super::*;

/// Returns `rows` rows of `row`, each followed by `padding` bytes that would change the result, and the step.
fn padded(row: &[u8], rows: usize, padding: usize) -> (Vec<u8>, u32) {
    let mut data = Vec::new();
    for _ in 0..rows {
        data.extend_from_slice(row);
        data.extend(std::iter::repeat_n(0xa5, padding));
    }
    (data, (row.len() + padding) as u32)
}

/// Decodes two equal rows with 0 and 5 bytes of padding. Returns the first row.
fn decode(encoding: &str, width: u32, big_endian: bool, row: &[u8]) -> Vec<u8> {
    let mut results = Vec::new();
    for padding in [0, 5] {
        let (data, step) = padded(row, 2, padding);
        let raw = RawImage { width, height: 2, step, encoding, big_endian, data: &data };
        let image = decode_raw(&raw).unwrap();
        let (first, second) = image.as_raw().split_at(width as usize * 3);
        assert_eq!(first, second, "{encoding}");
        results.push(first.to_vec());
    }
    assert_eq!(results[0], results[1], "{encoding}: padding must not be seen");
    results.swap_remove(0)
}

#[test]
fn eight_bits_interleaved() {
    for (encoding, row) in [
        ("rgb8", &[1, 2, 3, 4, 5, 6][..]),
        ("bgr8", &[3, 2, 1, 6, 5, 4]),
        ("8UC3", &[3, 2, 1, 6, 5, 4]),
        ("rgba8", &[1, 2, 3, 99, 4, 5, 6, 99]),
        ("bgra8", &[3, 2, 1, 99, 6, 5, 4, 99]),
        ("8UC4", &[3, 2, 1, 99, 6, 5, 4, 99]),
    ] {
        assert_eq!(decode(encoding, 2, false, row), [1, 2, 3, 4, 5, 6], "{encoding}");
    }
    for encoding in ["mono8", "8UC1"] {
        assert_eq!(decode(encoding, 2, false, &[7, 8]), [7, 7, 7, 8, 8, 8]);
    }
}

#[test]
fn sixteen_bits_of_either_byte_order() {
    for big_endian in [false, true] {
        let bytes = |values: &[u16]| -> Vec<u8> {
            values.iter().flat_map(|v| if big_endian { v.to_be_bytes() } else { v.to_le_bytes() }).collect()
        };
        for encoding in ["mono16", "16UC1"] {
            let row = bytes(&[0, 65535, 257 * 100, 257 * 100 + 128, 257 * 100 + 129]);
            let grey = [0, 255, 100, 100, 101].map(|v| [v; 3]).concat();
            assert_eq!(decode(encoding, 5, big_endian, &row), grey, "{encoding}");
        }
        assert_eq!(decode("rgb16", 1, big_endian, &bytes(&[257, 514, 771])), [1, 2, 3]);
        assert_eq!(decode("bgr16", 1, big_endian, &bytes(&[257, 514, 771])), [3, 2, 1]);
        assert_eq!(decode("rgba16", 1, big_endian, &bytes(&[257, 514, 771, 9])), [1, 2, 3]);
        assert_eq!(decode("bgra16", 1, big_endian, &bytes(&[257, 514, 771, 9])), [3, 2, 1]);
    }
}

#[test]
fn packed_yuv_has_one_chroma_sample_for_two_pixels() {
    // BT.601 limited range: white, black, and pure red (Y 81, U 90, V 240).
    for encoding in ["yuv422", "uyvy"] {
        assert_eq!(decode(encoding, 2, false, &[128, 235, 128, 16]), [255, 255, 255, 0, 0, 0]);
        assert_eq!(decode(encoding, 2, false, &[90, 81, 240, 81]), [254, 0, 0, 254, 0, 0]);
    }
    for encoding in ["yuv422_yuy2", "yuyv"] {
        assert_eq!(decode(encoding, 2, false, &[235, 128, 16, 128]), [255, 255, 255, 0, 0, 0]);
        assert_eq!(decode(encoding, 2, false, &[81, 90, 81, 240]), [254, 0, 0, 254, 0, 0]);
    }
}

#[test]
fn two_planes_of_yuv() {
    let red = [254, 0, 0];
    for padding in [0usize, 3] {
        let step = 4 + padding;
        let luma = padded(&[81; 4], 2, padding).0;
        for (encoding, chroma) in [("nv12", [90, 240, 90, 240]), ("nv21", [240, 90, 240, 90])] {
            let data = [luma.clone(), padded(&chroma, 1, padding).0].concat();
            let raw = RawImage { width: 4, height: 2, step: step as u32, encoding, big_endian: false, data: &data };
            assert!(decode_raw(&raw).unwrap().pixels().all(|p| p.0 == red), "{encoding} {padding}");
        }
        let chroma = padded(&[90, 240, 90, 240, 90, 240, 90, 240], 2, 2 * padding).0;
        let data = [luma.clone(), chroma].concat();
        let raw = RawImage { width: 4, height: 2, step: step as u32, encoding: "nv24", big_endian: false, data: &data };
        assert!(decode_raw(&raw).unwrap().pixels().all(|p| p.0 == red), "nv24 {padding}");
    }
}

#[test]
fn a_mosaic_of_a_flat_colour_gives_that_colour_everywhere() {
    let colour = [200u8, 90, 30];
    for (name, cells) in
        [("rggb", [0, 1, 1, 2]), ("bggr", [2, 1, 1, 0]), ("gbrg", [1, 2, 0, 1]), ("grbg", [1, 0, 2, 1])]
    {
        for (w, h) in [(2, 2), (5, 4), (8, 3)] {
            let level = |x: usize, y: usize| colour[cells[y % 2 * 2 + x % 2]];
            let mosaic: Vec<Vec<u8>> = (0..h).map(|y| (0..w).map(|x| level(x, y)).collect()).collect();
            let (narrow, wide) = (format!("bayer_{name}8"), format!("bayer_{name}16"));
            for (encoding, bytes) in [(&narrow, 1), (&wide, 2)] {
                let mut data: Vec<u8> = Vec::new();
                for row in &mosaic {
                    data.extend(row.iter().flat_map(|v| std::iter::repeat_n(*v, bytes)));
                    data.extend([0xa5; 3]);
                }
                let step = (w * bytes + 3) as u32;
                let raw =
                    RawImage { width: w as u32, height: h as u32, step, encoding, big_endian: false, data: &data };
                assert!(decode_raw(&raw).unwrap().pixels().all(|p| p.0 == colour), "{encoding} {w}x{h}");
            }
        }
    }
}

fn error(width: u32, height: u32, step: u32, encoding: &str, data: &[u8]) -> PixelError {
    decode_raw(&RawImage { width, height, step, encoding, big_endian: false, data }).unwrap_err()
}

#[test]
fn an_inconsistent_image_is_refused_with_the_sizes_found_and_expected() {
    let e = error(2, 2, 6, "rgb8", &[0; 11]);
    assert!(matches!(e, PixelError::SizeMismatch { found: 11, expected: 12, rows: 2, step: 6, .. }), "{e}");
    assert!(matches!(error(2, 2, 6, "rgb8", &[0; 13]), PixelError::SizeMismatch { found: 13, .. }));
    assert!(matches!(error(2, 2, 2, "nv12", &[0; 4]), PixelError::SizeMismatch { expected: 6, .. }));
    assert!(matches!(error(2, 2, 2, "nv24", &[0; 6]), PixelError::SizeMismatch { expected: 12, .. }));
    assert!(matches!(error(2, 2, 5, "rgb8", &[0; 10]), PixelError::StepTooSmall { step: 5, needed: 6, .. }));
    assert!(matches!(error(2, 2, 0, "mono16", &[]), PixelError::StepTooSmall { step: 0, needed: 4, .. }));
    assert!(matches!(error(0, 2, 0, "rgb8", &[]), PixelError::Empty { .. }));
    assert!(matches!(error(2, 0, 6, "rgb8", &[]), PixelError::Empty { .. }));
    assert!(matches!(error(3, 2, 6, "yuv422", &[0; 12]), PixelError::OddSize { dimension: "width", .. }));
    assert!(matches!(error(3, 2, 3, "nv21", &[0; 9]), PixelError::OddSize { dimension: "width", .. }));
    assert!(matches!(error(2, 3, 2, "nv12", &[0; 9]), PixelError::OddSize { dimension: "height", .. }));
    assert!(matches!(error(1, 5, 1, "bayer_rggb8", &[0; 5]), PixelError::MosaicTooSmall { .. }));
}

#[test]
fn an_unknown_encoding_is_refused_with_the_supported_encodings() {
    for encoding in ["", "32FC1", "RGB8", "bayer_rggb12", "bayer_8", "bayer_é8"] {
        let e = error(1, 1, 4, encoding, &[0; 4]);
        assert!(e.to_string().contains("nv12") && e.to_string().contains("bayer_grbg8"), "{e}");
    }
}

#[test]
fn every_supported_encoding_has_a_layout() {
    for encoding in SUPPORTED_ENCODINGS {
        assert!(layout_of(encoding).is_some(), "{encoding}");
    }
}

#[test]
fn absurd_sizes_are_refused_without_overflow() {
    for encoding in SUPPORTED_ENCODINGS {
        for (w, h, step) in [
            (u32::MAX, u32::MAX, u32::MAX),
            (u32::MAX, 1, u32::MAX),
            (1, u32::MAX, 1),
            (16_384, 16_384, 65_536),
            (2, 2, u32::MAX),
        ] {
            let e = error(w, h, step, encoding, &[0; 64]);
            let expected = matches!(
                e,
                PixelError::TooLarge { .. } | PixelError::SizeMismatch { .. } | PixelError::StepTooSmall { .. }
            );
            assert!(expected, "{encoding}: {e}");
        }
    }
}
