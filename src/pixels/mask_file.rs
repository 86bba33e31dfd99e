//! Mask files: pictures whose pixels show the inside of one object.

use std::collections::BTreeSet;

use super::compressed::{Picture, decode_picture};
use super::error::PixelError;
use super::prompt_mask::MaskInput;

/// Largest level of a channel of 16 bits outside the object: 127 of 255.
const HALF: u16 = 127 * 257;
/// Most colours of a picture of labels. A soft mask has more.
const MAX_LABELS: usize = 64;

/// Decodes a JPEG or PNG file to the mask of one object.
///
/// * Two colours, one of them black: pixels of the other colour are inside (0 and 1, 0 and 255, a class number, a
///   colour of a palette, 8 or 16 bits).
/// * Grey levels: pixels above 127 of 255 are inside.
/// * A single colour that is transparent in part: opaque pixels are inside. In other files transparent pixels are
///   black.
///
/// # Errors
/// * The errors of [`super::decode_compressed`], [`PixelError::EmptyMask`].
/// * [`PixelError::LabelPicture`] for a PNG with several labels: several colours, or at most 64 levels of grey and more
///   pixels from 1 to 127 than above.
pub fn decode_mask_file(file: &[u8]) -> Result<MaskInput, PixelError> {
    let Picture { image, lossy } = decode_picture(file, "mask")?;
    let image = image.into_rgba16();
    let (width, height) = image.dimensions();
    let pixels = image.as_raw().as_chunks::<4>().0;
    let first = pixels.first().map_or([0; 3], |[r, g, b, _]| [*r, *g, *b]);
    let one_colour = pixels.iter().all(|[r, g, b, _]| [*r, *g, *b] == first);
    let transparent = pixels.iter().any(|[.., alpha]| *alpha <= HALF);
    let colour = |&[r, g, b, alpha]: &[u16; 4]| match alpha > HALF {
        _ if one_colour && transparent => [alpha; 3],
        true => [r, g, b],
        false => [0; 3],
    };
    let mut colours = BTreeSet::new();
    for pixel in pixels {
        colours.insert(colour(pixel));
        if colours.len() > MAX_LABELS {
            break;
        }
    }
    let two = colours.len() == 2 && colours.contains(&[0; 3]);
    let grey = || pixels.iter().map(colour).all(|[r, g, b]| r == g && g == b);
    let inside = |pixel: &[u16; 4]| match colour(pixel) {
        colour if two => colour != [0; 3],
        colour => colour.iter().any(|level| *level > HALF),
    };
    let data: Vec<u8> = pixels.iter().map(|pixel| if inside(pixel) { 255 } else { 0 }).collect();
    if !two && !lossy {
        let bright = data.iter().filter(|v| **v != 0).count();
        let dark = pixels.iter().map(colour).filter(|c| c != &[0; 3]).count() - bright;
        if !grey() || (colours.len() <= MAX_LABELS && dark > bright) {
            return Err(PixelError::LabelPicture { colours: colours.len().min(MAX_LABELS) });
        }
    }
    let mask = MaskInput::Binary { width, height, data };
    if mask.is_empty() {
        let largest = pixels.iter().flat_map(colour).max().unwrap_or(0);
        return Err(PixelError::EmptyMask { largest: largest.div_ceil(257) });
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    const SIZE: (u32, u32) = (20, 10);

    /// Returns whether a pixel is inside the object of the tests.
    fn drawn(x: u32, y: u32) -> bool {
        (4..12).contains(&x) && (2..7).contains(&y)
    }

    fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
        let mut file = Vec::new();
        image.into().write_to(&mut Cursor::new(&mut file), ImageFormat::Png).unwrap();
        file
    }

    fn grey(level: impl Fn(u32, u32) -> u8) -> Vec<u8> {
        png(image::GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| Luma([level(x, y)])))
    }

    fn assert_is_the_object(file: &[u8], name: &str) {
        let MaskInput::Binary { width, height, data } =
            decode_mask_file(file).unwrap_or_else(|e| panic!("{name}: {e}"))
        else {
            panic!("{name}: logits")
        };
        assert_eq!((width, height), SIZE);
        let wrong = (0..width * height).filter(|i| (data[*i as usize] == 255) != drawn(i % width, i / width)).count();
        assert_eq!(wrong, 0, "{name}");
    }

    #[test]
    fn any_single_colour_on_black_is_inside() {
        for level in [1, 3, 127, 128, 255] {
            assert_is_the_object(&grey(|x, y| if drawn(x, y) { level } else { 0 }), &format!("level {level}"));
        }
        for label in [1u16, 7, 300, u16::MAX] {
            let image = ImageBuffer::from_fn(SIZE.0, SIZE.1, |x, y| Luma([if drawn(x, y) { label } else { 0 }]));
            assert_is_the_object(&png(DynamicImage::ImageLuma16(image)), &format!("16 bits, {label}"));
        }
        for colour in [[64, 0, 0], [0, 0, 128], [128, 128, 0]] {
            let image = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb(if drawn(x, y) { colour } else { [0; 3] }));
            assert_is_the_object(&png(image), &format!("{colour:?}"));
        }
    }

    #[test]
    fn grey_levels_are_inside_above_their_middle() {
        // A soft border, and a background that is not quite black.
        assert_is_the_object(
            &grey(|x, y| match (drawn(x, y), drawn(x + 1, y)) {
                (true, _) => 255 - x as u8,
                (_, true) => 90,
                _ => 0,
            }),
            "soft",
        );
        // More levels than a label picture has, and most of them dark: a map of likelihood.
        let likelihood = |x: u32, y: u32| if drawn(x, y) { 255 - x as u8 } else { (x * 6 + y) as u8 % 127 };
        assert_is_the_object(&grey(likelihood), "likelihood");
        let image = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb(if drawn(x, y) { [255; 3] } else { [0; 3] }));
        let jpeg = super::super::encode_jpeg(&image, 60).unwrap();
        assert_is_the_object(&jpeg, "JPEG");
    }

    #[test]
    fn the_opaque_part_of_a_single_colour_is_inside() {
        for colour in [0, 255] {
            let alpha = |x, y| if drawn(x, y) { 255 } else { 0 };
            let image = RgbaImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgba([colour, colour, colour, alpha(x, y)]));
            assert_is_the_object(&png(image), &format!("{colour}"));
        }
    }

    #[test]
    fn empty_masks_and_several_labels_are_refused() {
        let e = decode_mask_file(&grey(|_, _| 0)).unwrap_err();
        assert_eq!(e, PixelError::EmptyMask { largest: 0 });
        let classes = grey(|x, y| if drawn(x, y) { 1 + (x % 3) as u8 } else { 0 });
        assert_eq!(decode_mask_file(&classes), Err(PixelError::LabelPicture { colours: 4 }));
        // VOC: class 8, with a border of 255 that belongs to no class.
        let voc = grey(|x, y| match (drawn(x, y), drawn(x + 1, y)) {
            (true, _) => 8,
            (_, true) => 255,
            _ => 0,
        });
        assert_eq!(decode_mask_file(&voc), Err(PixelError::LabelPicture { colours: 3 }));
        let palette = [[128, 0, 0], [0, 128, 0]];
        let image =
            RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb(if drawn(x, y) { palette[x as usize % 2] } else { [0; 3] }));
        assert_eq!(decode_mask_file(&png(image)), Err(PixelError::LabelPicture { colours: 3 }));
        let dark = super::super::encode_jpeg(&RgbImage::from_pixel(16, 16, Rgb([3; 3])), 90).unwrap();
        assert!(matches!(decode_mask_file(&dark), Err(PixelError::EmptyMask { largest: 1..=5 })));
    }
}
