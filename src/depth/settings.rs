//! Settings of the measurement of objects.

/// Settings of the measurement of objects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DepthSettings {
    /// Width of the band along the border of a mask that is not measured, in pixels of the image. A mask that comes with
    /// its certain part is eroded to that part instead, if enough pixels are left. The width is also the uncertainty of the
    /// border in the covariance of the centroid.
    pub border: u32,
    /// Difference of the depth of neighbouring pixels that is an edge, as a fraction of the depth. Noise raises it.
    pub edge_ratio: f32,
    /// Fewest pixels of an object that are measured.
    pub min_points: u32,
}

impl Default for DepthSettings {
    fn default() -> Self {
        DepthSettings { border: 1, edge_ratio: 0.02, min_points: 16 }
    }
}
