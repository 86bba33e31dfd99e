//! `~/image_plane`: the image as a plane of coloured points in front of the camera, for rviz2, whose Publish Point tool clicks
//! only on rendered 3-D geometry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::imageops::thumbnail;
use r2r::sensor_msgs::msg::{PointCloud2, PointField};

use super::error::OutputError;
use super::picture::Picture;
use crate::camera::ImagePlane;
use crate::engine::{FrameResult, Refusal, ResultSource, Stamp};
use crate::node::config::ImagePlaneConfig;
use crate::node::error::NodeError;
use crate::node::ros::convert::ros_header;
use crate::node::ros::qos;
use crate::node::ros::topics::{Output, Topics};
use crate::pointing::{Calibration, Pointing, ShownPlane};

const TOPIC: &str = "~/image_plane";
/// Bytes of a point: x, y, z and the colour, 32 bits each.
const POINT_BYTES: usize = 16;

/// Publishes the image plane of a camera.
pub struct ImagePlaneOutput {
    pub output: Output<PointCloud2>,
    rays: Option<PlaneRays>,
    /// Time of the last plane, and the stamp of its image.
    last: Option<(Instant, Stamp)>,
    /// Last warning about a plane that cannot be shown.
    warned: String,
}

/// Points of a plane, with the calibration and the parameters that they were computed for.
struct PlaneRays {
    calibration: Arc<Calibration>,
    columns: u32,
    distance: f64,
    plane: ImagePlane,
}

impl ImagePlaneOutput {
    /// # Errors
    /// An override of the profile is wrong.
    pub fn new(topics: &mut Topics) -> Result<Self, NodeError> {
        let output = topics.output(TOPIC, qos::OUTPUTS)?;
        Ok(ImagePlaneOutput { output, rays: None, last: None, warned: String::new() })
    }

    /// Publishes the plane of an image, if somebody subscribes and the period is over. An answer to a prompt on the shown
    /// image does not wait for the period: the operator waits for its mask.
    ///
    /// `rectified`: the image is rectified.
    ///
    /// # Errors
    /// The middleware does not take the message.
    pub fn publish(
        &mut self,
        pointing: &Pointing,
        (config, rectified): (ImagePlaneConfig, bool),
        result: &FrameResult,
        picture: &mut Picture,
    ) -> Result<(), OutputError> {
        if !self.output.is_wanted() {
            self.last = None;
            return Ok(());
        }
        let stamp = result.header.stamp;
        if !is_due(self.last.map(|(since, shown)| (since.elapsed(), shown)), config.period, result) {
            return Ok(());
        }
        let size = result.image.dimensions();
        let calibration = match pointing.calibration(&result.header, size, rectified) {
            Ok(calibration) => calibration,
            Err(refusal) => {
                self.warn_once(&refusal);
                return Ok(());
            }
        };
        self.warned.clear();
        let rays = PlaneRays::reuse_or_compute(self.rays.take(), calibration, config);
        let message = cloud(&rays.plane, result, picture);
        let (header, spacing) = (result.header.clone(), rays.plane.spacing());
        let shown = ShownPlane { header, size, distance: rays.distance, spacing };
        self.rays = Some(rays);
        self.last = Some((Instant::now(), stamp));
        // Remembered before the plane is published: a click on the plane may be faster than this thread.
        pointing.remember(shown);
        self.output.publish(&message).map_err(|source| OutputError::Publish { topic: TOPIC, source })
    }

    fn warn_once(&mut self, refusal: &Refusal) {
        if self.warned != refusal.message {
            tracing::warn!("{TOPIC} cannot be shown: {}", refusal.message);
            self.warned.clone_from(&refusal.message);
        }
    }
}

/// Whether a result is shown. `last`: time since the last plane, and the stamp of its image.
fn is_due(last: Option<(Duration, Stamp)>, period: Duration, result: &FrameResult) -> bool {
    let Some((since, shown)) = last else { return true };
    let (stamp, answers) = (result.header.stamp, result.prompted && result.source != ResultSource::Camera);
    // An answer on an older image must not replace a newer one. Other results are of the newest image, whatever its stamp:
    // the clock may have been set back.
    let newer = !answers || stamp > shown;
    (since >= period && newer) || (answers && stamp == shown)
}

impl PlaneRays {
    /// Returns the previous points, or computes them if the calibration or the parameters changed.
    fn reuse_or_compute(previous: Option<Self>, calibration: Arc<Calibration>, config: ImagePlaneConfig) -> Self {
        let ImagePlaneConfig { columns, distance, .. } = config;
        if let Some(rays) = previous
            && Arc::ptr_eq(&rays.calibration, &calibration)
            && rays.columns == columns
            && rays.distance == distance
        {
            return rays;
        }
        let plane = ImagePlane::new(&calibration.model, columns, distance);
        PlaneRays { calibration, columns, distance, plane }
    }
}

/// Returns an organised cloud in the layout of PCL's PointXYZRGB: the colour is the bits of a float.
fn cloud(plane: &ImagePlane, result: &FrameResult, picture: &mut Picture) -> PointCloud2 {
    let (columns, rows) = (plane.columns(), plane.rows());
    let colours = if result.objects.is_empty() {
        thumbnail(result.image.as_ref(), columns, rows)
    } else {
        thumbnail(picture.get(result), columns, rows)
    };
    let mut data = Vec::with_capacity(plane.points().len() * POINT_BYTES);
    for (point, colour) in plane.points().iter().zip(colours.pixels()) {
        let [red, green, blue] = colour.0;
        point.iter().for_each(|v| data.extend_from_slice(&v.to_le_bytes()));
        data.extend_from_slice(&[blue, green, red, 0]);
    }
    let field =
        |name: &str, offset| PointField { name: name.into(), offset, datatype: PointField::FLOAT32 as u8, count: 1 };
    PointCloud2 {
        header: ros_header(&result.header),
        height: rows,
        width: columns,
        fields: vec![field("x", 0), field("y", 4), field("z", 8), field("rgb", 12)],
        is_bigendian: false,
        point_step: POINT_BYTES as u32,
        row_step: columns * POINT_BYTES as u32,
        is_dense: plane.points().iter().all(|p| p[0].is_finite()),
        data,
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::engine::{Header, StageMs};

    #[test]
    fn a_result_is_shown_when_it_is_time_and_an_answer_on_the_shown_image_at_once() {
        let period = Duration::from_millis(200);
        let is_due = |source, prompted, sec, since| {
            let header = Header { stamp: Stamp { sec, nanosec: 0 }, ..Header::default() };
            let (image, objects, ms) = (Arc::new(RgbImage::new(1, 1)), Vec::new(), StageMs::default());
            let result = FrameResult { header, source, image, objects, corner: None, current: None, prompted, ms };
            let last = Some((Duration::from_millis(since), Stamp { sec: 5, nanosec: 0 }));
            assert!(is_due(None, period, &result), "nothing is shown yet");
            is_due(last, period, &result)
        };
        for prompted in [false, true] {
            // A clock that was set back, a camera that does not stamp, and one that does.
            assert_eq!([1, 5, 6].map(|sec| is_due(ResultSource::Camera, prompted, sec, 300)), [true; 3]);
            assert_eq!([1, 5, 6].map(|sec| is_due(ResultSource::Camera, prompted, sec, 100)), [false; 3]);
        }
        for source in [ResultSource::Prompt, ResultSource::Detector("detections")] {
            assert_eq!([1, 5, 6].map(|sec| is_due(source, true, sec, 300)), [false, true, true]);
            assert_eq!([1, 5, 6].map(|sec| is_due(source, true, sec, 100)), [false, true, false]);
        }
        // A first corner that is forgotten: on the newest image.
        assert!(is_due(ResultSource::Prompt, false, 1, 300));
    }
}
