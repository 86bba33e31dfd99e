//! Indexed PNG files, as DAVIS and VOC have them: the number of the object on each pixel, with the colours of VOC's palette.

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

#[cfg(test)]
mod tests {
    use super::*;

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
