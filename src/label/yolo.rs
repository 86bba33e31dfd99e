//! Masks as the polygons of YOLO's data sets: one closed line for each object, in shares of the image's size.
//!
//! A line has no parts and no holes. Parts and holes are joined to the line by bridges without width: the line goes to the
//! nearest corner of the part or hole, around it, and back the same way. Filled by the even-odd rule, or with the bridges
//! drawn one pixel wide, the line is the mask within a pixel.

use crate::pixels::{Mask, contours};

/// Returns the closed line around a mask, as corners of pixels `(x, y)`; empty for an empty mask.
pub fn single_outline(mask: &Mask) -> Vec<(u32, u32)> {
    let mut rings: Vec<Vec<(u32, u32)>> = contours(mask).into_iter().map(|contour| contour.corners).collect();
    // From the ring with the longest outline on.
    rings.sort_by_key(|ring| std::cmp::Reverse(ring.len()));
    let mut rings = rings.into_iter();
    let mut line = rings.next().unwrap_or_default();
    for ring in rings {
        let (at, from) = nearest(&line, &ring);
        // There, around the ring, and back.
        let there = ring[from..].iter().chain(&ring[..=from]).copied();
        let detour: Vec<(u32, u32)> = there.chain([line[at]]).collect();
        line.splice(at + 1..at + 1, detour);
    }
    line
}

/// Returns the indices of the corners of two lines that are closest to each other.
fn nearest(line: &[(u32, u32)], ring: &[(u32, u32)]) -> (usize, usize) {
    let distance = |a: (u32, u32), b: (u32, u32)| {
        let (x, y) = (u64::from(a.0.abs_diff(b.0)), u64::from(a.1.abs_diff(b.1)));
        x * x + y * y
    };
    let pairs = line.iter().enumerate().flat_map(|(i, a)| ring.iter().enumerate().map(move |(j, b)| (i, j, *a, *b)));
    let closest = pairs.min_by_key(|(_, _, a, b)| distance(*a, *b));
    closest.map_or((0, 0), |(i, j, ..)| (i, j))
}

/// Returns the line of a label file for one object: the number of the class, then x and y of each corner in shares of
/// width and height. None for an empty mask.
pub fn label_line(class: usize, mask: &Mask) -> Option<String> {
    let outline = single_outline(mask);
    if outline.is_empty() {
        return None;
    }
    let (width, height) = (f64::from(mask.width), f64::from(mask.height));
    let mut line = class.to_string();
    for (x, y) in outline {
        line.push_str(&format!(" {:.6} {:.6}", f64::from(x) / width, f64::from(y) / height));
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the mask that the even-odd rule fills: the pixels whose centre a ray to the left leaves an odd number of times.
    fn filled(line: &[(u32, u32)], width: u32, height: u32) -> Mask {
        let mut data = vec![0; (width * height) as usize];
        for (at, value) in data.iter_mut().enumerate() {
            let (x, y) = (f64::from(at as u32 % width) + 0.5, f64::from(at as u32 / width) + 0.5);
            let edges = line.iter().zip(line.iter().cycle().skip(1));
            let crossings = edges.filter(|(a, b)| {
                let ((ax, ay), (bx, by)) = ((f64::from(a.0), f64::from(a.1)), (f64::from(b.0), f64::from(b.1)));
                (ay > y) != (by > y) && ax + (y - ay) / (by - ay) * (bx - ax) < x
            });
            *value = (crossings.count() % 2) as u8;
        }
        Mask::from_data(width, height, &data).unwrap()
    }

    fn drawn(width: u32, height: u32, inside: impl Fn(u32, u32) -> bool) -> Mask {
        let data: Vec<u8> = (0..width * height).map(|i| u8::from(inside(i % width, i / width))).collect();
        Mask::from_data(width, height, &data).unwrap()
    }

    #[test]
    fn parts_and_holes_are_on_one_line_that_fills_to_the_mask() {
        let square = |x: u32, y: u32, from: u32, to: u32| (from..to).contains(&x) && (from..to).contains(&y);
        let masks = [
            drawn(20, 16, |x, y| square(x, y, 2, 9)),
            drawn(20, 16, |x, y| square(x, y, 2, 12) && !square(x, y, 4, 6) && !square(x, y, 8, 10)),
            drawn(20, 16, |x, y| square(x, y, 1, 4) || (x > 10 && y > 9) || (x == 19 && y == 0)),
            drawn(20, 16, |x, y| square(x, y, 0, 16) && (square(x, y, 6, 9) || !square(x, y, 3, 13))),
            drawn(20, 16, |x, y| (x + y) % 2 == 0),
        ];
        for mask in &masks {
            let found = filled(&single_outline(mask), 20, 16);
            assert_eq!(found.full(), mask.full());
        }
    }

    #[test]
    fn coordinates_are_shares_of_the_size() {
        let mask = drawn(10, 4, |x, y| x < 5 && y < 2);
        assert_eq!(
            label_line(3, &mask).unwrap(),
            "3 0.000000 0.000000 0.500000 0.000000 0.500000 0.500000 0.000000 0.500000"
        );
        assert_eq!(label_line(0, &Mask::empty(10, 4)), None);
    }
}
