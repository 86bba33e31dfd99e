use super::super::RegionOfInterest;
use super::*;

const FRONT: Point3<f64> = Point3::new(0.1, -0.05, 1.0);

fn info() -> CameraInfo {
    CameraInfo {
        width: 640,
        height: 480,
        distortion_model: "plumb_bob".to_owned(),
        d: vec![0.0; 5],
        k: [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0],
        r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p: [400.0, 0.0, 310.0, -40.0, 0.0, 400.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        ..CameraInfo::default()
    }
}

fn close(found: (f64, f64), expected: (f64, f64)) {
    assert!((found.0 - expected.0).abs() < 1e-9 && (found.1 - expected.1).abs() < 1e-9, "{found:?} {expected:?}");
}

#[test]
fn a_pinhole_without_distortion() {
    for model in ["plumb_bob", "rational_polynomial", "", "none", "from a simulator"] {
        let info = CameraInfo { distortion_model: model.to_owned(), ..info() };
        close(CameraModel::new(&info, false).unwrap().project(&FRONT).unwrap(), (370.0, 214.5));
    }
}

#[test]
fn the_optical_frame_is_that_of_the_rectified_image() {
    let mut info = info();
    let rectified = (400.0 * 0.1 + 310.0 - 40.0, 400.0 * -0.05 + 230.0);
    let project = |info: &CameraInfo, rectified| CameraModel::new(info, rectified).unwrap().project(&FRONT).unwrap();
    close(project(&info, true), rectified);
    let raw = project(&info, false);
    info.r = [0.0; 9];
    close(project(&info, true), rectified);
    close(project(&info, false), raw);
    // The rectified image depends on P alone; R rotates from the sensor to the rectified image.
    info.r = [0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    close(project(&info, true), rectified);
    close(project(&info, false), (500.0 * -0.05 + 320.0, 510.0 * -0.1 + 240.0));
}

#[test]
fn region_of_interest_and_binning_move_the_pixel() {
    let roi = RegionOfInterest { x_offset: 100, y_offset: 60, width: 401, height: 320, do_rectify: true };
    let model = CameraModel::new(&CameraInfo { roi, binning_x: 2, binning_y: 4, ..info() }, false).unwrap();
    assert_eq!(model.image_size(), (200, 80));
    close(model.project(&FRONT).unwrap(), ((370.0 - 100.0) / 2.0, (214.5 - 60.0) / 4.0));
}

#[test]
fn the_image_ends_half_a_pixel_beyond_the_outermost_centres() {
    let model = CameraModel::new(&info(), false).unwrap();
    let at = |u: f64, v: f64| model.project(&Point3::new((u - 320.0) / 500.0, (v - 240.0) / 510.0, 1.0));
    assert!(at(-0.49, 0.0).is_ok() && at(639.49, 479.49).is_ok());
    let error = at(639.51, 10.0).unwrap_err();
    assert!(matches!(error, ProjectError::OutsideImage { width: 640, height: 480, .. }), "{error}");
    assert!(error.to_string().contains("pixel (639.5, 10.0), outside the image of 640x480"), "{error}");
    assert!(at(0.0, -0.51).is_err());
}

#[test]
fn points_behind_the_camera_and_points_that_are_not_finite_are_refused() {
    for rectified in [false, true] {
        let model = CameraModel::new(&info(), rectified).unwrap();
        for z in [0.0, -1.0] {
            let answer = model.project(&Point3::new(0.0, 0.0, z));
            assert!(matches!(answer, Err(ProjectError::BehindCamera { .. })), "{answer:?}");
        }
        let answer = model.project(&Point3::new(f64::NAN, 0.0, 1.0));
        assert!(matches!(answer, Err(ProjectError::NotFinite { .. })), "{answer:?}");
        // Almost beside the camera the pixel is infinite, which must be an error too.
        assert!(model.project(&Point3::new(1.0, 1.0, f64::MIN_POSITIVE)).is_err());
    }
}

#[test]
fn a_camera_without_calibration_is_refused() {
    let error = CameraModel::new(&CameraInfo { k: [0.0; 9], ..info() }, false).unwrap_err();
    assert_eq!(error, ProjectError::Uncalibrated { matrix: "K" });
    assert!(error.to_string().contains("calibrate it"), "{error}");
    let without_p = CameraInfo { p: [0.0; 12], ..info() };
    assert_eq!(CameraModel::new(&without_p, true), Err(ProjectError::Uncalibrated { matrix: "P" }));
    assert!(CameraModel::new(&without_p, false).is_ok());
}

#[test]
fn impossible_calibrations_are_refused() {
    let mut broken = info();
    broken.k[0] = -5.0;
    assert_eq!(CameraModel::new(&broken, false), Err(ProjectError::BadCalibration { field: "K", value: -5.0 }));
    broken = CameraInfo { d: vec![f64::INFINITY; 5], ..info() };
    assert!(matches!(CameraModel::new(&broken, false), Err(ProjectError::BadCalibration { field: "D", .. })));
    broken = CameraInfo { width: 0, ..info() };
    assert_eq!(CameraModel::new(&broken, false), Err(ProjectError::NoSize { width: 0, height: 480 }));
    for (model, d) in
        [("plumb_bob", vec![0.1; 3]), ("rational_polynomial", vec![0.1; 15]), ("equidistant", vec![0.1; 5])]
    {
        let answer = CameraModel::new(&CameraInfo { distortion_model: model.to_owned(), d, ..info() }, false);
        assert!(matches!(answer, Err(ProjectError::CoefficientCount { .. })), "{answer:?}");
    }
}

#[test]
fn an_unknown_distortion_model_is_refused_with_the_supported_models_unless_the_image_is_rectified() {
    let info = CameraInfo { distortion_model: "omnidirectional".to_owned(), d: vec![0.1; 4], ..info() };
    let error = CameraModel::new(&info, false).unwrap_err();
    assert!(error.to_string().contains("\"omnidirectional\"; expected plumb_bob, rational_polynomial"), "{error}");
    assert!(CameraModel::new(&info, true).is_ok());
}

#[test]
fn rays_beyond_the_fold_of_the_distortion_are_refused() {
    // r (1 - 0.3 r2) turns back at r = sqrt(1 / 0.9): 46.5 degrees.
    let folding = CameraInfo { d: vec![-0.3, 0.0, 0.0, 0.0, 0.0], ..info() };
    let wide = CameraInfo { k: [100.0, 0.0, 320.0, 0.0, 100.0, 240.0, 0.0, 0.0, 1.0], ..folding };
    let model = CameraModel::new(&wide, false).unwrap();
    assert!(model.project(&Point3::new(1.05, 0.0, 1.0)).is_ok());
    match model.project(&Point3::new(1.06, 0.0, 1.0)) {
        Err(ProjectError::BeyondDistortion { limit, .. }) => {
            assert!((limit - (1.0f64 / 0.9).sqrt().atan().to_degrees()).abs() < 1e-6, "{limit}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fisheye_without_coefficients_is_still_a_fisheye() {
    for d in [vec![], vec![0.0; 4], vec![0.0; 8]] {
        let info = CameraInfo { distortion_model: "equidistant".to_owned(), d, ..info() };
        let model = CameraModel::new(&info, false).unwrap();
        close(model.project(&Point3::new(0.5, 0.0, 1.0)).unwrap(), (320.0 + 500.0 * 0.5f64.atan(), 240.0));
        close(model.project(&Point3::new(0.0, 0.0, 1.0)).unwrap(), (320.0, 240.0));
    }
}
