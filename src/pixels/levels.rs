//! Comparison of low-resolution logits with the levels of a mask, valid for all logits interpolated from them.

/// The sides of the three levels on which a mean of some cells may lie. Bit `i`: the mean may be at or below level `i`.
/// Bit `3 + i`: the mean may be above level `i`. The sides of a group of cells are the bitwise or of the sides of each
/// cell.
pub(super) type Sides = u8;

/// The levels of a mask: `threshold - offset`, `threshold`, `threshold + offset`.
pub(super) struct Levels {
    /// The levels that interpolated logits are compared with.
    pub exact: [f32; 3],
    /// Upper bounds: a mean of cells above the bound is above the level, whatever the rounding.
    surely_above: [f32; 3],
    /// Lower bounds: a mean of cells at or below the bound is at or below the level, whatever the rounding.
    perhaps_above: [f32; 3],
}

impl Levels {
    #[inline(always)]
    pub fn new(low: &[f32], threshold: f32, offset: f32) -> Self {
        let offset = offset.abs();
        let exact = [threshold - offset, threshold, threshold + offset];
        // Absolute values are compared as bits, which have the same order, because the maximum of floats is not
        // vectorised. If a logit is not finite, the margin is infinite and no cell is surely above a level.
        let largest = low.iter().fold((threshold.abs() + offset).to_bits(), |m, v| m.max(v.abs().to_bits()));
        let largest = f32::from_bits(largest.min(f32::INFINITY.to_bits()));
        // The sums of the weights and of the products deviate by a few roundings. 64 epsilon is far more than all of
        // them.
        let margin = 64.0 * f32::EPSILON * largest;
        Levels { exact, surely_above: exact.map(|l| l + margin), perhaps_above: exact.map(|l| l - margin) }
    }

    /// Returns the sides on which a cell lies.
    #[inline(always)]
    pub fn sides(&self, cell: f32) -> Sides {
        let mut sides = 0;
        for i in 0..3 {
            let (surely, perhaps) = (cell > self.surely_above[i], cell > self.perhaps_above[i]);
            sides |= u8::from(!surely) << i | u8::from(perhaps) << (3 + i);
        }
        sides
    }
}

/// Returns the number of levels below the pixels of a group of cells. None if it may differ from pixel to pixel.
#[inline(always)]
pub(super) fn class(sides: Sides) -> Option<usize> {
    (sides & sides >> 3 & 7 == 0).then(|| usize::from((sides >> 3 & 1) + (sides >> 4 & 1) + (sides >> 5)))
}

/// Returns whether any pixel of a group of cells may be above the threshold.
#[inline(always)]
pub(super) fn may_be_inside(sides: Sides) -> bool {
    sides & 1 << 4 != 0
}

/// Returns whether any pixel of a group of cells may be above the highest level.
#[inline(always)]
pub(super) fn may_be_above_highest(sides: Sides) -> bool {
    sides & 1 << 5 != 0
}

/// Returns whether all pixels of a group of cells are above the lowest level.
#[inline(always)]
pub(super) fn is_above_lowest(sides: Sides) -> bool {
    sides & 1 == 0
}
