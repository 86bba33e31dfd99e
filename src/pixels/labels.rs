//! One image of several masks.

use super::mask::Mask;

/// Returns the image of `~/labels`, row by row: the id of the object on each pixel, 0 for background. Where masks
/// overlap, the smaller mask wins, so that a cup on a table stays visible; among masks of equal area the first wins.
///
/// The image is empty without masks. Masks of another image size than the first mask are left out. An id above 65535 is
/// reduced to its low 16 bits, or to 65535 if these are 0.
pub fn label_image(masks: &[(u32, &Mask)]) -> Vec<u16> {
    let value = |id: u32| match id as u16 {
        0 if id != 0 => u16::MAX,
        low => low,
    };
    let Some((_, first)) = masks.first() else { return Vec::new() };
    let of_one_size = masks.iter().filter(|(_, mask)| mask.same_size(first));
    let mut masks: Vec<(u16, &Mask)> = of_one_size.map(|(id, mask)| (value(*id), *mask)).collect();
    sort_smaller_last(&mut masks);
    paint(&masks)
}

/// Sorts masks for [`paint`], so that the smaller of two masks covers the larger; among masks of equal area the first covers
/// the others.
pub fn sort_smaller_last<T>(masks: &mut [(T, &Mask)]) {
    masks.reverse();
    masks.sort_by_key(|(_, mask)| std::cmp::Reverse(mask.area));
}

/// Returns an image with one value for each pixel, row by row: that of the last mask on the pixel, the default without a
/// mask. Each pixel thus belongs to one mask.
///
/// The image is empty without masks. Masks of another image size than the first mask are left out.
pub fn paint<T: Copy + Default>(masks: &[(T, &Mask)]) -> Vec<T> {
    let Some((_, first)) = masks.first() else { return Vec::new() };
    let mut painted = vec![T::default(); first.width as usize * first.height as usize];
    for (value, mask) in masks.iter().filter(|(_, mask)| mask.same_size(first)) {
        mask.for_each_row(|at, row| {
            for (pixel, inside) in painted[at..at + row.len()].iter_mut().zip(row) {
                if *inside != 0 {
                    *pixel = *value;
                }
            }
        });
    }
    painted
}

/// Returns the image of `~/mask`, row by row: 255 inside any mask. The image is empty without masks. Masks of another
/// image size than the first mask are left out.
pub fn union_mask(masks: &[&Mask]) -> Vec<u8> {
    let Some(first) = masks.first() else { return Vec::new() };
    let mut union = first.full();
    for mask in masks.iter().skip(1).filter(|mask| mask.same_size(first)) {
        mask.for_each_row(|at, row| {
            for (u, m) in union[at..at + row.len()].iter_mut().zip(row) {
                *u |= m;
            }
        });
    }
    union
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(width: u32, height: u32, inside: impl Fn(u32, u32) -> bool) -> Mask {
        let data: Vec<u8> = (0..width * height).map(|i| if inside(i % width, i / width) { 255 } else { 0 }).collect();
        Mask::from_data(width, height, &data).unwrap()
    }

    #[test]
    fn the_smaller_object_stays_visible() {
        let (table, cup) = (mask(4, 3, |_, y| y > 0), mask(4, 3, |x, y| x == 1 && y == 1));
        for masks in [[(7, &table), (9, &cup)], [(9, &cup), (7, &table)]] {
            assert_eq!(label_image(&masks), [0, 0, 0, 0, 7, 9, 7, 7, 7, 7, 7, 7]);
        }
        assert_eq!(union_mask(&[&cup, &table]), table.full());
    }

    #[test]
    fn wide_ids_never_look_like_background_and_other_sizes_are_left_out() {
        let (a, b) = (mask(2, 1, |x, _| x == 0), mask(3, 1, |_, _| true));
        assert_eq!(label_image(&[(65536, &a), (2, &b)]), [65535, 0]);
        assert_eq!(union_mask(&[&a, &b]), a.full());
        assert!(label_image(&[]).is_empty() && union_mask(&[]).is_empty());
    }
}
