//! Depth of one frame, seen through its camera: measures the objects of the frame.

use multiversion::multiversion;
use nalgebra::{Isometry3, Matrix3, Point3, Vector3};

use super::core::{certain_core, eroded_core};
use super::error::{DepthError, NoSurface};
use super::image::DepthImage;
use super::oriented_box::{BoxPoints, OrientedBox};
use super::outline::Outline;
use super::parts::{Run, largest_part};
use super::rays::Rays;
use super::settings::DepthSettings;
use super::surface::{Points, Surface};
use super::window::Window;
use crate::pixels::Mask;

/// Least standard deviation of a measured depth, as a fraction of the depth: an error of the sensor's scale that does not
/// show as noise.
const SCALE_ERROR: f64 = 1e-3;
/// Widest uncertain band of a mask across which the surface is continued to the border of the mask, in pixels.
const WIDEST_BAND: u32 = 8;
/// Most depths of a sample that brackets the median.
const MEDIAN_SAMPLE: usize = 1024;

/// The frame in which objects are described.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TargetFrame {
    /// Takes points of the camera's optical frame to the target frame.
    pub target_from_optical: Isometry3<f64>,
    /// Whether z of the target frame points up. Boxes are upright then, with a yaw; otherwise their axes are those of the
    /// target frame.
    pub z_up: bool,
}

impl TargetFrame {
    /// Returns the optical frame of the camera: x right, y down, z forward.
    pub fn optical() -> TargetFrame {
        TargetFrame { target_from_optical: Isometry3::identity(), z_up: false }
    }

    /// Returns a frame with z up, such as `base_link` or `map`.
    pub fn upright(target_from_optical: Isometry3<f64>) -> TargetFrame {
        TargetFrame { target_from_optical, z_up: true }
    }
}

/// Position, extent and visible surface of an object. Lengths are in metres. `docs/depth.md` has the definitions.
#[derive(Debug, Clone, PartialEq)]
pub struct Object3d {
    /// Median depth of the surface along the optical axis.
    pub median_depth: f64,
    /// Mean of the points of the visible surface, in the target frame. It lies in front of the object's centre of mass,
    /// because a camera does not see the far side.
    pub centroid: Point3<f64>,
    /// Covariance of `centroid` in the target frame, in square metres.
    pub covariance: Matrix3<f64>,
    /// Box around the visible surface, in the target frame.
    pub bbox: OrientedBox,
    /// Part of the mask's pixels that have a depth, 0 to 1.
    pub coverage: f64,
    /// Standard deviation of the noise of the depth on the object.
    pub noise: f64,
    /// The measured pixels and their points, in the optical frame.
    pub surface: Surface,
}

/// Depth of a frame and the geometry of its camera.
#[derive(Debug, Clone, Copy)]
pub struct DepthView<'a> {
    depth: &'a DepthImage,
    rays: &'a Rays,
    target: TargetFrame,
    settings: DepthSettings,
}

impl<'a> DepthView<'a> {
    /// Combines a depth image with the rays of its camera. Depth, rays and masks have the size of the camera's image
    /// ([`DepthImage::scaled_to`]).
    ///
    /// # Errors
    /// [`DepthError::Size`] if depth and rays differ in size.
    pub fn new(
        depth: &'a DepthImage,
        rays: &'a Rays,
        target: TargetFrame,
        settings: DepthSettings,
    ) -> Result<DepthView<'a>, DepthError> {
        let ((width, height), (image_width, image_height)) = (depth.size(), rays.size());
        if depth.size() != rays.size() {
            return Err(DepthError::Size { width, height, image_width, image_height });
        }
        Ok(DepthView { depth, rays, target, settings })
    }

    /// Returns the frame in which objects are described.
    pub fn target(&self) -> &TargetFrame {
        &self.target
    }

    /// Measures the object of a mask. `certain` is the part of the mask that the model is certain of: the pixels whose
    /// logits exceed the threshold by the offset of the stability score. Without `certain` the mask is eroded by
    /// [`DepthSettings::border`] pixels, and also if too few pixels of `certain` can be measured.
    ///
    /// # Errors
    /// The reason why the object has no position.
    pub fn measure(&self, mask: &Mask, certain: Option<&Mask>) -> Result<Object3d, NoSurface> {
        let (depth_width, depth_height) = self.depth.size();
        if (mask.width, mask.height) != self.depth.size() {
            return Err(NoSurface::MaskSize { width: mask.width, height: mask.height, depth_width, depth_height });
        }
        let window = Window::new(self.depth, self.rays, mask).ok_or(NoSurface::EmptyMask)?;
        let valid = window.valid_pixels();
        if valid == 0 {
            return Err(NoSurface::NoDepth { pixels: mask.area });
        }
        let noise = window.noise();
        let tolerance = Window::tolerance(&self.settings, self.rays, noise);
        let measured = |core: Vec<u8>, widest_band| {
            let runs = largest_part(&window, &window.smooth_pixels(&core, tolerance), tolerance);
            (core, widest_band, runs)
        };
        let border = self.settings.border;
        let eroded = || measured(eroded_core(&window, self.depth.size(), border), border);
        let expected = self.settings.min_points.max(1);
        let certain = certain.filter(|certain| certain.same_size(mask));
        let certain = certain.map(|certain| measured(certain_core(&window, certain), WIDEST_BAND));
        let (core, widest_band, runs) = certain.filter(|(.., runs)| pixels(runs) >= expected).unwrap_or_else(eroded);
        let found = pixels(&runs);
        if found < expected {
            return Err(NoSurface::TooFewPoints { found, valid, pixels: mask.area, expected });
        }
        let surface = Surface::new(&window, self.rays, &runs);
        let outline = Outline {
            window: &window,
            core: &core,
            measured: &filled(&window, &runs),
            tolerance,
            deviation: noise.max(self.depth.quantum() / 12.0_f32.sqrt()),
            widest_band,
        };
        let outline = outline.points(self.rays);
        let centroid = mean(&surface);
        let noise_along_ray = centroid.coords.normalize() * f64::from(noise);
        let points = BoxPoints { surface: &surface.points, outline: &outline, noise: noise_along_ray };
        let target_from_optical = &self.target.target_from_optical;
        let bbox =
            if self.target.z_up { points.upright(target_from_optical) } else { points.aligned(target_from_optical) };
        Ok(Object3d {
            median_depth: median_depth(&surface.points),
            centroid: target_from_optical * centroid,
            covariance: self.covariance(&centroid, noise),
            bbox,
            coverage: f64::from(valid) / f64::from(mask.area),
            noise: f64::from(noise),
            surface,
        })
    }

    /// Returns the covariance of a centroid in the target frame: along the ray the noise of the depth, which does not
    /// average out over an object, across the ray the uncertain border of the mask.
    fn covariance(&self, centroid: &Point3<f64>, noise: f32) -> Matrix3<f64> {
        let ray = centroid.coords.normalize();
        let step = f64::from(self.depth.quantum()) / 12.0_f64.sqrt();
        let along = f64::from(noise).max(step).max(SCALE_ERROR * centroid.z);
        let pixel = centroid.z * f64::from(self.rays.pixel());
        let across = (f64::from(self.settings.border) + 0.5) * pixel / 3.0_f64.sqrt();
        let outer: Matrix3<f64> = ray * ray.transpose();
        let optical = outer * along.powi(2) + (Matrix3::identity() - outer) * across.powi(2);
        let rotation = self.target.target_from_optical.rotation.to_rotation_matrix();
        rotation * optical * rotation.transpose()
    }

    /// Returns the point at which to grasp an object from above, in the target frame: the point of the surface nearest to
    /// the middle of its highest layer. In a frame whose z does not point up, "above" is towards the camera.
    ///
    /// The layer has a thickness of 5 % of the box's height, at least 5 mm and at least twice the noise.
    pub fn top_point(&self, object: &Object3d) -> Point3<f64> {
        let rotation = self.target.target_from_optical.rotation;
        let (up, height, top) = if self.target.z_up {
            let bbox = &object.bbox;
            let origin = self.target.target_from_optical.translation.z;
            (rotation.inverse() * Vector3::z(), bbox.size.z, bbox.centre.z + bbox.size.z / 2.0 - origin)
        } else {
            // The box may be aligned to any frame: the nearest depth stands for its front.
            let depths = || object.surface.points.z.iter().copied();
            let (nearest, farthest) = (depths().fold(f32::INFINITY, f32::min), depths().fold(0.0, f32::max));
            (-Vector3::z(), f64::from(farthest - nearest), -f64::from(nearest))
        };
        let layer = (0.05 * height).max(0.005).max(2.0 * object.noise);
        let points = || object.surface.points().map(|p| Point3::from(Vector3::from(p).cast::<f64>()));
        let in_layer = || points().filter(|p| p.coords.dot(&up) >= top - layer);
        let (count, sum) = in_layer().fold((0.0, Vector3::zeros()), |(n, sum), p| (n + 1.0, sum + p.coords));
        if count == 0.0 {
            return object.centroid;
        }
        let middle = sum / count;
        let distance = |p: &Point3<f64>| {
            let offset = p.coords - middle;
            (offset - up * offset.dot(&up)).norm_squared()
        };
        let nearest = in_layer().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.map_or(object.centroid, |p| self.target.target_from_optical * p)
    }
}

/// Returns the number of pixels in runs.
fn pixels(runs: &[Run]) -> u32 {
    runs.iter().map(|run| (run.end - run.start) as u32).sum()
}

/// Returns the pixels of the window that belong to the runs, 255 each.
fn filled(window: &Window, runs: &[Run]) -> Vec<u8> {
    let mut filled = vec![0; window.inside.len()];
    for run in runs {
        filled[run.row * window.width..][run.start..run.end].fill(255);
    }
    filled
}

/// Returns the mean of the points.
fn mean(surface: &Surface) -> Point3<f64> {
    let points = &surface.points;
    let mean = |values: &[f32]| sum(values) / values.len() as f64;
    Point3::new(mean(&points.x), mean(&points.y), mean(&points.z))
}

/// Returns the sum of values: blocks in single precision, then their sums.
#[multiversion(targets("x86_64+avx2"))]
fn sum(values: &[f32]) -> f64 {
    const LANES: usize = 8;
    let blocks = values.chunks(64 * LANES).map(|block| {
        let mut sums = [0.0_f32; LANES];
        let (lanes, rest) = block.as_chunks::<LANES>();
        for lane in lanes {
            sums.iter_mut().zip(lane).for_each(|(sum, value)| *sum += value);
        }
        f64::from(sums.iter().chain(rest).sum::<f32>())
    });
    blocks.sum()
}

/// Returns the median depth of the points, the farther of two middle ones.
///
/// The median lies between the 45 % and the 55 % depth of a sample with few exceptions, so that few depths are sorted.
fn median_depth(points: &Points) -> f64 {
    let values = &points.z;
    let mut sample: Vec<f32> = values.iter().copied().step_by(values.len().div_ceil(MEDIAN_SAMPLE).max(1)).collect();
    let Some(last) = sample.len().checked_sub(1) else { return 0.0 };
    let mut quantile = |percent: usize| *sample.select_nth_unstable_by(last * percent / 100, f32::total_cmp).1;
    let (low, high) = (quantile(45), quantile(55));
    let mut near = values.iter().map(|z| usize::from(*z < low)).sum::<usize>();
    let mut middle: Vec<f32> = values.iter().copied().filter(|z| (*z >= low) & (*z <= high)).collect();
    if !(near..near + middle.len()).contains(&(values.len() / 2)) {
        (near, middle) = (0, values.clone());
    }
    f64::from(*middle.select_nth_unstable_by(values.len() / 2 - near, f32::total_cmp).1)
}
