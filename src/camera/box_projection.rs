//! A box in space as a box in the image.

use nalgebra::{Isometry3, Point3, Vector3};

use super::{CameraModel, ProjectError};

/// Distance in front of the optical centre, in metres, at which a box that reaches behind the camera is cut.
const NEAR: f64 = 0.05;
/// Pieces of an edge between projected points. The image of an edge is curved by the distortion of the lens.
const PIECES: u32 = 16;

/// The upright box around the image of a box in space, in pixels of the image, cut at the border of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProjectedBox {
    pub x_min: f64,
    pub y_min: f64,
    pub x_max: f64,
    pub y_max: f64,
}

impl CameraModel {
    /// Projects a box, whose centre and axes are those of a frame, and whose `size` are its full lengths along these axes, in
    /// metres. The part that is behind the camera, or beyond the range of the distortion, is left out.
    ///
    /// # Errors
    /// [`ProjectError::NotFinite`], [`ProjectError::BehindCamera`] or [`ProjectError::BeyondDistortion`] if no point can be
    /// projected, [`ProjectError::OutsideImage`] if the camera does not see the box.
    pub fn project_box(
        &self,
        optical_from_box: &Isometry3<f64>,
        size: &Vector3<f64>,
    ) -> Result<ProjectedBox, ProjectError> {
        let corner = |i: usize| {
            let sign = |axis: usize| if i >> axis & 1 == 0 { -0.5 } else { 0.5 };
            optical_from_box * Point3::new(sign(0) * size.x, sign(1) * size.y, sign(2) * size.z)
        };
        let mut bounds: Option<ProjectedBox> = None;
        let Point3 { coords } = optical_from_box * Point3::origin();
        let mut error = ProjectError::BehindCamera { x: coords.x, y: coords.y, z: coords.z };
        for (from, to) in (0..8).flat_map(|i| (0..3).map(move |axis| (i, i | 1 << axis))).filter(|(i, j)| i != j) {
            let Some((from, to)) = in_front(corner(from), corner(to)) else { continue };
            for piece in 0..=PIECES {
                let point = from + (to - from) * (f64::from(piece) / f64::from(PIECES));
                match self.project_unbounded(&point) {
                    Ok((x, y)) => bounds = Some(ProjectedBox::around(bounds, x, y)),
                    Err(e) => error = e,
                }
            }
        }
        self.cut(bounds.ok_or(error)?)
    }

    /// Cuts a box at the border of the image.
    fn cut(&self, b: ProjectedBox) -> Result<ProjectedBox, ProjectError> {
        let (width, height) = self.image_size();
        let (right, bottom) = (f64::from(width) - 0.5, f64::from(height) - 0.5);
        let cut = ProjectedBox {
            x_min: b.x_min.max(-0.5),
            y_min: b.y_min.max(-0.5),
            x_max: b.x_max.min(right),
            y_max: b.y_max.min(bottom),
        };
        if cut.x_min < cut.x_max && cut.y_min < cut.y_max {
            return Ok(cut);
        }
        let (x, y) = ((b.x_min + b.x_max) / 2.0, (b.y_min + b.y_max) / 2.0);
        Err(ProjectError::OutsideImage { x, y, width, height })
    }
}

impl ProjectedBox {
    /// Returns the box around a box and a pixel.
    fn around(b: Option<ProjectedBox>, x: f64, y: f64) -> ProjectedBox {
        let b = b.unwrap_or(ProjectedBox { x_min: x, y_min: y, x_max: x, y_max: y });
        ProjectedBox { x_min: b.x_min.min(x), y_min: b.y_min.min(y), x_max: b.x_max.max(x), y_max: b.y_max.max(y) }
    }
}

/// Returns the part of an edge in front of the near plane.
fn in_front(a: Point3<f64>, b: Point3<f64>) -> Option<(Point3<f64>, Point3<f64>)> {
    let cut = |behind: Point3<f64>, before: Point3<f64>| {
        behind + (before - behind) * ((NEAR - behind.z) / (before.z - behind.z))
    };
    match (a.z >= NEAR, b.z >= NEAR) {
        (true, true) => Some((a, b)),
        (true, false) => Some((a, cut(b, a))),
        (false, true) => Some((cut(a, b), b)),
        // A NaN is not in front either.
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::FRAC_PI_4;

    use nalgebra::{Translation3, UnitQuaternion};

    use super::*;
    use crate::camera::CameraInfo;

    fn camera(d: &[f64]) -> CameraModel {
        let info = CameraInfo {
            width: 640,
            height: 480,
            distortion_model: if d.is_empty() { String::new() } else { "plumb_bob".into() },
            d: d.to_vec(),
            k: [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0],
            ..CameraInfo::default()
        };
        CameraModel::new(&info, false).unwrap()
    }

    fn at(x: f64, y: f64, z: f64) -> Isometry3<f64> {
        Isometry3::translation(x, y, z)
    }

    fn assert_near(found: Result<ProjectedBox, ProjectError>, expected: [f64; 4]) {
        let b = found.unwrap();
        for (found, expected) in [b.x_min, b.y_min, b.x_max, b.y_max].into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{b:?} {expected}");
        }
    }

    #[test]
    fn the_front_face_is_the_widest() {
        // The front face is 1.9 m away.
        let half = |size: f64| 500.0 * size / 2.0 / 1.9;
        let b = camera(&[]).project_box(&at(0.0, 0.0, 2.0), &Vector3::new(0.4, 0.3, 0.2));
        assert_near(b, [320.0 - half(0.4), 240.0 - half(0.3), 320.0 + half(0.4), 240.0 + half(0.3)]);
    }

    #[test]
    fn a_turned_box_is_as_wide_as_its_diagonal() {
        let turn = UnitQuaternion::from_euler_angles(0.0, 0.0, FRAC_PI_4);
        let pose = Isometry3::from_parts(Translation3::new(0.0, 0.0, 2.0), turn);
        let half = 500.0 * 0.2 * 2f64.sqrt() / 2.0 / 2.0;
        let b = camera(&[]).project_box(&pose, &Vector3::new(0.2, 0.2, 0.0));
        assert_near(b, [320.0 - half, 240.0 - half, 320.0 + half, 240.0 + half]);
    }

    #[test]
    fn a_box_is_cut_at_the_border_of_the_image_and_at_the_near_plane() {
        let camera = camera(&[]);
        // A wall to the right that passes the camera.
        let b = camera.project_box(&at(1.0, 0.0, 0.0), &Vector3::new(0.1, 0.2, 8.0)).unwrap();
        let far = 500.0 * 0.95 / 4.0;
        assert!((b.x_min - (320.0 + far)).abs() < 1e-9, "{b:?}");
        assert_eq!((b.x_max, b.y_min, b.y_max), (639.5, -0.5, 479.5));
        let all = camera.project_box(&at(0.0, 0.0, 0.0), &Vector3::new(2.0, 2.0, 2.0));
        assert_near(all, [-0.5, -0.5, 639.5, 479.5]);
    }

    #[test]
    fn the_image_of_an_edge_is_curved_by_the_lens() {
        // Barrel distortion: the middle of the upper edge is above its ends.
        let camera = camera(&[-0.3, 0.0, 0.0, 0.0, 0.0]);
        let b = camera.project_box(&at(0.0, 0.0, 1.0), &Vector3::new(1.0, 0.7, 0.0)).unwrap();
        let (_, top) = camera.project(&Point3::new(0.0, -0.35, 1.0)).unwrap();
        assert!((b.y_min - top).abs() < 1e-9, "{b:?} {top}");
    }

    #[test]
    fn a_box_that_the_camera_does_not_see_is_refused() {
        let size = Vector3::new(0.2, 0.2, 0.2);
        let refused = |pose| camera(&[]).project_box(&pose, &size).unwrap_err();
        assert!(matches!(refused(at(0.0, 0.0, -1.0)), ProjectError::BehindCamera { .. }));
        assert!(matches!(refused(at(5.0, 0.0, 1.0)), ProjectError::OutsideImage { .. }));
        assert!(matches!(refused(at(f64::NAN, 0.0, 1.0)), ProjectError::NotFinite { .. }));
    }
}
