//! YUV to RGB: ITU-R BT.601, limited range (16..235), in the fixed-point arithmetic of OpenCV's `cvtColor`
//! (`modules/imgproc/src/color_yuv.simd.hpp`), which `cv_bridge` uses.

const SHIFT: i32 = 20;
const HALF: i32 = 1 << (SHIFT - 1);
const CY: i32 = 1_220_542;
const CUB: i32 = 2_116_026;
const CUG: i32 = -409_993;
const CVG: i32 = -852_492;
const CVR: i32 = 1_673_527;

/// Order of the four bytes of two neighbouring pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed422 {
    y: [usize; 2],
    u: usize,
    v: usize,
}

impl Packed422 {
    pub const UYVY: Packed422 = Packed422 { y: [1, 3], u: 0, v: 2 };
    pub const YUYV: Packed422 = Packed422 { y: [0, 2], u: 1, v: 3 };
}

/// The terms that the chroma of a pixel adds to red, green and blue.
#[derive(Clone, Copy)]
struct Chroma([i32; 3]);

impl Chroma {
    #[inline]
    fn new(u: u8, v: u8) -> Self {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        Chroma([HALF + CVR * v, HALF + CVG * v + CUG * u, HALF + CUB * u])
    }

    #[inline]
    fn with_luma(self, y: u8) -> [u8; 3] {
        let luma = (i32::from(y) - 16).max(0) * CY;
        self.0.map(|c| ((luma + c) >> SHIFT).clamp(0, 255) as u8)
    }
}

/// Converts a row of 4:2:2, in groups of four bytes, to RGB.
pub(super) fn row_422(row: &[u8], order: Packed422, out: &mut [u8]) {
    for (s, o) in row.as_chunks::<4>().0.iter().zip(out.as_chunks_mut::<6>().0) {
        let chroma = Chroma::new(s[order.u], s[order.v]);
        o[..3].copy_from_slice(&chroma.with_luma(s[order.y[0]]));
        o[3..].copy_from_slice(&chroma.with_luma(s[order.y[1]]));
    }
}

/// Converts a row of 4:2:0 to RGB: a row of luma, and the chroma row of its pair of rows, with two bytes for two
/// pixels.
pub(super) fn row_420(luma: &[u8], chroma: &[u8], v_first: bool, out: &mut [u8]) {
    let pairs = luma.as_chunks::<2>().0.iter().zip(chroma.as_chunks::<2>().0);
    for ((y, c), o) in pairs.zip(out.as_chunks_mut::<6>().0) {
        let chroma = if v_first { Chroma::new(c[1], c[0]) } else { Chroma::new(c[0], c[1]) };
        o[..3].copy_from_slice(&chroma.with_luma(y[0]));
        o[3..].copy_from_slice(&chroma.with_luma(y[1]));
    }
}

/// Converts a row of 4:4:4 to RGB: a row of luma, and a row of chroma with two bytes for each pixel.
pub(super) fn row_444(luma: &[u8], chroma: &[u8], v_first: bool, out: &mut [u8]) {
    for ((y, c), o) in luma.iter().zip(chroma.as_chunks::<2>().0).zip(out.as_chunks_mut::<3>().0) {
        let chroma = if v_first { Chroma::new(c[1], c[0]) } else { Chroma::new(c[0], c[1]) };
        *o = chroma.with_luma(*y);
    }
}
