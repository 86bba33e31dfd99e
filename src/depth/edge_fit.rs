//! Continues the depths along a line of pixels to the border of a mask.
//!
//! A surface ends at the border of its mask in one of two ways. It is cut there: by its own edge, or by another object in front.
//! On a plane the inverse of the depth is linear in pixels, and a line through the inverse depths continues it. Or it turns
//! away: along the limb of a sphere, a cylinder or any other rounded object the line of sight touches the surface. There the
//! inverse depth falls with the square root of the distance from the border, infinitely steep at the end: a pixel before the
//! limb of a sphere whose image has a radius of 50 pixels, a fifth of the radius in depth is still missing.

/// Part of the squared residuals of the line that those of the root have at most at a limb.
const LIMB_RESIDUALS: f32 = 0.1;
/// Least residuals of the line at a limb, in standard deviations of the depth.
const LIMB_DEVIATIONS: f32 = 1.5;
/// Least standard deviation of the depth, as a fraction of the depth: steps of a millimetre at 1.1 m do not look like a limb.
const LEAST_DEVIATION: f32 = 2.5e-4;

/// Least-squares fits of a line and of a square root to inverse depths along a line of pixels.
pub(super) struct EdgeFit {
    /// Inverse depth of the first pixel. The others are relative to it, so that single precision is enough.
    nearest: f32,
    /// Distance of the next pixel from the border, in pixels.
    distance: f32,
    count: f32,
    /// Sums of distances `t`, their roots `s` and inverse depths `w`, and of their products.
    t: f32,
    tt: f32,
    s: f32,
    w: f32,
    ww: f32,
    tw: f32,
    sw: f32,
}

impl EdgeFit {
    /// Begins a fit. `nearest`: depth of the first pixel, in metres; `distance`: of that pixel from the border, in pixels.
    pub fn new(nearest: f32, distance: f32) -> EdgeFit {
        EdgeFit {
            nearest: 1.0 / nearest,
            distance,
            count: 0.0,
            t: 0.0,
            tt: 0.0,
            s: 0.0,
            w: 0.0,
            ww: 0.0,
            tw: 0.0,
            sw: 0.0,
        }
    }

    /// Adds the depth of the next pixel inwards.
    pub fn add(&mut self, z: f32) {
        let (t, w) = (self.distance, 1.0 / z - self.nearest);
        let s = t.sqrt();
        self.distance += 1.0;
        self.count += 1.0;
        self.t += t;
        self.tt += t * t;
        self.s += s;
        self.w += w;
        self.ww += w * w;
        self.tw += t * w;
        self.sw += s * w;
    }

    /// Returns the depth at the border. `deviation`: known standard deviation of the depths, in metres.
    pub fn depth_at_border(&self, deviation: f32) -> f32 {
        let n = self.count;
        let spread = self.ww - self.w * self.w / n;
        // The squares of the roots are the distances.
        let (across_line, across_root) = (self.tt - self.t * self.t / n, self.t - self.s * self.s / n);
        let (along_line, along_root) = (self.tw - self.t * self.w / n, self.sw - self.s * self.w / n);
        let (line, root) = (along_line / across_line, along_root / across_root);
        let (line_residuals, root_residuals) = (spread - line * along_line, spread - root * along_root);
        // The deviation of an inverse depth.
        let deviation = (deviation * self.nearest).max(LEAST_DEVIATION) * self.nearest;
        let is_bent = line_residuals > (n - 2.0) * (LIMB_DEVIATIONS * deviation).powi(2);
        let is_limb = is_bent && root > 0.0 && root_residuals < LIMB_RESIDUALS * line_residuals;
        let at_border = if is_limb { self.w - root * self.s } else { self.w - line * self.t } / n;
        let inverse = at_border + self.nearest;
        if inverse > 0.0 { 1.0 / inverse } else { f32::INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the depth at the border of five pixels from `first` on, of depth `z` at a distance from the border.
    fn continued(first: f32, deviation: f32, z: impl Fn(f32) -> f32) -> f32 {
        let mut fit = EdgeFit::new(z(first), first);
        (0..5).for_each(|i| fit.add(z(first + i as f32)));
        fit.depth_at_border(deviation)
    }

    #[test]
    fn a_plane_is_continued_exactly() {
        for slope in [-0.05, 0.0, 0.002, 0.08] {
            let z = |t: f32| 1.0 / (0.8 + slope * t);
            assert!((continued(1.25, 0.0, z) - 1.25).abs() < 1e-5, "slope {slope}");
        }
    }

    #[test]
    fn a_sphere_is_continued_to_its_limb_unless_the_bend_may_be_noise() {
        // A radius of 0.12 m at 1.1 m, 57 pixels.
        let limb = 1.1;
        let z = |t: f32| limb - 0.12 * (1.0 - (1.0 - t / 57.0).powi(2)).sqrt();
        let missing = |first: f32, deviation: f32| limb - continued(first, deviation, z);
        for first in [1.25, 2.25, 3.25] {
            assert!(missing(first, 0.0).abs() < 0.003, "{first}: {}", missing(first, 0.0));
        }
        assert!(missing(1.25, 0.01) > 0.008, "{}", missing(1.25, 0.01));
    }

    #[test]
    fn a_surface_that_turns_towards_the_camera_is_no_limb() {
        let z = |t: f32| 1.0 + 0.02 * t.sqrt();
        assert!(continued(1.25, 0.0, z) > 1.0);
    }
}
