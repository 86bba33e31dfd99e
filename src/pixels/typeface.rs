//! Text on an RGB image, anti-aliased, in Roboto Medium.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, GlyphId, PxScale, ScaleFont, point};
use image::RgbImage;

use super::draw::{Rgb, blend};

/// The font, embedded in the binary. `font/README.md` names its source and licence.
static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("font/Roboto-Medium.ttf")).expect("the embedded font is a TrueType font")
});

/// Character in place of a character without a glyph.
const REPLACEMENT: char = '?';

/// The typeface at one size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Typeface {
    /// Height of a line, from the ascent to the descent of the font, in pixels.
    size: f32,
}

impl Typeface {
    /// Makes a typeface of `size` pixels from the ascent to the descent of a line.
    pub fn new(size: f32) -> Self {
        Typeface { size }
    }

    /// Returns the height of a line in pixels.
    pub fn line_height(self) -> f32 {
        self.size
    }

    /// Returns the width of a text in pixels.
    pub fn width(self, text: &str) -> f32 {
        text.chars().map(|character| self.advance(character)).sum()
    }

    /// Returns the longest beginning of a text that is at most `width` pixels wide.
    pub fn fit(self, text: &str, width: f32) -> &str {
        let mut end = 0.0;
        let exceeds = |(_, character): &(usize, char)| {
            end += self.advance(*character);
            end > width
        };
        text.char_indices().find(exceeds).map_or(text, |(at, _)| &text[..at])
    }

    /// Draws a text whose line has its top-left corner at `(x, y)`, clipped to the image.
    pub fn draw(self, image: &mut RgbImage, (x, y): (f32, f32), text: &str, colour: Rgb) {
        let (width, height) = (image.width() as i32, image.height() as i32);
        let inside = |from: f32, size: f32, limit: i32| from < limit as f32 && from + size > 0.0;
        let baseline = y + FONT.as_scaled(self.scale()).ascent();
        let mut left = x;
        for character in text.chars() {
            let glyph = Glyph { id: glyph_of(character), scale: self.scale(), position: point(left, baseline) };
            let advance = self.advance(character);
            // Letters reach a little beyond their advance.
            let visible = inside(left - self.size, advance + 2.0 * self.size, width) && inside(y, self.size, height);
            left += advance;
            if !visible {
                continue;
            }
            let Some(outline) = FONT.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            let (glyph_x, glyph_y) = (bounds.min.x as i32, bounds.min.y as i32);
            outline.draw(|dx, dy, coverage| {
                let (x, y) = (glyph_x.saturating_add(dx as i32), glyph_y.saturating_add(dy as i32));
                if (0..width).contains(&x) && (0..height).contains(&y) {
                    blend(&mut image.get_pixel_mut(x as u32, y as u32).0, colour, coverage.clamp(0.0, 1.0));
                }
            });
        }
    }

    fn scale(self) -> PxScale {
        PxScale::from(self.size)
    }

    /// Distance from the origin of a character to the origin of the next, in pixels.
    fn advance(self, character: char) -> f32 {
        FONT.as_scaled(self.scale()).h_advance(glyph_of(character))
    }
}

fn glyph_of(character: char) -> GlyphId {
    let missing = GlyphId(0);
    Some(FONT.glyph_id(character)).filter(|id| *id != missing).unwrap_or_else(|| FONT.glyph_id(REPLACEMENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the text as white on black, and the sum of the levels of each column.
    fn columns(text: &str, width: u32) -> Vec<u32> {
        let mut image = RgbImage::new(width, 24);
        Typeface::new(20.0).draw(&mut image, (2.0, 2.0), text, [255; 3]);
        (0..width).map(|x| (0..24).map(|y| u32::from(image.get_pixel(x, y).0[0])).sum()).collect()
    }

    #[test]
    fn text_is_drawn_from_left_to_right_within_its_width() {
        let sums = columns("L", 40);
        let right = 2 + Typeface::new(20.0).width("L").ceil() as usize;
        let middle = (2 + right) / 2;
        assert!(sums[..middle].iter().sum::<u32>() > 2 * sums[middle..right].iter().sum::<u32>());
        assert_eq!(sums[..2].iter().chain(&sums[right..]).sum::<u32>(), 0);
        assert!(columns("LL", 40)[right..].iter().sum::<u32>() > 0);
    }

    #[test]
    fn the_edges_of_letters_are_smooth() {
        let mut image = RgbImage::new(40, 24);
        Typeface::new(20.0).draw(&mut image, (2.0, 2.0), "OS", [255; 3]);
        let levels: Vec<u8> = image.pixels().map(|p| p.0[0]).collect();
        assert!(levels.contains(&255) && levels.iter().filter(|v| (1..255).contains(*v)).count() > 40);
    }

    #[test]
    fn the_longest_beginning_that_fits_is_kept() {
        let typeface = Typeface::new(20.0);
        assert_eq!(typeface.fit("cup 0.93", typeface.width("cup 0.93")), "cup 0.93");
        assert_eq!(typeface.fit("cup 0.93", typeface.width("cup 0.93") - 0.5), "cup 0.9");
        assert_eq!((typeface.fit("é漢", 1.0), typeface.fit("", 0.0)), ("", ""));
    }

    #[test]
    fn characters_of_robots_labels_have_glyphs_and_others_are_question_marks() {
        for character in "#0123456789.-_ %:/()azAZäöüßéèñçøåłžőΩμЖя–“…".chars() {
            assert_ne!(glyph_of(character), GlyphId(0), "{character}");
            assert!(character == '?' || glyph_of(character) != glyph_of('?'), "{character}");
        }
        assert_eq!((glyph_of('漢'), glyph_of('\u{fffd}')), (glyph_of('?'), glyph_of('?')));
    }

    #[test]
    fn text_outside_the_image_is_clipped() {
        let mut image = RgbImage::new(5, 5);
        for position in [(-9.0, 3.0), (1e9, -1e9), (f32::NAN, 2.0), (f32::INFINITY, f32::NEG_INFINITY)] {
            Typeface::new(16.0).draw(&mut image, position, "aé漢", [1; 3]);
        }
        Typeface::new(0.0).draw(&mut image, (0.0, 0.0), "a", [1; 3]);
    }
}
