//! On which side of the thresholds low-resolution logits are, and with them everything interpolated from them.

/// What a few cells may become: bit `i` says that a mean of them may be not above level `i`, bit `3 + i` that it may
/// be above. The sides of more cells are those of each, or-ed.
pub(super) type Sides = u8;

/// `threshold - offset`, `threshold`, `threshold + offset`.
pub(super) struct Levels {
    /// What an interpolated logit is compared with.
    pub exact: [f32; 3],
    /// A cell above is so far above the level that a mean of such cells is above it whatever was rounded.
    surely_above: [f32; 3],
    /// Likewise: not above is surely not above.
    perhaps_above: [f32; 3],
}

impl Levels {
    #[inline(always)]
    pub fn new(low: &[f32], threshold: f32, offset: f32) -> Self {
        let offset = offset.abs();
        let exact = [threshold - offset, threshold, threshold + offset];
        // As bits, in whose order absolute values are too: a float's maximum is not vectorised. With logits that are
        // not finite nothing is sure to be above.
        let largest = low.iter().fold((threshold.abs() + offset).to_bits(), |m, v| m.max(v.abs().to_bits()));
        let largest = f32::from_bits(largest.min(f32::INFINITY.to_bits()));
        // Weights add up to 1 within a few roundings each, and so do the sums: 64 epsilon is far beyond all of them.
        let margin = 64.0 * f32::EPSILON * largest;
        Levels { exact, surely_above: exact.map(|l| l + margin), perhaps_above: exact.map(|l| l - margin) }
    }

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

/// How many of the levels everything is above, when that is sure.
#[inline(always)]
pub(super) fn class(sides: Sides) -> Option<usize> {
    (sides & sides >> 3 & 7 == 0).then(|| usize::from((sides >> 3 & 1) + (sides >> 4 & 1) + (sides >> 5)))
}

/// Whether something may be above the threshold.
#[inline(always)]
pub(super) fn may_be_inside(sides: Sides) -> bool {
    sides & 1 << 4 != 0
}
