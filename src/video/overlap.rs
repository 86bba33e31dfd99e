//! Masks without overlap: `_apply_non_overlapping_constraints` of sam2/modeling/sam2_base.py.

/// Largest logit of a cell that belongs to another object.
const OTHER_OBJECT: f32 = -10.0;

/// Gives each cell to the object with the highest logit there, or to the first of several with equal logits. The logits
/// of all other objects are lowered to -10.
pub fn separate(masks: &mut [&mut [f32]]) {
    let cells = masks.iter().map(|mask| mask.len()).min().unwrap_or_default();
    for cell in 0..cells {
        let mut best = 0;
        for (i, mask) in masks.iter().enumerate() {
            if mask[cell] > masks[best][cell] {
                best = i;
            }
        }
        for (i, mask) in masks.iter_mut().enumerate() {
            if i != best {
                mask[cell] = mask[cell].min(OTHER_OBJECT);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_with_the_highest_logit_gets_the_cell() {
        let (mut a, mut b, mut c) = ([1.0, 2.0, -20.0, 0.5], [3.0, 2.0, -1.0, f32::NAN], [0.0, 1.0, -30.0, -4.0]);
        separate(&mut [&mut a, &mut b, &mut c]);
        assert_eq!(a, [-10.0, 2.0, -20.0, 0.5]);
        assert_eq!(b[..3], [3.0, -10.0, -1.0]);
        assert_eq!(c, [-10.0, -10.0, -30.0, -10.0]);
        let mut alone = [-1.0, 1.0];
        separate(&mut [&mut alone]);
        assert_eq!(alone, [-1.0, 1.0]);
    }
}
