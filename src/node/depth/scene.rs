//! The objects of one result in metres.

use std::sync::Arc;

use crate::camera::TransformError;
use crate::depth::{DepthView, NoSurface, Object3d, Rays, TargetFrame};
use crate::engine::{FrameResult, ObjectResult, Refusal, RefusalKind};
use crate::node::config::DepthConfig;
use crate::pointing::{Calibration, Pointing};

use super::message::DepthMessage;
use super::registration;
use crate::camera::CameraInfo;
use nalgebra::Point3;

/// The objects of one result in metres.
pub struct Scene {
    pub result: FrameResult,
    /// Frame of the measured objects.
    pub frame_id: String,
    pub target: TargetFrame,
    /// The measured objects, in the order of the result.
    pub objects: Vec<MeasuredObject>,
}

/// An object of a result with its measures.
pub struct MeasuredObject {
    pub object: Arc<ObjectResult>,
    pub measured: Object3d,
    /// Where to grasp the object from above, in the frame of the scene.
    pub top: Point3<f64>,
}

/// The camera that a scene is seen through.
pub struct SceneCamera<'a> {
    pub pointing: &'a Pointing,
    pub calibration: &'a Calibration,
    pub rays: &'a Rays,
    /// Calibration of the depth images with the frame of its header, if they have one of their own.
    pub depth_info: Option<&'a (String, CameraInfo)>,
    pub rectified: bool,
}

impl Scene {
    /// Measures the objects of a result. Returns the scene, and the reason for each object that has no position.
    ///
    /// # Errors
    /// The depth image is malformed or not registered to the image, or the transform is not known.
    pub fn new(
        result: FrameResult,
        depth: &DepthMessage,
        camera: &SceneCamera,
        config: &DepthConfig,
    ) -> Result<(Scene, Vec<(u32, NoSurface)>), Refusal> {
        let bad = |message: String| Refusal::new(RefusalKind::BadDepth, message);
        let (frame, (width, height)) = (&result.header.frame_id, result.image.dimensions());
        let image = depth.decode().map_err(|e| bad(e.to_string()))?;
        let of_depth = (depth.frame_id(), image.size());
        registration::check((frame, &camera.calibration.model), of_depth, camera.depth_info, camera.rectified)
            .map_err(bad)?;
        let image = image.scaled_to(width, height, config.measurement.edge_ratio).map_err(|e| bad(e.to_string()))?;
        let (frame_id, target) = target_frame(camera.pointing, &result, config)
            .map_err(|e| Refusal::new(RefusalKind::NoTransform, format!("depth.frame \"{}\": {e}", config.frame)))?;
        let view = DepthView::new(&image, camera.rays, target, config.measurement).map_err(|e| bad(e.to_string()))?;
        let (mut objects, mut missing) = (Vec::new(), Vec::new());
        for object in result.objects.iter().filter(|o| o.mask.area > 0) {
            match view.measure(&object.mask, object.certain.as_ref()) {
                Ok(measured) => {
                    let top = view.top_point(&measured);
                    objects.push(MeasuredObject { object: Arc::clone(object), measured, top });
                }
                Err(reason) => missing.push((object.id, reason)),
            }
        }
        Ok((Scene { result, frame_id, target, objects }, missing))
    }

    /// Returns a scene without objects in metres.
    pub fn empty(result: FrameResult) -> Scene {
        let frame_id = result.header.frame_id.to_string();
        Scene { result, frame_id, target: TargetFrame::optical(), objects: Vec::new() }
    }

    /// Returns the object that clicks belong to; without one, the only object.
    pub fn current(&self) -> Option<&MeasuredObject> {
        match self.result.current {
            Some(id) => self.objects.iter().find(|o| o.object.id == id),
            None if self.result.objects.len() == 1 => self.objects.first(),
            None => None,
        }
    }
}

/// Whether the transform of a result is known, or will never be.
pub fn has_transform(pointing: &Pointing, result: &FrameResult, config: &DepthConfig) -> bool {
    target_frame(pointing, result, config).err().is_none_or(|error| !error.may_pass())
}

/// Returns the frame of the objects of a result, with its name.
fn target_frame(
    pointing: &Pointing,
    result: &FrameResult,
    config: &DepthConfig,
) -> Result<(String, TargetFrame), TransformError> {
    let optical = &*result.header.frame_id;
    if config.frame.is_empty() || config.frame == optical {
        return Ok((optical.to_owned(), TargetFrame::optical()));
    }
    let target_from_optical = pointing.transform(&config.frame, optical, result.header.stamp)?;
    Ok((config.frame.clone(), TargetFrame::upright(target_from_optical)))
}
