//! Contours of a mask, along the borders of its pixels. Filled by the even-odd rule, they are the mask again, pixel by
//! pixel.
//!
//! The contours of `imageproc` (0.25, Suzuki and Abe) are not exact. They run through the centres of the border pixels:
//! filled again, a disc of radius 10 has an IoU of 0.91 with the mask, and a part one pixel wide vanishes. They join
//! pixels that touch at a corner, and a mask that fills the image has no contour. An object in an image of 1280x720
//! takes 0.2 ms here, because only its tight box is read, and 3.5 ms with `imageproc`.

use super::mask::Mask;

/// A closed line around a part of the mask, or around a hole in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contour {
    /// Corners of pixels as `(x, y)`, from (0, 0) in the top-left corner of the image to (width, height). The last
    /// corner is joined to the first. The mask lies to the right of the line: outer contours go clockwise on the
    /// screen, holes counter-clockwise.
    pub corners: Vec<(u32, u32)>,
    /// Whether the contour surrounds a hole.
    pub hole: bool,
}

/// Returns all contours of a mask. Pixels that touch at a corner alone belong to separate parts.
pub fn contours(mask: &Mask) -> Vec<Contour> {
    let Some(bbox) = mask.bbox else { return Vec::new() };
    let (width, height) = (bbox.width as i64, bbox.height as i64);
    let at = |x: i64, y: i64| (y * width + x) as usize;
    let inside = |x: i64, y: i64| (0..width).contains(&x) && (0..height).contains(&y) && mask.cropped[at(x, y)] != 0;
    // Every contour contains the upper border of a pixel, from which it is followed once.
    let mut seen = vec![false; mask.cropped.len()];
    let mut contours = Vec::new();
    for y in 0..height {
        for x in 0..width {
            if !inside(x, y) || inside(x, y - 1) || seen[at(x, y)] {
                continue;
            }
            let corners = follow((x, y), inside, |x, y| seen[at(x, y)] = true);
            let hole = doubled_area(&corners) < 0;
            let place = |(x, y): (i64, i64)| (bbox.x + x as u32, bbox.y + y as u32);
            contours.push(Contour { corners: corners.into_iter().map(place).collect(), hole });
        }
    }
    contours
}

/// Steps to the east, south, west and north.
const STEPS: [(i64, i64); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

/// Follows a contour from the top-left corner of a pixel along its upper border back to the start. Calls `visit` with
/// each pixel whose upper border belongs to the contour.
fn follow(start: (i64, i64), inside: impl Fn(i64, i64) -> bool, mut visit: impl FnMut(i64, i64)) -> Vec<(i64, i64)> {
    let (mut x, mut y) = start;
    let mut heading = 0;
    let mut corners = vec![start];
    loop {
        if heading == 0 {
            visit(x, y);
        }
        x += STEPS[heading].0;
        y += STEPS[heading].1;
        // The pixels ahead of this corner, to the left and to the right of the line.
        let (left, right) = match heading {
            0 => ((x, y - 1), (x, y)),
            1 => ((x, y), (x - 1, y)),
            2 => ((x - 1, y), (x - 1, y - 1)),
            _ => ((x - 1, y - 1), (x, y - 1)),
        };
        let next = if !inside(right.0, right.1) {
            (heading + 1) % 4
        } else if inside(left.0, left.1) {
            (heading + 3) % 4
        } else {
            heading
        };
        if (x, y) == start && next == 0 {
            return corners;
        }
        if next != heading {
            corners.push((x, y));
        }
        heading = next;
    }
}

/// Returns twice the area inside the corners: positive if they go clockwise on the screen.
fn doubled_area(corners: &[(i64, i64)]) -> i64 {
    let next = corners.iter().cycle().skip(1);
    corners.iter().zip(next).map(|((x0, y0), (x1, y1))| x0 * y1 - x1 * y0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: &[&str]) -> Mask {
        let data: Vec<u8> = rows.iter().flat_map(|row| row.bytes().map(|b| u8::from(b == b'#'))).collect();
        Mask::from_data(rows[0].len() as u32, rows.len() as u32, &data).unwrap()
    }

    /// Fills contours by the even-odd rule: a pixel is inside if the number of vertical lines left of its centre is
    /// odd.
    fn filled(contours: &[Contour], width: u32, height: u32) -> Vec<u8> {
        let mut crossed = vec![0_u32; (width * height) as usize];
        for contour in contours {
            for ((x0, y0), (x1, y1)) in contour.corners.iter().zip(contour.corners.iter().cycle().skip(1)) {
                assert!((x0 == x1) != (y0 == y1), "along the borders, corner to corner");
                for y in *y0.min(y1)..*y0.max(y1) {
                    (*x0..width).for_each(|x| crossed[(y * width + x) as usize] += 1);
                }
            }
        }
        crossed.iter().map(|n| if n % 2 == 1 { 255 } else { 0 }).collect()
    }

    #[test]
    fn one_pixel_has_four_corners_clockwise() {
        let found = contours(&drawn(&["...", ".#.", "..."]));
        assert_eq!(found, [Contour { corners: vec![(1, 1), (2, 1), (2, 2), (1, 2)], hole: false }]);
        assert_eq!(contours(&drawn(&["..", ".."])), []);
    }

    #[test]
    fn a_hole_and_an_island_inside_it_are_distinguished() {
        let found = contours(&drawn(&["#####", "#...#", "#.#.#", "#...#", "#####"]));
        assert_eq!(found.iter().map(|c| c.hole).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn pixels_that_touch_at_a_corner_are_separate_parts() {
        let found = contours(&drawn(&["#.", ".#"]));
        assert_eq!(found.len(), 2);
        // Background that such pixels would enclose is therefore not a hole.
        let found = contours(&drawn(&["##.", "#.#", "###"]));
        assert_eq!(found.iter().filter(|c| c.hole).count(), 0);
    }

    #[test]
    fn filled_contours_equal_the_mask_and_its_area() {
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        for (width, height, percent) in [(1, 1, 100), (9, 5, 50), (31, 40, 30), (64, 48, 60), (50, 70, 90)] {
            for _ in 0..20 {
                let data: Vec<u8> = (0..width * height).map(|_| u8::from(random() % 100 < percent)).collect();
                let mask = Mask::from_data(width, height, &data).unwrap();
                let found = contours(&mask);
                assert!(filled(&found, width, height) == mask.full(), "{width}x{height}");
                let signed = |c: &Contour| {
                    doubled_area(&c.corners.iter().map(|(x, y)| (i64::from(*x), i64::from(*y))).collect::<Vec<_>>())
                };
                assert_eq!(found.iter().map(signed).sum::<i64>(), 2 * i64::from(mask.area));
                assert!(found.iter().all(|c| c.hole == (signed(c) < 0)));
            }
        }
    }
}
