//! Objects in metres: `--depth` and `--camera-info`, and the formats `ply` and `json3d`.

use std::path::PathBuf;

use image::RgbImage;
use nalgebra::Isometry3;
use promptseg::camera::{CameraInfo, CameraModel};
use promptseg::depth::{
    Cloud, CloudLayout, DepthImage, DepthSettings, DepthView, LabelledSurface, NoSurface, Object3d, Rays, TargetFrame,
};
use promptseg::model::Candidate;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::formats::rounded_to_micrometres;
use crate::pictures::{display, read_file};

#[derive(clap::Args)]
pub struct DepthArguments {
    /// Depth of the picture, registered to it: a PNG file of 16 bits in millimetres, for the formats ply and json3d.
    #[arg(long, value_name = "FILE", requires = "camera_info")]
    pub depth: Option<PathBuf>,
    /// Calibration of the picture's camera: YAML as camera_calibration or `ros2 topic echo --once` writes it.
    #[arg(long, value_name = "FILE", requires = "depth")]
    pub camera_info: Option<PathBuf>,
    /// The picture is rectified: project with P of the calibration instead of K and D.
    #[arg(long, requires = "depth")]
    pub rectified: bool,
}

impl DepthArguments {
    /// Returns the files that the arguments name.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.depth.iter().chain(&self.camera_info)
    }
}

/// Depth and calibration of a picture.
pub struct Depth {
    image: DepthImage,
    rays: Rays,
}

impl Depth {
    /// Reads the files of the arguments; `None` without arguments.
    pub fn read(arguments: &DepthArguments) -> Result<Option<Depth>, Failure> {
        let (Some(depth), Some(info)) = (&arguments.depth, &arguments.camera_info) else { return Ok(None) };
        let failed = |path: &PathBuf, e: &dyn std::fmt::Display| format!("{}: {e}", display(path));
        let image = DepthImage::from_png(&read_file(depth)?).map_err(|e| failed(depth, &e))?;
        let text = String::from_utf8_lossy(&read_file(info)?).into_owned();
        let calibration = CameraInfo::from_yaml(&text).map_err(|e| failed(info, &e))?;
        let camera = CameraModel::new(&calibration, arguments.rectified).map_err(|e| failed(info, &e))?;
        Ok(Some(Depth { image, rays: Rays::new(&camera) }))
    }

    /// Measures an object in the optical frame.
    pub fn measure(&self, candidate: &Candidate) -> Result<Result<Object3d, NoSurface>, String> {
        let (width, height) = (candidate.mask.width, candidate.mask.height);
        if self.rays.size() != (width, height) {
            let (w, h) = self.rays.size();
            return Err(format!("the calibration is for {w}x{h} pixels, the picture has {width}x{height}"));
        }
        let settings = DepthSettings::default();
        let depth = self.image.scaled_to(width, height, settings.edge_ratio).map_err(|e| e.to_string())?;
        let view = DepthView::new(&depth, &self.rays, TargetFrame::optical(), settings).map_err(|e| e.to_string())?;
        Ok(view.measure(&candidate.mask, candidate.certain.as_ref()))
    }
}

/// Returns the fields of an object in JSON: lengths in metres, in the optical frame.
pub fn fields(object: &Result<Object3d, NoSurface>) -> Value {
    let object = match object {
        Ok(object) => object,
        Err(reason) => return json!({ "reason": reason.to_string() }),
    };
    let list = |values: &[f64]| values.iter().map(|v| rounded_to_micrometres(*v)).collect::<Vec<f64>>();
    let quaternion = object.bbox.orientation.coords;
    json!({
        "points": object.surface.len(),
        "coverage": rounded_to_micrometres(object.coverage),
        "noise": rounded_to_micrometres(object.noise),
        "median_depth": rounded_to_micrometres(object.median_depth),
        "centroid": list(object.centroid.coords.as_slice()),
        "covariance": object.covariance.row_iter().map(|row| row.iter().copied().collect()).collect::<Vec<Vec<f64>>>(),
        "centre": list(object.bbox.centre.coords.as_slice()),
        "size": list(object.bbox.size.as_slice()),
        "orientation": list(quaternion.as_slice()),
    })
}

/// Returns the cloud of all objects, in the optical frame; the labels count objects from 1.
///
/// # Errors
/// No object has a surface.
pub fn cloud(objects: &[Result<Object3d, NoSurface>], image: &RgbImage) -> Result<Cloud, String> {
    let surfaces = objects.iter().enumerate().filter_map(|(i, object)| {
        let surface = &object.as_ref().ok()?.surface;
        Some(LabelledSurface { label: u16::try_from(i + 1).unwrap_or(u16::MAX), surface })
    });
    let surfaces: Vec<LabelledSurface> = surfaces.collect();
    let reasons = objects.iter().filter_map(|object| object.as_ref().err()).map(ToString::to_string);
    match surfaces.as_slice() {
        [] => Err(format!("no object has a surface: {}", reasons.collect::<Vec<_>>().join("; "))),
        some => Ok(Cloud::new(some, image, &Isometry3::identity(), CloudLayout::Dense { voxel: 0.0 })),
    }
}
