//! Whether a depth image is registered to an image: taken from the same optical frame, with the same rays.

use crate::camera::{CameraInfo, CameraModel};

/// How to get a registered depth image.
const HOW: &str = "register it with depth_image_proc::RegisterNode, or let the driver align depth to the image";
/// Largest difference of two rays of one pixel, at a distance of 1: two focal lengths of one lens differ less.
const MAX_DIFFERENCE: f64 = 0.02;

/// Checks that a depth image has the frame of the image, and the rays of its camera.
///
/// `depth_info`: calibration of the depth image with the frame of its header, if it has one of its own.
///
/// # Errors
/// What was found, what was expected, and how to register depth.
pub fn check(
    (image_frame, camera): (&str, &CameraModel),
    (depth_frame, depth_size): (&str, (u32, u32)),
    depth_info: Option<&(String, CameraInfo)>,
    rectified: bool,
) -> Result<(), String> {
    if depth_frame != image_frame {
        return Err(format!(
            "the depth image is of frame \"{depth_frame}\", the image of \"{image_frame}\": it is not registered to the image; {HOW}"
        ));
    }
    // A depth camera without calibration says nothing about its rays.
    let Some(depth_camera) = depth_info.and_then(|(_, info)| CameraModel::new(info, rectified).ok()) else {
        return Ok(());
    };
    let (width, height) = depth_size;
    if depth_camera.image_size() != depth_size {
        let (info_width, info_height) = depth_camera.image_size();
        return Err(format!(
            "the camera_info of the depth image is of {info_width}x{info_height} pixels, the depth image has {width}x{height}"
        ));
    }
    let (image_width, image_height) = camera.image_size();
    let scale = (f64::from(width) / f64::from(image_width), f64::from(height) / f64::from(image_height));
    // Near the middle of the image, where lenses with and without distortion agree.
    for (x, y) in [(0.5, 0.5), (0.35, 0.5), (0.65, 0.5), (0.5, 0.35), (0.5, 0.65)] {
        let (u, v) = (x * f64::from(image_width) - 0.5, y * f64::from(image_height) - 0.5);
        let (depth_u, depth_v) = ((u + 0.5) * scale.0 - 0.5, (v + 0.5) * scale.1 - 0.5);
        let rays = camera.point_at(u, v, 1.0).zip(depth_camera.point_at(depth_u, depth_v, 1.0));
        if let Some((ray, depth_ray)) = rays
            && (ray - depth_ray).norm() > MAX_DIFFERENCE
        {
            return Err(format!(
                "the depth image has other intrinsics than the image: at pixel ({u:.0}, {v:.0}) its ray is ({:.3}, {:.3}, 1), that \
                 of the image ({:.3}, {:.3}, 1); {HOW}",
                depth_ray.x, depth_ray.y, ray.x, ray.y
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(width: u32, height: u32, focal: f64, d: &[f64]) -> CameraInfo {
        let (cx, cy) = (f64::from(width) / 2.0 - 0.5, f64::from(height) / 2.0 - 0.5);
        CameraInfo {
            width,
            height,
            distortion_model: if d.is_empty() { String::new() } else { "plumb_bob".into() },
            d: d.to_vec(),
            k: [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
            ..CameraInfo::default()
        }
    }

    fn checked(depth_frame: &str, depth: &CameraInfo) -> Result<(), String> {
        let camera = CameraModel::new(&info(640, 480, 600.0, &[-0.2, 0.05, 0.0, 0.0, 0.0]), false).unwrap();
        let size = (depth.width, depth.height);
        check(("colour", &camera), (depth_frame, size), Some(&("colour".into(), depth.clone())), false)
    }

    #[test]
    fn aligned_depth_passes_at_every_size_with_and_without_distortion() {
        assert_eq!(checked("colour", &info(640, 480, 600.0, &[-0.2, 0.05, 0.0, 0.0, 0.0])), Ok(()));
        for (width, height, focal) in [(640, 480, 600.0), (320, 240, 300.0), (1280, 960, 1200.0)] {
            assert_eq!(checked("colour", &info(width, height, focal, &[])), Ok(()), "{width}");
        }
    }

    #[test]
    fn depth_of_another_frame_or_lens_is_refused_with_the_node_that_registers_it() {
        let reason = checked("infrared", &info(640, 480, 600.0, &[])).unwrap_err();
        assert!(
            reason.contains("is of frame \"infrared\", the image of \"colour\"") && reason.contains("RegisterNode")
        );
        let reason = checked("colour", &info(640, 480, 390.0, &[])).unwrap_err();
        assert!(reason.contains("other intrinsics") && reason.contains("depth_image_proc::RegisterNode"), "{reason}");
        let camera = CameraModel::new(&info(640, 480, 600.0, &[]), false).unwrap();
        let own = ("colour".to_owned(), info(320, 240, 300.0, &[]));
        let reason = check(("colour", &camera), ("colour", (640, 480)), Some(&own), false).unwrap_err();
        assert!(reason.contains("is of 320x240 pixels, the depth image has 640x480"), "{reason}");
    }

    #[test]
    fn a_depth_camera_without_a_calibration_is_taken_by_its_frame() {
        let camera = CameraModel::new(&info(640, 480, 600.0, &[]), false).unwrap();
        assert_eq!(check(("colour", &camera), ("colour", (640, 480)), None, false), Ok(()));
        let zeros = ("colour".to_owned(), CameraInfo { k: [0.0; 9], ..info(640, 480, 1.0, &[]) });
        assert_eq!(check(("colour", &camera), ("colour", (640, 480)), Some(&zeros), false), Ok(()));
    }
}
