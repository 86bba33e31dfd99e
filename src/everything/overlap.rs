//! How masks that share pixels are told apart, beyond the box NMS of the reference.

/// Rules of the mask NMS.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlap {
    /// Two masks with an IoU above this are the same object: the mask with the lower score is dropped.
    pub iou: f32,
    /// A mask is a part of a larger mask if more than this share of its pixels lies inside the larger mask.
    pub part: f32,
    /// What happens with parts.
    pub parts: Parts,
}

impl Default for Overlap {
    fn default() -> Self {
        Overlap { iou: 0.8, part: 0.9, parts: Parts::Keep }
    }
}

/// What happens with a mask that is a part of another mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parts {
    /// The part is kept, with the index of its whole.
    #[default]
    Keep,
    /// Of part and whole the mask with the lower score is dropped: NMS by the intersection over the smaller mask.
    Drop,
}

/// Which mask gets a pixel that several masks claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// The mask with the higher predicted IoU times stability score.
    #[default]
    Certain,
    /// The larger mask.
    Large,
}
