//! Indexed PNG files, as DAVIS and VOC have them: the number of the object on each pixel, with the colours of VOC's palette.

use std::collections::HashMap;

use image::DynamicImage;

use crate::pixels::{Mask, label_image};

/// Largest number of an object in a file: a pixel has 8 bits.
pub const MAX_OBJECT: u32 = 255;

/// Returns the palette of VOC and DAVIS: the bits of the number, spread over the high bits of red, green and blue.
fn palette() -> Vec<u8> {
    let mut colours = Vec::with_capacity(256 * 3);
    for number in 0..256u32 {
        let mut rgb = [0u8; 3];
        for bit in 0..8 {
            for (channel, level) in rgb.iter_mut().enumerate() {
                // Each group of three bits sets one bit of each channel, the highest first.
                let position = bit * 3 + channel as u32;
                if position < 8 && number >> position & 1 == 1 {
                    *level |= 0x80 >> bit;
                }
            }
        }
        colours.extend(rgb);
    }
    colours
}

/// Encodes the objects on a frame; 0 is background. Where masks overlap, the smaller mask lies on top. Objects with numbers
/// above [`MAX_OBJECT`] are left out.
///
/// # Errors
/// The size is 0, in words.
pub fn indexed_png(objects: &[(u32, &Mask)], (width, height): (u32, u32)) -> Result<Vec<u8>, String> {
    let numbered: Vec<(u32, &Mask)> = objects.iter().filter(|(id, _)| *id <= MAX_OBJECT).copied().collect();
    let pixels: Vec<u8> = match numbered.as_slice() {
        [] => vec![0; width as usize * height as usize],
        // Numbers up to 255 fit.
        numbered => label_image(numbered).iter().map(|label| *label as u8).collect(),
    };
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette());
    let mut writer = encoder.write_header().map_err(|e| e.to_string())?;
    writer.write_image_data(&pixels).map_err(|e| e.to_string())?;
    writer.finish().map_err(|e| e.to_string())?;
    Ok(file)
}

/// Numbers of the objects on the pixels of a picture, row by row; 0 is background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedPixels {
    pub width: u32,
    pub height: u32,
    pub numbers: Vec<u16>,
    /// Largest number that the picture can have.
    pub largest: u32,
}

/// Reads a PNG file with the number of the object on each pixel: colours of the palette, in any form in which an editor saves
/// them, or grey levels of 8 or 16 bits.
///
/// # Errors
/// The file is no PNG, or has other colours, in words.
pub fn read_numbers(file: &[u8]) -> Result<NumberedPixels, String> {
    let picture = image::load_from_memory_with_format(file, image::ImageFormat::Png).map_err(|e| e.to_string())?;
    let (width, height) = (picture.width(), picture.height());
    let largest = if picture.color() == image::ColorType::L16 { u32::from(u16::MAX) } else { MAX_OBJECT };
    let numbers = match picture {
        DynamicImage::ImageLuma8(grey) => grey.into_raw().into_iter().map(u16::from).collect(),
        DynamicImage::ImageLuma16(grey) => grey.into_raw(),
        other => {
            let palette = palette();
            let number_of: HashMap<[u8; 3], u16> =
                (0..).zip(palette.chunks_exact(3)).map(|(number, c)| ([c[0], c[1], c[2]], number)).collect();
            let coloured = other.into_rgb8();
            let number = |(x, y, pixel): (u32, u32, &image::Rgb<u8>)| {
                let [r, g, b] = pixel.0;
                number_of.get(&pixel.0).copied().ok_or_else(|| {
                    format!(
                        "the colour ({r}, {g}, {b}) at ({x}, {y}), expected colours of the palette without smooth edges"
                    )
                })
            };
            coloured.enumerate_pixels().map(number).collect::<Result<_, _>>()?
        }
    };
    Ok(NumberedPixels { width, height, numbers, largest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_palettes_colours_and_grey_levels() {
        let columns = |end: u32| Mask::from_data(4, 1, &[0, 1, 2, 3].map(|x| u8::from(x < end))).unwrap();
        let file = indexed_png(&[(200, &columns(3)), (9, &columns(1))], (4, 1)).unwrap();
        let read = read_numbers(&file).unwrap();
        assert_eq!((read.width, read.height, read.numbers.as_slice()), (4, 1, &[9, 200, 200, 0][..]));
        let png = |image: DynamicImage| {
            let mut file = std::io::Cursor::new(Vec::new());
            image.write_to(&mut file, image::ImageFormat::Png).unwrap();
            file.into_inner()
        };
        // An editor saved the palette as colours.
        let coloured = image::load_from_memory(&file).unwrap();
        assert_eq!(read_numbers(&png(coloured.to_rgba8().into())).unwrap(), read);
        let grey = image::ImageBuffer::from_raw(2, 1, vec![0u16, 300]).unwrap();
        let read = read_numbers(&png(DynamicImage::ImageLuma16(grey))).unwrap();
        assert_eq!((read.numbers, read.largest), (vec![0, 300], 65535));
        let smooth = image::RgbImage::from_pixel(1, 1, image::Rgb([3, 4, 5]));
        assert!(read_numbers(&png(smooth.into())).unwrap_err().contains("(3, 4, 5) at (0, 0)"));
        assert!(read_numbers(b"hello").is_err());
    }

    #[test]
    fn the_palette_is_that_of_voc() {
        let palette = palette();
        let colour = |number: usize| &palette[number * 3..number * 3 + 3];
        for (number, expected) in [
            (0, [0, 0, 0]),
            (1, [128, 0, 0]),
            (2, [0, 128, 0]),
            (3, [128, 128, 0]),
            (8, [64, 0, 0]),
            (255, [224, 224, 192]),
        ] {
            assert_eq!(colour(number), expected, "{number}");
        }
    }

    #[test]
    fn pixels_have_the_number_of_the_smaller_object_and_large_numbers_are_left_out() {
        let columns = |end: u32| {
            let data: Vec<u8> = (0..8).map(|i| u8::from(i % 4 < end)).collect();
            Mask::from_data(4, 2, &data).unwrap()
        };
        let (large, small) = (columns(3), columns(1));
        let file = indexed_png(&[(9, &small), (200, &large), (256, &small)], (4, 2)).unwrap();
        let mut decoder = png::Decoder::new(std::io::Cursor::new(&file));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, [9, 200, 200, 0, 9, 200, 200, 0]);
        assert_eq!(reader.info().palette.as_ref().unwrap().len(), 768);
        assert!(indexed_png(&[], (0, 0)).is_err());
    }
}
