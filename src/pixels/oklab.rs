//! The colour space OKLab (Ottosson 2020, <https://bottosson.github.io/posts/oklab/>), in which distances are differences
//! that people see.

use super::draw::Rgb;

/// Lightness from 0 to 1, then the green-red and blue-yellow axes.
pub(super) type Oklab = [f32; 3];

/// Converts a colour of sRGB.
pub(super) fn from_rgb(colour: Rgb) -> Oklab {
    let linear = colour.map(|level| {
        let level = f32::from(level) / 255.0;
        if level <= 0.040_45 { level / 12.92 } else { ((level + 0.055) / 1.055).powf(2.4) }
    });
    let [l, m, s] = apply(&LMS_FROM_RGB, linear).map(f32::cbrt);
    apply(&LAB_FROM_LMS, [l, m, s])
}

/// Converts to sRGB; none if sRGB does not have the colour.
pub(super) fn to_rgb(colour: Oklab) -> Option<Rgb> {
    let linear = apply(&RGB_FROM_LMS, apply(&LMS_FROM_LAB, colour).map(|v| v * v * v));
    if linear.iter().any(|level| !(-1e-4..=1.0 + 1e-4).contains(level)) {
        return None;
    }
    Some(linear.map(|level| {
        let level = level.clamp(0.0, 1.0);
        let level = if level <= 0.003_130_8 { level * 12.92 } else { 1.055 * level.powf(1.0 / 2.4) - 0.055 };
        (level * 255.0).round() as u8
    }))
}

/// Returns how different two colours look: 0 for the same colour, 1 for black and white.
pub(super) fn distance(a: Oklab, b: Oklab) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
}

type Matrix = [[f32; 3]; 3];

const LMS_FROM_RGB: Matrix = [
    [0.412_221_47, 0.536_332_54, 0.051_445_995],
    [0.211_903_5, 0.680_699_5, 0.107_396_96],
    [0.088_302_46, 0.281_718_84, 0.629_978_7],
];
const LAB_FROM_LMS: Matrix = [
    [0.210_454_26, 0.793_617_8, -0.004_072_047],
    [1.977_998_5, -2.428_592_2, 0.450_593_7],
    [0.025_904_037, 0.782_771_77, -0.808_675_77],
];
const LMS_FROM_LAB: Matrix =
    [[1.0, 0.396_337_78, 0.215_803_76], [1.0, -0.105_561_346, -0.063_854_17], [1.0, -0.089_484_18, -1.291_485_5]];
const RGB_FROM_LMS: Matrix = [
    [4.076_741_7, -3.307_711_6, 0.230_969_94],
    [-1.268_438, 2.609_757_4, -0.341_319_38],
    [-0.004_196_086_3, -0.703_418_6, 1.707_614_7],
];

fn apply(matrix: &Matrix, v: [f32; 3]) -> [f32; 3] {
    matrix.map(|row| row.iter().zip(v).map(|(m, v)| m * v).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(a: Oklab, b: Oklab) {
        assert!(distance(a, b) < 2e-3, "{a:?}, expected {b:?}");
    }

    /// Values of the CSS Color Module Level 4.
    #[test]
    fn colours_have_the_published_values() {
        assert_close(from_rgb([255; 3]), [1.0, 0.0, 0.0]);
        assert_close(from_rgb([0; 3]), [0.0; 3]);
        assert_close(from_rgb([255, 0, 0]), [0.627_96, 0.224_86, 0.125_85]);
        assert_close(from_rgb([0, 128, 0]), [0.519_75, -0.140_3, 0.107_68]);
        assert_close(from_rgb([0, 0, 255]), [0.452_01, -0.032_46, -0.311_53]);
    }

    #[test]
    fn colours_return_to_srgb_and_colours_beyond_it_do_not() {
        for colour in [[0, 0, 0], [255, 255, 255], [13, 200, 77], [255, 0, 255], [1, 2, 3]] {
            assert_eq!(to_rgb(from_rgb(colour)), Some(colour));
        }
        assert_eq!(to_rgb([0.9, 0.3, 0.0]), None);
    }
}
