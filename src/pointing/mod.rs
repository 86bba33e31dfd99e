//! From a point in metres, in any TF frame, to the pixel of the image that was clicked.
//!
//! rviz2's Publish Point stamps a click with the time of the click, which is later than the clicked image. A click on
//! `~/image_plane` identifies its image: the point lies on the plane of one image only. Any other point belongs to the scene
//! and is projected into the newest encoded image that is not newer than the click. In both cases the pixel is computed with
//! the transforms at the stamp of that image, so that the camera may move. A box in metres becomes a box prompt on the image
//! of its stamp in the same way.

mod boxes;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nalgebra::{Isometry3, Point3};

use crate::camera::{CameraInfo, CameraModel, ProjectError, TransformError, Transforms};
use crate::engine::kept::{KeptFrame, KeptFrames};
use crate::engine::{DeferredPrompt, FrameRef, Header, Interaction, Refusal, RefusalKind, Stamp};

pub use boxes::{Boxes, SpaceBox};

/// Number of stored image planes: three seconds at the default rate.
const MAX_SHOWN_PLANES: usize = 16;

/// Calibration, transforms and image planes of a camera, for clicks in metres.
pub struct Pointing {
    transforms: Arc<Mutex<Transforms>>,
    /// Full name of the calibration's topic, after remapping.
    info_topic: String,
    state: Mutex<CameraState>,
}

/// Last calibration and image planes of a camera.
#[derive(Default)]
struct CameraState {
    info: Option<CameraInfo>,
    frame_id: String,
    /// Calibration computed from `info`, and whether it is for rectified images.
    calibration: Option<(bool, Arc<Calibration>)>,
    /// Published image planes, the newest at the back.
    shown: VecDeque<ShownPlane>,
}

/// Projection of a camera, with the name of its optical frame.
pub struct Calibration {
    frame_id: String,
    pub model: CameraModel,
}

/// A published image plane.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownPlane {
    /// Header of the image.
    pub header: Header,
    /// Width and height of the image, in pixels.
    pub size: (u32, u32),
    /// Distance of the plane from the optical centre, in metres.
    pub distance: f64,
    /// Distance between neighbouring points of the plane, in metres.
    pub spacing: f64,
}

impl Pointing {
    pub fn new(transforms: Arc<Mutex<Transforms>>, info_topic: &str) -> Self {
        Pointing { transforms, info_topic: info_topic.to_owned(), state: Mutex::default() }
    }

    /// Stores the calibration of the camera whose optical frame has that name.
    pub fn camera_info(&self, frame_id: String, info: CameraInfo) {
        let mut state = lock(&self.state);
        if state.frame_id != frame_id || state.info.as_ref() != Some(&info) {
            (state.frame_id, state.info, state.calibration) = (frame_id, Some(info), None);
        }
    }

    /// Returns the projection for an image.
    ///
    /// # Errors
    /// No `camera_info` has arrived, it is not valid, or it belongs to another camera or image size.
    pub fn calibration(
        &self,
        image: &Header,
        (width, height): (u32, u32),
        rectified: bool,
    ) -> Result<Arc<Calibration>, Refusal> {
        let calibration = self.current(rectified)?;
        let bad = |message| Err(Refusal::new(RefusalKind::BadCameraInfo, message));
        if calibration.frame_id != *image.frame_id {
            return bad(format!(
                "camera_info is of frame \"{}\", the image of \"{}\": remap camera_info to the topic of the same camera",
                calibration.frame_id, image.frame_id
            ));
        }
        let (info_width, info_height) = calibration.model.image_size();
        if (info_width, info_height) != (width, height) {
            return bad(format!(
                "camera_info is of images of {info_width}x{info_height} pixels (after binning and region of interest), \
                 the image has {width}x{height}: remap camera_info to the topic of the same camera, or let its driver \
                 publish the calibration of this size"
            ));
        }
        Ok(calibration)
    }

    /// Returns the projection of the last `camera_info`.
    fn current(&self, rectified: bool) -> Result<Arc<Calibration>, Refusal> {
        let mut state = lock(&self.state);
        if let Some((is_rectified, calibration)) = &state.calibration
            && *is_rectified == rectified
        {
            return Ok(Arc::clone(calibration));
        }
        let info = state.info.as_ref().ok_or_else(|| {
            let topic = &self.info_topic;
            let message = format!("no camera_info has arrived: does the camera publish its calibration on '{topic}'?");
            Refusal::new(RefusalKind::NoCameraInfo, message)
        })?;
        let model = CameraModel::new(info, rectified).map_err(refused)?;
        let calibration = Arc::new(Calibration { frame_id: state.frame_id.clone(), model });
        state.calibration = Some((rectified, Arc::clone(&calibration)));
        Ok(calibration)
    }

    /// Stores a published plane, which can be clicked from now on.
    pub fn remember(&self, plane: ShownPlane) {
        let shown = &mut lock(&self.state).shown;
        shown.retain(|s| s.header.stamp != plane.header.stamp);
        shown.push_back(plane);
        if shown.len() > MAX_SHOWN_PLANES {
            shown.pop_front();
        }
    }

    /// Returns a click in metres as a deferred prompt. Once the image and the transforms are there, `prompt_at` turns the
    /// frame and the pixel into a prompt.
    ///
    /// # Errors
    /// The point is not finite, or its header names no frame.
    pub fn click(
        self: &Arc<Self>,
        header: Header,
        point: Point3<f64>,
        rectified: bool,
        prompt_at: impl FnOnce(FrameRef, f64, f64) -> Interaction + Send + 'static,
    ) -> Result<Interaction, Refusal> {
        let bad = |message: String| Err(Refusal::new(RefusalKind::BadPrompt, message));
        if !point.coords.iter().all(|v| v.is_finite()) {
            return bad(format!("point ({}, {}, {}) is not finite", point.x, point.y, point.z));
        }
        if header.frame_id.is_empty() {
            return bad("header.frame_id is empty: a point needs the name of its TF frame".into());
        }
        let mut shown: Vec<ShownPlane> = lock(&self.state).shown.iter().cloned().collect();
        shown.reverse();
        let pointing = Arc::clone(self);
        let prompt_at = Some(PromptAt(Box::new(prompt_at)));
        let click = Click { pointing, header, point, rectified, shown, image: None, prompt_at };
        Ok(Interaction::Deferred(Some(Box::new(click))))
    }

    /// Returns the name of the camera's optical frame; `None` before the first `camera_info`.
    pub fn optical_frame(&self) -> Option<String> {
        let state = lock(&self.state);
        state.info.as_ref().map(|_| state.frame_id.clone())
    }

    /// Returns `target_from_source` at the time of a stamp; without a stamp by the latest transforms.
    ///
    /// # Errors
    /// The transform is not known.
    pub fn transform(&self, target: &str, source: &str, stamp: Stamp) -> Result<Isometry3<f64>, TransformError> {
        let time = (stamp != Stamp::NONE).then(|| stamp.nanoseconds());
        lock(&self.transforms).lookup(target, source, time)
    }

    /// Transforms a point into the optical frame of an image, at the stamp of the image.
    fn in_optical_frame(
        &self,
        point: &Point3<f64>,
        frame_id: &str,
        image: &Header,
    ) -> Result<Point3<f64>, TransformError> {
        Ok(self.transform(&image.frame_id, frame_id, image.stamp)? * point)
    }

    /// Transforms a point into the optical frame of an image, with the latest transforms.
    fn in_optical_frame_now(&self, point: &Point3<f64>, frame_id: &str, image: &Header) -> Option<Point3<f64>> {
        Some(lock(&self.transforms).lookup(&image.frame_id, frame_id, None).ok()? * point)
    }
}

/// A click in metres whose pixel is not known yet.
#[derive(Debug)]
struct Click {
    pointing: Arc<Pointing>,
    header: Header,
    point: Point3<f64>,
    rectified: bool,
    /// Planes that were published before the click, the newest first.
    shown: Vec<ShownPlane>,
    /// Stamp of the clicked image, once it is determined.
    image: Option<Stamp>,
    /// `None` once the click is resolved.
    prompt_at: Option<PromptAt>,
}

/// Conversion of a frame and a pixel to a prompt.
struct PromptAt(Box<dyn FnOnce(FrameRef, f64, f64) -> Interaction + Send>);

/// Reason why there is no pixel, and whether it may disappear with time.
struct Obstacle {
    refusal: Refusal,
    may_pass: bool,
}

impl DeferredPrompt for Click {
    fn resolve(&mut self, kept: &KeptFrames, is_last: bool) -> Option<Result<Interaction, Refusal>> {
        let image = match self.image(kept)? {
            Ok(image) => image,
            Err(refusal) => return Some(Err(refusal)),
        };
        match self.pixel(&image) {
            Ok((x, y)) => {
                let Header { stamp, frame_id } = &self.header;
                let ((px, py, pz), image) = ((self.point.x, self.point.y, self.point.z), image.header.stamp);
                tracing::debug!(
                    "click ({px:.3}, {py:.3}, {pz:.3}) in \"{frame_id}\" at {stamp} is pixel ({x:.4}, {y:.4}) of image {image}"
                );
                let prompt_at = self.prompt_at.take()?;
                Some(Ok((prompt_at.0)(FrameRef::At(image), x, y)))
            }
            Err(obstacle) if obstacle.may_pass && !is_last => None,
            Err(Obstacle { mut refusal, .. }) => {
                refusal.message = format!("click in \"{}\": {}", self.header.frame_id, refusal.message);
                Some(Err(refusal))
            }
        }
    }
}

impl Click {
    /// Returns the clicked image. It stays the same while the click waits for transforms.
    fn image(&mut self, kept: &KeptFrames) -> Option<Result<Arc<KeptFrame>, Refusal>> {
        if let Some(image) = self.image.and_then(|stamp| kept.at(stamp)) {
            return Some(Ok(Arc::clone(image)));
        }
        let image = match self.shown.iter().find(|plane| self.is_on(plane)) {
            Some(plane) => match kept.at(plane.header.stamp) {
                Some(image) => image,
                // The point of the plane is another pixel on any other image.
                None => {
                    let message = format!(
                        "the click is on the image plane of {}, and that image is gone; a larger 'keep.frames' keeps it",
                        plane.header.stamp
                    );
                    return Some(Err(Refusal::new(RefusalKind::FrameGone, message)));
                }
            },
            None if self.header.stamp == Stamp::NONE => kept.newest()?,
            // If the clock of the click is behind all images, the click is for the newest image.
            None => kept.newest_until(self.header.stamp).or_else(|| kept.newest())?,
        };
        self.image = Some(image.header.stamp);
        Some(Ok(Arc::clone(image)))
    }

    /// Returns whether the click lies on an image plane.
    fn is_on(&self, plane: &ShownPlane) -> bool {
        let point = self.pointing.in_optical_frame(&self.point, &self.header.frame_id, &plane.header);
        point.is_ok_and(|p| {
            (p.z - plane.distance).abs() <= plane.spacing && self.project(&p, &plane.header, plane.size).is_ok()
        })
    }

    /// Computes the pixel of the click on an image.
    fn pixel(&self, image: &KeptFrame) -> Result<(f64, f64), Obstacle> {
        let point = self.pointing.in_optical_frame(&self.point, &self.header.frame_id, &image.header);
        let point = point.or_else(|error| {
            // A click without a stamp uses the latest transforms.
            let now = match (&error, self.header.stamp) {
                (TransformError::Future { .. }, Stamp::NONE) => {
                    self.pointing.in_optical_frame_now(&self.point, &self.header.frame_id, &image.header)
                }
                _ => None,
            };
            let may_pass = error.may_pass();
            now.ok_or_else(|| Obstacle { refusal: Refusal::new(RefusalKind::NoTransform, error.to_string()), may_pass })
        })?;
        self.project(&point, &image.header, image.image.dimensions())
    }

    fn project(&self, point: &Point3<f64>, image: &Header, size: (u32, u32)) -> Result<(f64, f64), Obstacle> {
        let calibration = self.pointing.calibration(image, size, self.rectified).map_err(|refusal| {
            let may_pass = refusal.kind == RefusalKind::NoCameraInfo;
            Obstacle { refusal, may_pass }
        })?;
        calibration.model.project(point).map_err(|e| Obstacle { refusal: refused(e), may_pass: false })
    }
}

/// Converts an error of the projection to a refusal.
fn refused(error: ProjectError) -> Refusal {
    let kind = match error {
        ProjectError::BehindCamera { .. } => RefusalKind::BehindCamera,
        ProjectError::OutsideImage { .. } | ProjectError::BeyondDistortion { .. } => RefusalKind::OutsideImage,
        ProjectError::NotFinite { .. } => RefusalKind::BadPrompt,
        ProjectError::Uncalibrated { .. }
        | ProjectError::BadCalibration { .. }
        | ProjectError::NoSize { .. }
        | ProjectError::UnknownDistortion { .. }
        | ProjectError::CoefficientCount { .. } => RefusalKind::BadCameraInfo,
    };
    Refusal::new(kind, error.to_string())
}

/// Returns whether images are rectified, by parameter `projection`. `auto` decides by the name of the topic: image_proc and
/// drivers have `rect` in it.
pub fn is_rectified(projection: &str, image_topic: &str) -> bool {
    match projection {
        "rectified" => true,
        "raw" => false,
        _ => {
            let topic = image_topic.strip_suffix("/compressed").unwrap_or(image_topic);
            topic.rsplit('/').next().is_some_and(|name| name.contains("rect"))
        }
    }
}

/// Locks a mutex. The content is usable after a panic of a thread that held the lock: every change is a plain move.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Pointing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pointing")
    }
}

impl std::fmt::Debug for PromptAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PromptAt")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_topic_decides_whether_images_are_rectified() {
        for (topic, rectified) in [
            ("/camera/image_raw", false),
            ("/camera/image_rect", true),
            ("/camera/image_rect_color/compressed", true),
            ("/camera/depth/image_rect_raw", true),
            ("/rectangle/image", false),
            ("/image", false),
        ] {
            assert_eq!(is_rectified("auto", topic), rectified, "{topic}");
            assert!(is_rectified("rectified", topic) && !is_rectified("raw", topic));
        }
    }

    #[test]
    fn a_click_without_a_frame_or_with_nan_is_refused_at_once() {
        let pointing = Arc::new(Pointing::new(Arc::default(), "/camera_info"));
        let header = |frame_id: &str| Header { stamp: Stamp::NONE, frame_id: frame_id.into() };
        for (frame_id, x, expected) in [("", 1.0, "header.frame_id is empty"), ("map", f64::NAN, "is not finite")] {
            let refused =
                pointing.click(header(frame_id), Point3::new(x, 0.0, 1.0), false, |_, _, _| Interaction::Clear);
            let refusal = refused.unwrap_err();
            assert!(refusal.kind == RefusalKind::BadPrompt && refusal.message.contains(expected), "{refusal:?}");
        }
    }

    #[test]
    fn one_plane_is_stored_for_an_image_and_their_number_is_bounded() {
        let pointing = Pointing::new(Arc::default(), "/camera_info");
        let header = |sec| Header { stamp: Stamp { sec, nanosec: 0 }, frame_id: "camera".into() };
        let plane = |sec| ShownPlane { header: header(sec), size: (4, 3), distance: 1.0, spacing: 0.01 };
        (0..100).chain([99, 90]).for_each(|sec| pointing.remember(plane(sec)));
        let shown: Vec<i32> = lock(&pointing.state).shown.iter().map(|s| s.header.stamp.sec).collect();
        assert_eq!((shown.len(), shown.last()), (MAX_SHOWN_PLANES, Some(&90)));
        assert!(shown.iter().all(|sec| *sec >= 84));
    }
}
