//! `~/image_plane`: the image as a plane of coloured points in front of the camera, for rviz2, whose Publish Point can only
//! click on what is rendered in 3-D.

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::imageops::thumbnail;
use r2r::sensor_msgs::msg::{PointCloud2, PointField};

use super::publishers::{OutputError, Picture};
use crate::camera::ImagePlane;
use crate::engine::{FrameResult, Refusal, Source, Stamp};
use crate::node::camera::Shared;
use crate::node::error::NodeError;
use crate::node::ros::convert::ros_header;
use crate::node::ros::qos;
use crate::node::ros::topics::{Output, Topics};
use crate::pointing::{Calibration, ShownPlane};

const TOPIC: &str = "~/image_plane";
/// x, y, z and the colour, 32 bits each.
const POINT_BYTES: usize = 16;

/// Publishes the image plane of a camera.
pub struct ImagePlaneOutput {
    pub output: Output<PointCloud2>,
    /// The rays of the calibration that they were made for.
    plane: Option<Made>,
    last: Option<(Instant, Stamp)>,
    /// Why there is no plane, once said.
    said: String,
}

struct Made {
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
        Ok(ImagePlaneOutput { output, plane: None, last: None, said: String::new() })
    }

    /// Publishes the plane of an image, if somebody looks and it is time. An answer to a prompt on the image that is
    /// shown does not wait: its mask is what the operator looks for.
    ///
    /// # Errors
    /// The middleware does not take the message.
    pub fn publish(&mut self, shared: &Shared, result: &FrameResult, picture: &mut Picture) -> Result<(), OutputError> {
        if !self.output.is_wanted() {
            self.last = None;
            return Ok(());
        }
        let parameters = shared.parameters();
        let period = Duration::from_secs_f64(1.0 / parameters.float("image_plane_rate").clamp(0.01, 1000.0));
        let stamp = result.header.stamp;
        if !is_due(self.last.map(|(since, shown)| (since.elapsed(), shown)), period, result) {
            return Ok(());
        }
        let size = result.image.dimensions();
        let calibration = match shared.pointing.calibration(&result.header, size, shared.is_rectified(&parameters)) {
            Ok(calibration) => calibration,
            Err(refusal) => {
                self.say_once(&refusal);
                return Ok(());
            }
        };
        self.said.clear();
        let columns = parameters.integer("image_plane_columns").clamp(2, i64::from(u32::MAX)) as u32;
        let made = Made::of(self.plane.take(), calibration, columns, parameters.float("image_plane_distance"));
        let message = cloud(&made.plane, result, picture);
        let (header, spacing) = (result.header.clone(), made.plane.spacing());
        let shown = ShownPlane { header, size, distance: made.distance, spacing };
        self.plane = Some(made);
        self.last = Some((Instant::now(), stamp));
        // Before it goes out: the click on it may be faster than this thread.
        shared.pointing.remember(shown);
        self.output.publish(&message).map_err(|source| OutputError::Publish { topic: TOPIC, source })
    }

    fn say_once(&mut self, refusal: &Refusal) {
        if self.said != refusal.message {
            tracing::warn!("{TOPIC} cannot be shown: {}", refusal.message);
            self.said.clone_from(&refusal.message);
        }
    }
}

/// Whether a result is shown. `last`: how long ago the last one was, and its stamp.
fn is_due(last: Option<(Duration, Stamp)>, period: Duration, result: &FrameResult) -> bool {
    let Some((since, shown)) = last else { return true };
    let (stamp, answers) = (result.header.stamp, result.prompted && result.source != Source::Camera);
    // An answer on an older image must not take the newer one away; other results are of the newest image, whatever its
    // stamp: the clock may have been set back.
    let newer = !answers || stamp > shown;
    (since >= period && newer) || (answers && stamp == shown)
}

impl Made {
    /// The rays of before, if nothing changed.
    fn of(before: Option<Made>, calibration: Arc<Calibration>, columns: u32, distance: f64) -> Made {
        if let Some(made) = before
            && Arc::ptr_eq(&made.calibration, &calibration)
            && made.columns == columns
            && made.distance == distance
        {
            return made;
        }
        let plane = ImagePlane::new(&calibration.model, columns, distance);
        Made { calibration, columns, distance, plane }
    }
}

/// An organised cloud in the layout of PCL's PointXYZRGB: the colour is the bits of a float.
fn cloud(plane: &ImagePlane, result: &FrameResult, picture: &mut Picture) -> PointCloud2 {
    let (columns, rows) = (plane.columns(), plane.rows());
    let colours = if result.objects.is_empty() {
        thumbnail(result.image.as_ref(), columns, rows)
    } else {
        thumbnail(picture.of(result), columns, rows)
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
            let result = FrameResult { header, source, image, objects, corner: None, prompted, ms };
            let last = Some((Duration::from_millis(since), Stamp { sec: 5, nanosec: 0 }));
            assert!(is_due(None, period, &result), "nothing is shown yet");
            is_due(last, period, &result)
        };
        for prompted in [false, true] {
            // A clock that was set back, a camera that does not stamp, and one that does.
            assert_eq!([1, 5, 6].map(|sec| is_due(Source::Camera, prompted, sec, 300)), [true; 3]);
            assert_eq!([1, 5, 6].map(|sec| is_due(Source::Camera, prompted, sec, 100)), [false; 3]);
        }
        for source in [Source::Prompt, Source::Detector("detections")] {
            assert_eq!([1, 5, 6].map(|sec| is_due(source, true, sec, 300)), [false, true, true]);
            assert_eq!([1, 5, 6].map(|sec| is_due(source, true, sec, 100)), [false, true, false]);
        }
        // A first corner that is forgotten: on the newest image.
        assert!(is_due(Source::Prompt, false, 1, 300));
    }
}
